"""What runs on a Dask worker: the models, loaded once, and one task per video."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import os
import threading
import traceback
from concurrent.futures import Future
from contextlib import nullcontext
from time import perf_counter
from typing import Any, TypeGuard

from distributed import Worker, WorkerPlugin, get_worker

from trackkit.config import TrackConfig
from trackkit.errors import StorageError, VideoTimeout
from trackkit.structures import Progress, VideoFailure, VideoResult, VideoTask
from trackkit.tracking import Models, ProgressCallback, load_models, track_video
from trackkit.watchdog import end_process, watchdog

PROGRESS_TOPIC = "trackkit-progress"
LAST_WORDS_TOPIC = "trackkit-last-words"  # what a worker says of a video before it ends its process
# How torch begins what it says of a failed kernel: each later use of the GPU by this process fails, too.
_CUDA_ERROR = "CUDA error:"


class ModelHost(WorkerPlugin):
    """Loads the models when a worker starts and keeps them until the session ends.

    ``setup`` must not block (heartbeats would stop) and must not raise (on a worker that joins later Dask
    would only log it), so a thread loads, and whoever asks waits for it and gets its error.

    Args:
        config: What to load.
        device: ``"cpu"``, ``"cuda:0"`` (the GPU that a worker sees), or None: a GPU if the worker sees one.
    """

    def __init__(self, config: TrackConfig, device: str | None) -> None:
        self.config, self.device = config, device
        self.name = f"trackkit-models-{config.hash}-{device}"

    def setup(self, worker: Worker) -> None:
        """Begin to load."""
        self._models: Future[Models] = Future()
        threading.Thread(target=self._load, name="trackkit-load", daemon=True).start()

    def teardown(self, worker: Worker) -> None:
        """Let go of the models."""
        del self._models

    def get(self) -> Models:
        """The models; waits until they are loaded, and raises what loading raised."""
        return self._models.result()

    async def loaded(self) -> Models:
        """Wait in the event loop, as ``get`` does in a task's thread."""
        return await asyncio.wrap_future(self._models)

    def _load(self) -> None:
        try:
            self._models.set_result(load_models(self.config, self.device or _own_device()))
        except BaseException as error:  # noqa: BLE001 - handed on to whoever calls get()
            self._models.set_exception(error)


def _own_device() -> str:
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"


def run_task(
    task: VideoTask, host: str, timeout_s: float | None = None, grace_s: float = 0.0
) -> VideoResult | VideoFailure:
    """Track one video with the models of the plugin named ``host``: what a Dask task does.

    A model that does not load is the run's problem, not the video's, and raises CheckpointError or
    ConfigError. Two things end the process, with a ``VideoFailure`` on ``LAST_WORDS_TOPIC``: a video that is
    not back ``grace_s`` after its time is over, and an error after which the GPU can do nothing more.
    """
    worker = get_worker()
    plugin: ModelHost = worker.plugins[host]
    models = plugin.get()
    name, gpu = str(worker.name), _gpu(models)

    reached, started = 0, perf_counter()

    def publish(progress: Progress) -> None:
        nonlocal reached
        reached = progress.frames
        event = dataclasses.replace(progress, worker=name, gpu=gpu)
        worker.log_event(PROGRESS_TOPIC, {"progress": dataclasses.asdict(event)})

    def say(failure: VideoFailure) -> None:
        worker.log_event(LAST_WORDS_TOPIC, {"failure": dataclasses.asdict(failure)})

    def give_up(stack: str) -> None:
        seconds = perf_counter() - started
        message = (
            f"{task.video_path}: hangs after {reached} frames; its worker process was ended after "
            f"{seconds:.0f} s, as --timeout-per-video is {timeout_s:g} s. The traceback says where it hung"
        )
        say(VideoFailure(task, VideoTimeout.__name__, message, stack, 1, name, gpu, seconds))

    with nullcontext() if timeout_s is None else watchdog(timeout_s + grace_s, give_up):
        outcome = attempt(task, plugin.config, models, publish, timeout_s=timeout_s, worker=name, gpu=gpu)
    if isinstance(outcome, VideoFailure) and _CUDA_ERROR in outcome.message:
        say(outcome)
        end_process()
    return outcome


def attempt(
    task: VideoTask,
    config: TrackConfig,
    models: Models,
    on_progress: ProgressCallback | None,
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
    first = _attempt_once(task, config, models, on_progress, timeout_s, False, where)
    if not _ran_out_of_memory(first):
        return first
    _free_gpu_memory()
    left_s = None if timeout_s is None else max(0.0, timeout_s - first.seconds)
    second = _attempt_once(task, config, models, on_progress, left_s, True, where)
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
    timeout_s: float | None,
    low_memory: bool,
    where: dict[str, Any],
) -> VideoResult | VideoFailure:
    started = perf_counter()
    try:
        result = track_video(
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


def _gpu(models: Models) -> str | None:
    if models.device == "cpu":
        return None
    return os.environ.get("CUDA_VISIBLE_DEVICES", models.device)


async def wait_for_models(host: str, dask_worker: Worker) -> tuple[str, str | None]:
    """Wait, the worker's event loop going on, until its models are loaded; raises what loading raised.

    Returns:
        The worker's name, and its GPU.
    """
    return str(dask_worker.name), _gpu(await dask_worker.plugins[host].loaded())
