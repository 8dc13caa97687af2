"""What runs on a Dask worker: the models, loaded once, and one task per video."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
import threading
from concurrent.futures import CancelledError, Future
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from distributed import Worker, WorkerPlugin, get_worker

from trackkit.config import TrackConfig
from trackkit.core.errors import TrackkitError, VideoTimeout
from trackkit.core.tasks import Progress, VideoFailure, VideoTask
from trackkit.core.words import plural
from trackkit.monitor.events import BEGUN, LAST_WORDS_TOPIC, PROGRESS_TOPIC
from trackkit.results.video_result import Outcome
from trackkit.run.attempt import attempt, free_gpu_memory
from trackkit.run.own_methods import OwnMethods
from trackkit.run.watchdog import end_process, watchdog
from trackkit.tracking.models import Models, load_models
from trackkit.tracking.track_video import Work, track_video

if TYPE_CHECKING:
    from trackkit.monitor.thumbnails import Thumbnails

PLUGIN_S = 60.0  # a worker that has just come gets the plugin then
# How torch begins what it says of a failed kernel: each later use of the GPU by this process fails, too.
_CUDA_ERROR = "CUDA error:"


class ModelHost(WorkerPlugin):
    """Loads the models when a worker starts and keeps them until the session ends.

    ``setup`` must not block (heartbeats would stop) and must not raise (on a worker that joins later Dask
    would only log it), so a thread loads, and whoever asks waits for it and gets its error.

    Args:
        config: What to load.
        device: ``"cpu"``, ``"cuda:0"`` (the GPU that a worker sees), or None: a GPU if the worker sees one.
        name: Of the plugin. Each session has one of its own (see ``name_models``), so that those that share
            workers neither replace nor unload each other's models.

    Raises:
        ConfigError: The user's own detector or tracker cannot be sent to workers.
    """

    idempotent = True  # a worker that has it keeps its models when it is sent again

    def __init__(self, config: TrackConfig, device: str | None, name: str) -> None:
        self.config, self.device, self.name = config, device, name
        self.own_methods = OwnMethods.of(config)

    def setup(self, worker: Worker) -> None:
        """Begin to load."""
        self._models: Future[tuple[Models, Thumbnails]] = Future()
        who = f"{worker.name} ({worker.address})"
        load = partial(self._load, who, self._models)
        threading.Thread(target=load, name="trackkit-load", daemon=True).start()

    def teardown(self, worker: Worker) -> None:
        """Let go of the models: what is tracked or loaded just now keeps them until it ends."""
        del self._models
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            free_gpu_memory()

    def get(self) -> tuple[Models, Thumbnails]:
        """The models, and what draws; waits until they are loaded, and raises what loading raised."""
        return self._models.result()

    async def loaded(self) -> Models:
        """Wait in the event loop, as ``get`` does in a task's thread."""
        return (await asyncio.wrap_future(self._models))[0]

    def _load(self, worker: str, loaded: Future[tuple[Models, Thumbnails]]) -> None:
        try:
            methods = self.own_methods.methods(self.config, worker)
            models = load_models(self.config, self.device or _own_device(), methods)
            from trackkit.monitor.thumbnails import Thumbnails  # slow: here, and not in a video

            loaded.set_result((models, Thumbnails()))
        except BaseException as error:  # noqa: BLE001 - handed on to whoever calls get()
            loaded.set_exception(error)


def _own_device() -> str:
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"


@dataclasses.dataclass(frozen=True, slots=True)
class WorkOrder:
    """What goes with every video to its worker.

    Attributes:
        host: Name of the ``ModelHost`` plugin.
        run_id: Names the run in what is said of its progress.
        work: What is done to the video.
        timeout_s: What a video may take, seconds; None for no limit.
        grace_s: The process of a video ends if the video is not back so many seconds after its time.
    """

    host: str
    run_id: str
    work: Work = track_video
    timeout_s: float | None = None
    grace_s: float = 0.0


def run_task(task: VideoTask, order: WorkOrder) -> Outcome:
    """Track one video with the models of the plugin ``order.host``: what a Dask task does.

    Progress goes to ``PROGRESS_TOPIC``, in the name of ``order.run_id``. A video that nobody waits for any
    more, as its client is gone or its run was broken off, ends there, too.

    A model that does not load is the run's problem, not the video's, and raises CheckpointError or
    ConfigError. Two things end the process, with a ``VideoFailure`` on ``LAST_WORDS_TOPIC``: a video that is
    not back ``order.grace_s`` after its time is over, and an error after which the GPU can do nothing more.
    A process that is not the worker's alone, as of ``LocalCluster(processes=False)``, goes on.
    """
    worker = get_worker()
    key = worker.get_current_task()
    worker.log_event(worker.address, {"action": BEGUN, "key": key})
    plugin: ModelHost = worker.plugins[order.host]
    models, thumbnails = plugin.get()
    name, gpu = str(worker.name), _gpu(models)

    reached, started = 0, perf_counter()

    def publish(progress: Progress) -> None:
        nonlocal reached
        reached = progress.frames
        if worker.state.tasks[key].state == "cancelled":  # Dask waits until it ends by itself
            msg = f"{task.video_path}: given up after {reached} frames, as nobody waits for it any more"
            raise CancelledError(msg)
        event = dataclasses.replace(thumbnails.add(progress), worker=name, gpu=gpu)
        worker.log_event(PROGRESS_TOPIC, {"run": order.run_id, "progress": dataclasses.asdict(event)})

    def say(failure: VideoFailure) -> None:
        worker.log_event(LAST_WORDS_TOPIC, {"failure": dataclasses.asdict(failure)})

    def give_up(stack: str) -> None:
        seconds = perf_counter() - started
        message = (
            f"{task.video_path}: hangs after {plural(reached, 'frame')}; its worker process was ended after "
            f"{seconds:.0f} s, as --timeout-per-video is {order.timeout_s:g} s. "
            "The traceback says where it hung"
        )
        failure = VideoFailure(task, VideoTimeout.__name__, message, traceback=stack)
        say(dataclasses.replace(failure, worker=name, gpu=gpu, seconds=seconds))

    guard: AbstractContextManager[None] = nullcontext()
    may_end = worker.thread_id == threading.main_thread().ident  # else the process is somebody else's, too
    if order.timeout_s is not None and may_end:
        guard = watchdog(order.timeout_s + order.grace_s, give_up)
    with guard:
        outcome = attempt(
            task,
            plugin.config,
            models,
            publish,
            order.work,
            timeout_s=order.timeout_s,
            worker=name,
            gpu=gpu,
        )
    if isinstance(outcome, VideoFailure) and _CUDA_ERROR in outcome.message and may_end:
        say(outcome)
        end_process()
    return outcome


def _gpu(models: Models) -> str | None:
    if models.device == "cpu":
        return None
    return os.environ.get("CUDA_VISIBLE_DEVICES", models.device)


def hold_worker(host: str) -> None:
    """Last until the models are loaded: a cluster that adapts takes no worker away that has a task."""
    plugin: ModelHost = get_worker().plugins[host]
    with suppress(TrackkitError):  # whoever asks for the models gets it
        plugin.get()


async def wait_for_models(host: str, dask_worker: Worker) -> tuple[str, str | None]:
    """Wait, the worker's event loop going on, until its models are loaded; raises what loading raised.

    Returns:
        The worker's name, and its GPU.
    """
    async with asyncio.timeout(PLUGIN_S):
        while host not in dask_worker.plugins:
            await asyncio.sleep(0.1)
    return str(dask_worker.name), _gpu(await dask_worker.plugins[host].loaded())
