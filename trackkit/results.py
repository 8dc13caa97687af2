"""Results as DataFrames: ``tracks`` (one row per visible object and frame), ``videos``, ``failures``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from trackkit.clock import STAGES
from trackkit.config import TrackConfig
from trackkit.errors import ResultsError, VideoDecodeError
from trackkit.export_methods import ExportMethods
from trackkit.spool import Spool
from trackkit.structures import Frame, TrackedObjects, VideoFailure, VideoResult, VideoTask
from trackkit.tables import boxes_of_rows, concat_tables
from trackkit.trust import EVENT_DTYPES, TRUST_DTYPES, track_events, track_trust

if TYPE_CHECKING:
    from trackkit.display import Review

TRACK_DTYPES: dict[str, str] = {
    "video_path": "category",
    "label": "category",
    "frame_idx": "int32",  # 0-based, in the source video
    "time_s": "float64",  # presentation time
    "obj_id": "int32",  # unique in its video
    "score": "float32",  # of the last matched detection
    "x": "float32",  # left edge, source pixels
    "y": "float32",  # top edge
    "width": "float32",
    "height": "float32",
    "area_px": "int32",  # pixels of the mask; of the box where there is no mask
    "detected": "bool",  # matched to a detection in this frame, not only propagated
    "pred_iou": "float32",  # IoU that SAM 2 expects of its mask and the object; missing with other trackers
    "mask_rle": "str",  # compressed COCO RLE counts of the full frame; missing where there is no mask
}

VIDEO_DTYPES: dict[str, str] = {
    "video_path": "str",
    "status": "str",  # ok, truncated, failed
    "width": "Int32",
    "height": "Int32",
    "source_fps": "Float64",
    "process_fps": "Float64",
    "num_frames": "Int64",  # of the source
    "duration_s": "Float64",
    "frames": "Int64",  # processed
    "objects": "Int64",  # distinct ids
    "fps": "Float64",  # processed frames per wall second
    **{f"seconds_{stage}": "Float64" for stage in ("load", *STAGES, "total")},
    "peak_rss_mb": "Float64",
    "peak_gpu_mb": "Float64",
    "worker": "str",
    "gpu": "str",
    "output_video": "str",
    "message": "str",  # why it is truncated or failed
    "warnings": "str",
}

FAILURE_DTYPES: dict[str, str] = {
    "video_path": "str",
    "error_type": "str",
    "message": "str",
    "traceback": "str",
    "attempts": "int32",
    "worker": "str",
    "gpu": "str",
    "seconds": "float64",
}


class TrackTable:
    """Collects the rows of one video in compact columns, those of a long one on disk, for a DataFrame."""

    def __init__(self, video_path: str, classes: Sequence[str]) -> None:
        self._video_path = video_path
        self._codes = {name: code for code, name in enumerate(classes)}
        dtypes: dict[str, Any] = {k: v for k, v in TRACK_DTYPES.items() if v not in ("category", "str")}
        dtypes |= {"label": np.min_scalar_type(-len(classes)), "rles": np.uint8, "rle_ends": np.int64}
        self._columns = Spool(dtypes)
        self._columns.append("rle_ends", [0])
        self._len = self._rle_end = 0
        self._has_masks = True

    def __len__(self) -> int:
        return self._len

    def add(self, objects: TrackedObjects) -> None:
        """Append the objects of one frame.

        Raises:
            StorageError: The disk is full.
        """
        n = len(objects)
        if n == 0:
            return
        self._len += n
        (x, y, x2, y2), rles = objects.xyxy.T, objects.rles
        self._has_masks = self._has_masks and rles is not None
        ends = self._rle_end + np.cumsum([len(rle) for rle in rles or ()], dtype=np.int64)
        self._rle_end = int(ends[-1]) if rles else 0
        for name, values in {
            "label": [self._codes[label] for label in objects.labels],
            "frame_idx": np.full(n, objects.frame.idx),
            "time_s": np.full(n, objects.frame.time_s),
            "obj_id": objects.obj_ids,
            "score": objects.scores,
            **{"x": x, "y": y, "width": x2 - x, "height": y2 - y},
            "area_px": objects.areas,
            "detected": objects.detected,
            "pred_iou": np.full(n, np.nan) if objects.pred_ious is None else objects.pred_ious,
            "rles": np.frombuffer(b"".join(rles or ()), np.uint8),
            "rle_ends": ends,
        }.items():
            self._columns.append(name, values)

    def to_frame(self) -> pd.DataFrame:
        """The rows as a DataFrame with the columns and dtypes of ``TRACK_DTYPES``; once, at the end.

        Raises:
            StorageError: The disk is full.
        """
        columns: dict[str, Any] = self._columns.to_numpy()
        codes, zeros = columns["label"], np.zeros(len(self), np.int8)
        columns["video_path"] = pd.Categorical.from_codes(zeros, categories=pd.Index([self._video_path]))
        columns["label"] = pd.Categorical.from_codes(codes, categories=pd.Index(list(self._codes)))
        rles: Any = np.full(len(self), None)
        if self._has_masks:
            buffers = [pa.py_buffer(columns[name]) for name in ("rle_ends", "rles")]
            rles = pa.LargeStringArray.from_buffers(len(self), *buffers)
        columns["mask_rle"] = pd.array(rles, dtype="str")
        # Without a copy: what lies on disk stays there.
        return pd.DataFrame({name: columns[name] for name in TRACK_DTYPES}, copy=False)


def objects_in(rows: pd.DataFrame, frame: Frame) -> TrackedObjects:
    """The objects of one frame, from its rows of ``tracks``: the inverse of :meth:`TrackTable.add`.

    Example:
        >>> annotated = draw(objects_in(tracks[tracks.frame_idx == frame.idx], frame))  # doctest: +SKIP
    """
    has_masks = bool(rows["mask_rle"].notna().all())
    return TrackedObjects(
        frame=frame,
        obj_ids=rows["obj_id"].to_numpy(np.int32),
        xyxy=boxes_of_rows(rows),
        scores=rows["score"].to_numpy(np.float32),
        labels=tuple(rows["label"]),
        detected=rows["detected"].to_numpy(np.bool_),
        areas=rows["area_px"].to_numpy(np.int32),
        rles=tuple(counts.encode() for counts in rows["mask_rle"]) if has_masks else None,
        pred_ious=rows["pred_iou"].to_numpy(np.float32),
    )


def video_row(result: VideoResult | VideoFailure) -> dict[str, Any]:
    """The row of ``TrackingResults.videos`` for one outcome."""
    if isinstance(result, VideoFailure):
        return {
            "video_path": result.task.video_path,
            "status": "failed",
            "worker": result.worker,
            "gpu": result.gpu,
            "seconds_total": result.seconds,
            "message": f"{result.error_type}: {result.message}",
        }
    info, total, frames = result.info, result.seconds["total"], len(result.frames[0])
    return {
        "video_path": result.task.video_path,
        "status": "truncated" if result.truncated else "ok",
        "width": info.width,
        "height": info.height,
        "source_fps": info.fps,
        "process_fps": result.process_fps,
        "num_frames": info.num_frames,
        "duration_s": info.duration_s,
        "frames": frames,
        "objects": result.tracks["obj_id"].nunique(),
        "fps": frames / total if total > 0 else None,
        **{f"seconds_{stage}": seconds for stage, seconds in result.seconds.items()},
        "peak_rss_mb": result.peak_rss_mb,
        "peak_gpu_mb": result.peak_gpu_mb,
        "worker": result.worker,
        "gpu": result.gpu,
        "output_video": result.task.output_video,
        "message": result.truncated,
        "warnings": "; ".join(result.warnings) or None,
    }


def failure_of(outcome: VideoResult | VideoFailure) -> VideoFailure | None:
    """What is wrong with a video: it failed, or breaks off before its end; None for a whole one."""
    if isinstance(outcome, VideoFailure):
        return outcome
    if outcome.truncated is None:
        return None
    return VideoFailure(
        outcome.task,
        VideoDecodeError.__name__,
        outcome.truncated,
        worker=outcome.worker,
        gpu=outcome.gpu,
        seconds=outcome.seconds["total"],
    )


def failure_row(failure: VideoFailure) -> dict[str, Any]:
    """The row of ``TrackingResults.failures`` for one failed video."""
    row = {name: getattr(failure, name) for name in FAILURE_DTYPES if name != "video_path"}
    return {"video_path": failure.task.video_path, **row}


def _frame(rows: list[dict[str, Any]], dtypes: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(dtypes)).astype(dtypes)


class TrackingResults(ExportMethods):
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
    """

    def __init__(self, outcomes: Iterable[VideoResult | VideoFailure], config: TrackConfig) -> None:
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

    @cached_property
    def trust(self) -> pd.DataFrame:
        """One row per track: how far it can be trusted, and why; see :func:`trackkit.trust.track_trust`."""
        return self._of_every_video(track_trust, TRUST_DTYPES)

    @cached_property
    def events(self) -> pd.DataFrame:
        """What happens to the tracks: born, lost, recovered, ended, suspected switch.

        Each is defined in :func:`trackkit.trust.track_events`.
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
        tests: tuple[Callable[[VideoTask], bool], ...] = (
            lambda task: task.video_path == name,
            lambda task: task.source == os.path.abspath(name),  # noqa: PTH100 - as make_task does
            lambda task: name in (Path(task.video_path).name, Path(task.video_path).stem),
        )
        found = next(filter(None, ([o for o in self.outcomes if test(o.task)] for test in tests)), [])
        if len(found) == 1 and isinstance(found[0], VideoResult):
            return found[0]
        known = found if len(found) > 1 else tracked
        paths = ", ".join(outcome.task.video_path for outcome in known[:5])
        reason = f"{name} is the name of several videos" if found else f"{name} is not in the results"
        if video is None:
            reason = f"{len(tracked)} videos were tracked and none is named"
        if len(found) == 1 and isinstance(found[0], VideoFailure):
            reason = f"{name} failed ({found[0].error_type}: {found[0].message})"
        msg = f"{reason}; expected one that was tracked{', of ' * bool(paths)}{paths}"
        msg += ", ..." * (len(known) > 5)
        raise ResultsError(msg)

    def review(self, n: int = 12) -> Review:
        """The tracks that are least to be trusted, the worst first, in pictures.

        A notebook shows each in its first, its worst and its last frame; ``.tracks`` is the table. The source
        videos are read for it; where one is gone, ``.notes`` says so.

        Args:
            n: So many tracks at most.
        """
        from trackkit.display import review  # needed in notebooks only

        return review(self, n)

    def _of_every_video(
        self, make: Callable[[VideoResult, TrackConfig], pd.DataFrame], dtypes: dict[str, str]
    ) -> pd.DataFrame:
        tables = [make(outcome, self.config) for outcome in self.outcomes if isinstance(outcome, VideoResult)]
        return concat_tables(tables, dtypes)

    def _repr_html_(self) -> str:
        from trackkit.display import results_html

        return results_html(self)

    def __len__(self) -> int:
        return len(self.outcomes)

    def __repr__(self) -> str:
        videos = self.videos
        counts = videos["status"].value_counts()
        status = ", ".join(
            f"{counts[name]} {name}" for name in ("ok", "truncated", "failed") if name in counts
        )
        objects, frames = videos["objects"].sum(), videos["frames"].sum()
        return f"TrackingResults({status or 'no videos'}; {objects} objects in {frames} frames)"
