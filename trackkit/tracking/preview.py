"""A short look at videos before hours are spent: what the detector finds, and how long the run will take."""

from __future__ import annotations

import heapq
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import dropwhile, islice
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from trackkit.config import TrackConfig
from trackkit.core.arrays import Image
from trackkit.core.clock import StageClock
from trackkit.core.errors import VideoDecodeError, VideoTimeout
from trackkit.core.frames import Detections, Frame, TrackedObjects
from trackkit.core.tasks import VideoFailure, VideoTask
from trackkit.core.words import duration, plural
from trackkit.detectors import AdjustableDetector, Detector
from trackkit.results.columns import TRACK_DTYPES, empty_frame
from trackkit.results.html import data_url
from trackkit.results.video_result import Outcome, VideoResult, failure_row
from trackkit.tracking.models import Models
from trackkit.tracking.reporter import ProgressCallback
from trackkit.tracking.track_video import follow
from trackkit.video.draw import compose_sheet, draw, fit
from trackkit.video.reader import VideoReader, read_frames, survey

#: Lowest score that is looked at; what the run takes begins at ``config.box_threshold``.
LOWEST_SCORE = 0.2
THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8)
#: Frames that are tracked to see what that costs. In the first half the memory of SAM 2 fills up.
TRACKED_FRAMES = 16
SHEET_VIDEOS = 12
_THUMBNAIL = 480  # pixels

_COLUMNS = {
    "video_path": "str",
    "frame_idx": "int32",
    "time_s": "float64",
    "label": "str",
    "score": "float32",
    **dict.fromkeys(("x", "y", "width", "height"), "float32"),
}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class VideoPreview(VideoResult):
    """What a short look at one video gave: a few frames that were tracked, others that were looked at.

    Attributes:
        detections: One row per detection from ``LOWEST_SCORE`` up: video_path, frame_idx, time_s, label,
            score, and the box x, y, width, height in pixels of the video.
        looked_at: Indices of the frames in which the detector ran.
        images: These frames, small, with the detections from ``box_threshold`` up.
        expected_frames: That a run will process.
        detect_s: Seconds that one run of the detector takes.
        track_s: Seconds that a frame takes without the detector, decoding included.
    """

    detections: pd.DataFrame
    looked_at: tuple[int, ...]
    images: tuple[Image, ...]
    expected_frames: int
    detect_s: float
    track_s: float


def preview_video(
    task: VideoTask,
    config: TrackConfig,
    *,
    models: Models,
    on_progress: ProgressCallback | None = None,
    timeout_s: float | None = None,
    low_memory: bool = False,
    frames: int = 4,
) -> VideoPreview:
    """Look at one video: evenly spread frames, and a few in a row from the one with most objects.

    Goes through the file first, without decoding: what it claims of its length may be wrong, or nothing.

    Raises:
        VideoOpenError: The video gives no frame.
        VideoTimeout: It took longer than ``timeout_s``.
    """
    started = perf_counter()
    info, expected = survey(task.source, fps=config.fps)
    detector = _sensitive(models.detector)
    looked, found, seconds = [], [], []
    try:
        for frame in read_frames(task.source, evenly_spread(info.num_frames, frames)):
            began = perf_counter()
            found += detector.detect([frame.image])
            seconds.append(perf_counter() - began)
            looked.append(frame)
            if timeout_s is not None and perf_counter() - started > timeout_s:
                msg = f"{task.video_path}: the preview was not done after {timeout_s:g} s"
                raise VideoTimeout(msg)
    except VideoDecodeError:  # the last ones are damaged
        if not looked:
            raise
    strong = [_above(each, config.box_threshold) for each in found]
    best = max(range(len(looked)), key=lambda k: len(strong[k]))
    clock, times = StageClock(), list[tuple[float, float]]()
    with VideoReader(task.source, fps=config.fps) as reader:
        stretch = islice(dropwhile(lambda f: f.idx < looked[best].idx, reader), TRACKED_FRAMES)
        tracker = models.tracker.start(reader.info, clock, task.prompts, low_memory=low_memory)

        def processed() -> None:
            times.append((perf_counter(), clock.seconds["detect"]))

        tracked = list(follow(stretch, models.detector, tracker, config, clock, processed))
        process_fps = reader.process_fps
    # The first run of a model is slow, and so are the first frames of a track.
    half = len(times) // 2
    wall, detecting = (b - a for a, b in zip(times[max(half - 1, 0)], times[-1], strict=True))
    return VideoPreview(
        task=task,
        info=info,
        tracks=empty_frame(TRACK_DTYPES),
        frames=_processed(tracked),
        process_fps=process_fps,
        seconds={"load": models.load_seconds, **clock.seconds, "total": perf_counter() - started},
        peak_rss_mb=0.0,
        detections=_detection_rows(task.video_path, looked, found),
        looked_at=tuple(frame.idx for frame in looked),
        images=tuple(_draw(frame, each) for frame, each in zip(looked, strong, strict=True)),
        expected_frames=expected,
        detect_s=float(np.mean(seconds[1:] or seconds)),
        track_s=max(wall - detecting, 0.0) / max(len(times) - max(half, 1), 1),
    )


class Preview:
    """What :func:`trackkit.preview` gives.

    Args:
        outcomes: One per video; images are kept of the first ``SHEET_VIDEOS``.
        config: The options of the run.
        workers: Of the session.

    Attributes:
        detections: One row per detection, see :class:`VideoPreview`.
        videos: One row per video: frames that a run will process, what they cost, and how long they take.
        failures: Videos that could not be looked at, with the reason.
    """

    def __init__(self, outcomes: Iterable[Outcome], config: TrackConfig, workers: int) -> None:
        self.config, self.workers = config, workers
        self._rows: list[tuple[str, Sequence[Image]]] = []
        tables, videos, failures = [pd.DataFrame(columns=list(_COLUMNS)).astype(_COLUMNS)], [], []
        for each in outcomes:
            if isinstance(each, VideoFailure):
                failures.append(failure_row(each))
            elif isinstance(each, VideoPreview):
                tables.append(each.detections)
                runs = -(-each.expected_frames // config.detection_frequency)
                cost = {"detect_s": each.detect_s, "track_s": each.track_s}
                seconds = runs * each.detect_s + each.expected_frames * each.track_s
                looked_at = {"looked_at": len(each.looked_at), "frames": each.expected_frames}
                videos.append({"video_path": each.task.video_path, **looked_at, **cost, "seconds": seconds})
                if len(self._rows) < SHEET_VIDEOS:
                    self._rows.append((each.task.video_path, each.images))
        self.detections = pd.concat([t for t in tables if len(t)] or tables, ignore_index=True)
        columns = ["video_path", "looked_at", "frames", "detect_s", "track_s", "seconds"]
        self.videos = pd.DataFrame(videos, columns=columns)
        self.failures = pd.DataFrame(failures)

    def counts(self, by: str = "label") -> pd.DataFrame:
        """Detections per frame that was looked at, by threshold: a row per ``label`` or ``video_path``."""
        looked = self.videos.set_index("video_path")["looked_at"]
        names = looked.index if by == "video_path" else self.config.classes
        frames: Any = looked if by == "video_path" else max(looked.sum(), 1)
        scores = self.detections["score"]
        table = {
            level: (self.detections[scores >= np.float32(level)].groupby(by).size() / frames)
            for level in sorted({*THRESHOLDS, round(self.config.box_threshold, 3)})
        }
        return pd.DataFrame(table).reindex(names).fillna(0.0).rename_axis(index=by, columns="box_threshold")

    def estimate_s(self, workers: int | None = None) -> float:
        """Seconds that the run will take on so many workers (those of the session), its start not counted.

        The sum over all videos of runs of the detector x ``detect_s`` + frames x ``track_s``, as measured on
        this very machine, spread over the workers as the run spreads it. Annotated videos cost extra, and so
        do scenes with more objects than the frames that were tracked.
        """
        ends = [0.0] * (workers or self.workers)
        for seconds in sorted(self.videos["seconds"], reverse=True):
            heapq.heappush(ends, heapq.heappop(ends) + seconds)
        return max(ends)

    @property
    def image(self) -> Image:
        """Contact sheet, RGB ``uint8``: a row of frames for each of the first videos."""
        return compose_sheet(self._rows, width=1600)

    def __repr__(self) -> str:
        n, frames = len(self.videos), int(self.videos["frames"].sum())
        found = int((self.detections["score"] >= self.config.box_threshold).sum())
        looked_at = int(self.videos["looked_at"].sum())
        failed = f", {len(self.failures)} failed" if len(self.failures) else ""
        return (
            f"Preview({plural(n, 'video')}{failed}; "
            f"{plural(found, 'detection')} in {plural(looked_at, 'frame')}; "
            f"a run of {plural(frames, 'frame')} on {plural(self.workers, 'worker')} "
            f"will take about {duration(self.estimate_s())})"
        )

    def _repr_html_(self) -> str:
        parts = [f"<p>{html.escape(repr(self))}</p>"]
        parts.append("<p>Detections per frame, by the lowest score that counts:</p>")
        parts.append(self.counts().round(2).to_html())
        if self._rows:
            parts.append(f'<img alt="frames with detections" src="{data_url(self.image)}"/>')
        if len(self.failures):
            parts.append(self.failures[["video_path", "error_type", "message"]].to_html())
        return "".join(parts)


def _sensitive(detector: Detector) -> Detector:
    """The detector with the lowest threshold that is shown, where it can change it."""
    return detector.at_threshold(LOWEST_SCORE) if isinstance(detector, AdjustableDetector) else detector


def evenly_spread(num_frames: int, frames: int) -> list[int]:
    """Indices in the middle of equal parts of the video."""
    return [int((k + 0.5) * max(num_frames, 1) / frames) for k in range(frames)]


def _above(found: Detections, threshold: float) -> Detections:
    keep = np.flatnonzero(found.scores >= threshold)
    return Detections(found.xyxy[keep], found.scores[keep], tuple(found.labels[i] for i in keep))


def _processed(tracked: Sequence[TrackedObjects]) -> tuple[Any, Any]:
    idx, time_s = [each.frame.idx for each in tracked], [each.frame.time_s for each in tracked]
    return np.array(idx, np.int32), np.array(time_s, np.float64)


def _detection_rows(video_path: str, looked: Sequence[Frame], found: Sequence[Detections]) -> pd.DataFrame:
    rows = [
        (video_path, frame.idx, frame.time_s, label, score, x1, y1, x2 - x1, y2 - y1)
        for frame, each in zip(looked, found, strict=True)
        for label, score, (x1, y1, x2, y2) in zip(each.labels, each.scores, each.xyxy, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)


def _draw(frame: Frame, found: Detections) -> Image:
    """A small copy with boxes, labels and scores."""
    width = frame.image.shape[1]
    image, n = fit(frame.image, min(_THUMBNAIL, width)), len(found)
    objects = TrackedObjects(
        frame=Frame(image, frame.idx, frame.time_s),
        obj_ids=np.arange(1, n + 1, dtype=np.int32),
        xyxy=found.xyxy * np.float32(image.shape[1] / width),
        scores=found.scores,
        labels=found.labels,
        detected=np.ones(n, np.bool_),
        areas=np.zeros(n, np.int32),
    )
    return draw(objects)
