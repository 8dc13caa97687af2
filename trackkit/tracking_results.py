"""Results as DataFrames: ``tracks`` (one row per visible object and frame), ``videos``, ``failures``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from trackkit.config import TrackConfig
from trackkit.core.errors import ResultsError
from trackkit.core.tasks import VideoFailure, VideoTask
from trackkit.core.words import plural
from trackkit.formats.export import Exported, ExportSource, ExportTarget, export
from trackkit.formats.supervision import to_detections
from trackkit.results.columns import FAILURE_DTYPES, TRACK_DTYPES, VIDEO_DTYPES, concat_tables
from trackkit.results.jsonl import iter_failures, iter_jsonl
from trackkit.results.trust import EVENT_DTYPES, TRUST_DTYPES, track_events, track_trust
from trackkit.results.video_result import Outcome, VideoResult, failure_of, failure_row, reason_of, video_row

if TYPE_CHECKING:
    import supervision as sv

    from trackkit.formats.export import Exported
    from trackkit.results.review import Review


def _frame(rows: list[dict[str, Any]], dtypes: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(dtypes)).astype(dtypes)


class TrackingResults:
    """What a run found.

    Args:
        outcomes: One ``VideoResult`` or ``VideoFailure`` per video.
        config: The options of the run.

    Attributes:
        tracks: One row per visible object and processed frame; columns and units in ``TRACK_DTYPES``.
            An object that is out of sight has no row.
        videos: One row per video, failed ones included; columns in ``VIDEO_DTYPES``.
        failures: One row per video that failed, or that breaks off and was tracked up to there; columns in
            ``FAILURE_DTYPES``.
        notes: What the user should know of the run as a whole, such as options of a file that this version of
            trackkit does not know.
    """

    def __init__(self, outcomes: Iterable[Outcome], config: TrackConfig) -> None:
        self.config = config
        self.outcomes = tuple(outcomes)

    @cached_property
    def tracks(self) -> pd.DataFrame:
        """One row per visible object and processed frame."""
        return self._of_every_video(lambda result, config: result.tracks, TRACK_DTYPES)

    @cached_property
    def videos(self) -> pd.DataFrame:
        """One row per video."""
        return _frame([video_row(outcome) for outcome in self.outcomes], VIDEO_DTYPES)

    @cached_property
    def failures(self) -> pd.DataFrame:
        """One row per video that failed or is truncated."""
        failures = [failure for failure in map(failure_of, self.outcomes) if failure is not None]
        return _frame([failure_row(failure) for failure in failures], FAILURE_DTYPES)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the run as a whole."""
        return self.config.notes

    @cached_property
    def trust(self) -> pd.DataFrame:
        """One row per track: how far it can be trusted, and why; see :mod:`trackkit.results.trust`."""
        return self._of_every_video(track_trust, TRUST_DTYPES)

    @cached_property
    def events(self) -> pd.DataFrame:
        """What happens to the tracks: born, lost, recovered, ended, suspected switch.

        Each is defined in :func:`trackkit.results.trust.track_events`.
        """
        return self._of_every_video(track_events, EVENT_DTYPES)

    def of(self, video: str | os.PathLike[str] | None = None) -> VideoResult:
        """The result of one video.

        Args:
            video: Its path as in the results, its absolute path or, where no other video has the same, its
                file name with or without extension. May be left out where only one was tracked.

        Raises:
            ResultsError: It is not in the results, it failed, or several have that name.
        """
        tracked = [outcome for outcome in self.outcomes if isinstance(outcome, VideoResult)]
        if video is None and len(tracked) == 1:
            return tracked[0]
        name = os.fspath(video or "")
        meanings: tuple[Callable[[VideoTask], bool], ...] = (
            lambda task: task.video_path == name,
            lambda task: task.source == os.path.abspath(name),  # noqa: PTH100 - as make_task does
            lambda task: name in (Path(task.video_path).name, Path(task.video_path).stem),
        )
        found: list[Outcome] = []
        for means in meanings:  # the first that fits any video decides
            found = found or [outcome for outcome in self.outcomes if means(outcome.task)]
        if len(found) == 1 and isinstance(found[0], VideoResult):
            return found[0]
        if video is None:
            reason = f"{len(tracked)} videos were tracked and none is named"
        elif not found:
            reason = f"{name} is not in the results"
        elif len(found) > 1:
            reason = f"{name} is the name of several videos"
        else:
            (failure,) = (outcome for outcome in found if isinstance(outcome, VideoFailure))
            reason = f"{name} failed ({failure.error_type}: {reason_of(failure)})"
        known = [outcome.task.video_path for outcome in (found if len(found) > 1 else tracked)]
        paths = f", of {', '.join(known[:5])}" if known else ""
        more = ", ..." if len(known) > 5 else ""
        msg = f"{reason}; expected one that was tracked{paths}{more}"
        raise ResultsError(msg)

    def review(self, n: int = 12) -> Review:
        """The tracks that are least to be trusted, the worst first, in pictures.

        A notebook shows each in its first, its worst and its last frame; ``.tracks`` is the table. The source
        videos are read for it; where one is gone, ``.notes`` says so.

        Args:
            n: So many tracks at most.
        """
        from trackkit.results.review import review  # draws: needed in notebooks only

        return review(self.trust, self.of, n)

    # What they can be written as: see trackkit.formats.export for what holds for all formats.

    def to_csv(self, path: str | os.PathLike[str], *, with_frames: bool = False) -> Exported:
        """Write the rows of ``tracks`` as text."""
        return self._export(path, "csv", with_frames)

    def to_parquet(self, path: str | os.PathLike[str], *, with_frames: bool = False) -> Exported:
        """Write the rows of ``tracks`` with their types: ``pandas.read_parquet`` gives the table back."""
        return self._export(path, "parquet", with_frames)

    def to_coco(self, path: str | os.PathLike[str], *, with_frames: bool = False) -> Exported:
        """Write COCO JSON: an image per processed frame, RLE masks; ``track_id`` is unique over videos."""
        return self._export(path, "coco", with_frames)

    def to_youtube_vis(self, path: str | os.PathLike[str], *, with_frames: bool = False) -> Exported:
        """Write YouTube-VIS JSON: an annotation per object, with a mask or null per processed frame.

        Raises:
            ConfigError: There are boxes without masks.
        """
        return self._export(path, "youtube-vis", with_frames)

    def to_mot(self, path: str | os.PathLike[str], *, with_frames: bool = False) -> Exported:
        """Write MOTChallenge results, ``<video>.txt``: ``frame,id,x,y,w,h,score,-1,-1,-1``, frames from 1."""
        return self._export(path, "mot", with_frames)

    def to_cvat(self, path: str | os.PathLike[str], *, with_frames: bool = False) -> Exported:
        """Write CVAT for video 1.1, ``<video>.xml``: a track of boxes per object, to be corrected there."""
        return self._export(path, "cvat", with_frames)

    def to_davis(self, path: str | os.PathLike[str], *, with_frames: bool = False) -> Exported:
        """Write DAVIS masks, ``<video>/<frame_idx>.png``: the pixel value is the object's id, 0 none.

        Where objects overlap, the smaller one (of two as large, that with the higher id) has the pixels,
        as in annotated videos.

        Raises:
            ConfigError: There are boxes without masks, or more than 254 objects in a video.
        """
        return self._export(path, "davis", with_frames)

    def to_supervision(
        self, video_path: str | os.PathLike[str] | None = None
    ) -> Iterator[tuple[int, sv.Detections]]:
        """The objects of one video as ``supervision.Detections``, frame by frame.

        Args:
            video_path: As in :meth:`TrackingResults.of`; may be left out where only one was tracked.

        Returns:
            ``(frame_idx, detections)`` of every processed frame, those without objects included.
            ``class_id`` counts the classes of the prompt from 0, ``data["class_name"]`` has the labels,
            ``tracker_id`` is ``obj_id``, ``mask`` is ``bool (N, H, W)``, or None where there are boxes only.

        Raises:
            ResultsError: The results do not hold that video, it failed, or none of several is named.
        """
        return to_detections(self.of(video_path), self.config.classes)

    def _export(self, path: str | os.PathLike[str], format: str, with_frames: bool) -> Exported:
        return export_results(self, path, format, with_frames=with_frames)

    def _of_every_video(
        self, make: Callable[[VideoResult, TrackConfig], pd.DataFrame], dtypes: dict[str, str]
    ) -> pd.DataFrame:
        tables = [make(outcome, self.config) for outcome in self.outcomes if isinstance(outcome, VideoResult)]
        return concat_tables(tables, dtypes)

    def _repr_html_(self) -> str:
        from trackkit.results.summary import results_html

        return results_html(
            repr(self),
            self.config.text_prompt,
            notes=self.notes,
            videos=self.videos,
            failures=self.failures,
            trust=self.trust,
        )

    def __len__(self) -> int:
        return len(self.outcomes)

    def __repr__(self) -> str:
        videos = self.videos
        counts = videos["status"].value_counts()
        status = ", ".join(
            f"{counts[name]} {name}" for name in ("ok", "truncated", "failed") if name in counts
        )
        objects = plural(int(videos["objects"].sum()), "object")
        frames = plural(int(videos["frames"].sum()), "frame")
        return f"TrackingResults({status or 'no videos'}; {objects} in {frames})"


def export_results(
    results: TrackingResults | str | os.PathLike[str],
    path: str | os.PathLike[str],
    format: str,
    *,
    with_frames: bool = False,
) -> Exported:
    """Write results in a format that other tools read; see :mod:`trackkit.formats.export`.

    Args:
        results: Results, or the JSONL file of a run, which is read video by video, in bounded memory. The
            last line of a video counts; runs with different options may be in one file.
        path: File or folder to write. Beside it comes ``<path, without a file's suffix>.videos.csv``.
        format: One of ``trackkit.formats.writers.EXPORT_FORMATS``.
        with_frames: Write the processed frames as well, JPEG, to the folder ``<path>_frames``:
            ``<video>/<frame_idx>.jpg``, the file names that ``coco`` and ``youtube-vis`` give. The videos
            must be where they were.

    Raises:
        ConfigError: The format is unknown or cannot hold these results, or the folder is not empty.
        ResultsError: The JSONL file cannot be read, the output not be written, or a video has changed.
        VideoOpenError: A video is not there any more, with ``with_frames``.
    """
    target = ExportTarget.find(path, format, with_frames=with_frames)
    if isinstance(results, TrackingResults):
        source = ExportSource.from_outcomes(results.outcomes, results.config)
    else:
        source = ExportSource.from_jsonl(results)
    return export(source, target)


def read_jsonl(path: str | os.PathLike[str]) -> TrackingResults:
    """Read back what a run wrote, in either layout, failures included.

    Raises:
        ResultsError: The file is missing, empty, cut, or mixes runs with different options.
    """
    path = Path(path)
    outcomes: dict[str, Outcome] = {}
    config: TrackConfig | None = None
    for failure, _ in iter_failures(path):
        outcomes[failure.task.source] = failure
    for result, line_config in iter_jsonl(path):
        # Equal ones, as a rule: that is quicker to see than their identity.
        if config is not None and line_config != config and line_config.identity != config.identity:
            msg = f"{path} holds runs with different options: read them one by one with iter_jsonl"
            raise ResultsError(msg)
        outcomes[result.task.source] = result
        config = line_config
    if config is None:
        msg = f"{path} holds no results"
        raise ResultsError(msg)
    return TrackingResults(outcomes.values(), config)
