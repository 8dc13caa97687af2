"""One video at the task boundary: what goes wrong with it becomes a ``VideoFailure``."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import TypeGuard

from trackkit.config import TrackConfig
from trackkit.core.errors import StorageError
from trackkit.core.tasks import VideoFailure, VideoTask
from trackkit.results.video_result import Outcome, VideoResult
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
) -> Outcome:
    """Track one video; what goes wrong with it becomes a ``VideoFailure``.

    If the GPU runs out of memory, the video is tried once more with less of it (``low_memory``), in the time
    that is left. This changes no result. The ``warnings`` of the result say so.

    Args:
        task: The video.
        config: The options of the run.
        models: Loaded for these options.
        on_progress: Called a few times a second.
        work: What is done to the video.
        timeout_s: What the video may take, seconds.
        worker: Name of the worker, for the result.
        gpu: Its GPU, likewise.

    Raises:
        StorageError: No output can be written any more, which is the run's problem.
    """
    do = partial(work, task, config, models=models, on_progress=on_progress)
    first = _attempt_once(task, partial(do, timeout_s=timeout_s, low_memory=False))
    if not _ran_out_of_memory(first):
        return replace(first, worker=worker, gpu=gpu)
    free_gpu_memory()
    left_s = None if timeout_s is None else max(0.0, timeout_s - first.seconds)
    second = replace(
        _attempt_once(task, partial(do, timeout_s=left_s, low_memory=True)), worker=worker, gpu=gpu
    )
    if isinstance(second, VideoResult):
        note = (
            f"the GPU ran out of memory: done again with batch_size 1 in place of {config.batch_size}, "
            "few objects at a time, and what is remembered of them on the host"
        )
        return replace(second, warnings=(*second.warnings, note))
    message = second.message
    if _ran_out_of_memory(second):
        message += (
            "; with one frame and few objects at a time, too: use a smaller --sam-type or --max-objects, or "
            "fewer workers on this GPU"
        )
    return replace(second, message=message, attempts=2, seconds=first.seconds + second.seconds)


def _attempt_once(task: VideoTask, do: Callable[[], VideoResult]) -> Outcome:
    started = perf_counter()
    try:
        return do()
    except StorageError:  # the run's problem, not the video's: the others would fail, too
        raise
    except Exception as error:  # noqa: BLE001 - whatever it was, it is recorded and the run goes on
        trace, seconds = "".join(traceback.format_exception(error)), perf_counter() - started
        return VideoFailure(task, type(error).__name__, str(error), trace, seconds=seconds)


def _ran_out_of_memory(outcome: Outcome) -> TypeGuard[VideoFailure]:
    # By name: nothing holds the error itself any more, nor the tensors that its traceback held.
    return isinstance(outcome, VideoFailure) and outcome.error_type == "OutOfMemoryError"


def free_gpu_memory() -> None:
    """Give back to the GPU what nothing holds any more."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()
