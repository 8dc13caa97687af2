"""One video at the task boundary: what goes wrong with it becomes a ``VideoFailure``."""

from __future__ import annotations

import dataclasses
import gc
import traceback
from time import perf_counter
from typing import Any, TypeGuard

from trackkit.config import TrackConfig
from trackkit.core.errors import StorageError
from trackkit.core.tasks import VideoFailure, VideoTask
from trackkit.results.video_result import VideoResult
from trackkit.tracking.models import Models
from trackkit.tracking.reporter import ProgressCallback
from trackkit.tracking.track_video import Work, track_video


def attempt(
    task: VideoTask,
    config: TrackConfig,
    models: Models,
    on_progress: ProgressCallback | None,
    work: Work = track_video,
    *,
    timeout_s: float | None = None,
    worker: str,
    gpu: str | None = None,
) -> VideoResult | VideoFailure:
    """Track one video: the task boundary. What goes wrong with the video becomes a ``VideoFailure``.

    Raises StorageError where no output can be written any more, which is the run's problem.
    Where the GPU has not enough memory, the video is tried once more in less of it (``low_memory``), which
    changes no result, in what is left of its time; the ``warnings`` of the result say so.
    """
    where = {"worker": worker, "gpu": gpu}
    first = _attempt_once(task, config, models, on_progress, work, timeout_s, False, where)
    if not _ran_out_of_memory(first):
        return first
    _free_gpu_memory()
    left_s = None if timeout_s is None else max(0.0, timeout_s - first.seconds)
    second = _attempt_once(task, config, models, on_progress, work, left_s, True, where)
    if isinstance(second, VideoResult):
        note = (
            f"the GPU ran out of memory: done again with batch_size 1 in place of {config.batch_size}, "
            "few objects at a time, and what is remembered of them on the host"
        )
        return dataclasses.replace(second, warnings=(*second.warnings, note))
    advice = (
        "; with one frame and few objects at a time, too: use a smaller --sam-type or --max-objects, or "
        "fewer workers on this GPU"
    )
    message = second.message + (advice if _ran_out_of_memory(second) else "")
    return dataclasses.replace(second, message=message, attempts=2, seconds=first.seconds + second.seconds)


def _attempt_once(
    task: VideoTask,
    config: TrackConfig,
    models: Models,
    on_progress: ProgressCallback | None,
    work: Work,
    timeout_s: float | None,
    low_memory: bool,
    where: dict[str, Any],
) -> VideoResult | VideoFailure:
    started = perf_counter()
    try:
        result = work(
            task,
            config,
            models=models,
            on_progress=on_progress,
            timeout_s=timeout_s,
            low_memory=low_memory,
        )
    except StorageError:  # the run's problem, not the video's: the others would fail, too
        raise
    except Exception as error:  # noqa: BLE001 - whatever it was, it is recorded and the run goes on
        trace, seconds = "".join(traceback.format_exception(error)), perf_counter() - started
        return VideoFailure(task, type(error).__name__, str(error), trace, seconds=seconds, **where)
    return dataclasses.replace(result, **where)


def _ran_out_of_memory(outcome: VideoResult | VideoFailure) -> TypeGuard[VideoFailure]:
    # By name: nothing holds the error itself any more, nor the tensors that its traceback held.
    return isinstance(outcome, VideoFailure) and outcome.error_type == "OutOfMemoryError"


def _free_gpu_memory() -> None:
    import torch

    gc.collect()
    torch.cuda.empty_cache()
