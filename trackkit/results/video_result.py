"""The result of one video, and its rows in the tables of a run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from trackkit.core.errors import VideoDecodeError
from trackkit.core.frames import VideoInfo
from trackkit.core.tasks import VideoFailure, VideoTask
from trackkit.results.columns import FAILURE_DTYPES


@dataclass(frozen=True, slots=True, eq=False)
class VideoResult:
    """One tracked video.

    Attributes:
        task: What was asked for.
        info: Width, height, rate and the true number of frames read.
        tracks: One row per visible object and processed frame, columns in ``TRACK_DTYPES``.
        frames: ``(idx, time_s)`` of every processed frame, those without objects included.
        process_fps: Mean rate of the frames that were processed, per second of video, pauses left out.
        seconds: Wall seconds per stage: load, decode, detect, track, encode, write, total.
        peak_rss_mb: Peak resident memory of the worker process, MiB.
        peak_gpu_mb: Peak GPU memory allocated, MiB; None on a CPU.
        worker: Name of the worker; ``"local"`` without a cluster.
        gpu: GPU that the worker sees, None on a CPU.
        truncated: Why reading broke off before the end, None for a whole video.
        warnings: What the user should know: fallbacks, limits that were reached.
    """

    task: VideoTask
    info: VideoInfo
    tracks: pd.DataFrame
    frames: tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]
    process_fps: float
    seconds: dict[str, float]
    peak_rss_mb: float
    peak_gpu_mb: float | None = None
    worker: str = "local"
    gpu: str | None = None
    truncated: str | None = None
    warnings: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        from trackkit.results.html import video_html  # needed in notebooks only

        return video_html(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles masks as Arrow has them: pandas would copy them, and those of a long video are large."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        place = self.tracks.columns.get_loc("mask_rle")
        masks: Any = self.tracks["mask_rle"].array
        values["tracks"] = self.tracks.drop(columns="mask_rle")
        return _result_of, (type(self), values, place, masks.__arrow_array__())


def _result_of(kind: type[VideoResult], values: dict[str, Any], place: int, masks: Any) -> VideoResult:
    values["tracks"].insert(place, "mask_rle", pd.array(masks, dtype="str"))
    return kind(**values)


Outcome: TypeAlias = VideoResult | VideoFailure
"""What comes of a video."""


def video_row(result: Outcome) -> dict[str, Any]:
    """The row of ``TrackingResults.videos`` for one outcome."""
    if isinstance(result, VideoFailure):
        return {
            "video_path": result.task.video_path,
            "status": "failed",
            "worker": result.worker,
            "gpu": result.gpu,
            "seconds_total": result.seconds,
            "message": f"{result.error_type}: {reason_of(result)}",
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


def failure_of(outcome: Outcome) -> VideoFailure | None:
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
    return {"video_path": failure.task.video_path, **row, "message": reason_of(failure)}


def reason_of(failure: VideoFailure) -> str:
    """What the error said, without the path that it begins with: tables have that in a column of its own."""
    for path in (failure.task.source, failure.task.video_path):
        if failure.message.startswith(f"{path}: "):
            return failure.message.removeprefix(f"{path}: ")
    return failure.message
