"""Spreads tasks over the workers of a Dask cluster and gathers what comes back, in bounded memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from time import monotonic
from typing import Any, NamedTuple, TypeGuard

from distributed import Client, Future, KilledWorker, as_completed
from distributed.client import FutureCancelledError
from distributed.scheduler import NoValidWorkerError, NoWorkerError

from trackkit.core.errors import ClusterError
from trackkit.core.tasks import VideoFailure, VideoTask, failure_of_values
from trackkit.monitor.events import LAST_WORDS_TOPIC
from trackkit.results.video_result import Outcome, VideoResult
from trackkit.run.batch import Batch
from trackkit.run.options import SessionOptions
from trackkit.run.worker import WorkOrder, run_task

WORKERS_INTERVAL_S = 1.0
WATCHDOG_GRACE_S = 30.0  # a frame that takes long, and the end of a video, are no hang


def run_tasks(
    client: Client, batch: Batch, host: str, options: SessionOptions, *, expect: int = 0
) -> Iterator[Outcome]:
    """Run every task and yield its outcome when it is there.

    A video whose worker process dies under it is put by, and tried once more when all others are done: alone,
    so that no other one fails with it, or it with another.

    Only a window of tasks is at the cluster at a time, and each result is released as soon as it is
    here: neither a long list nor a slow consumer fills the memory of scheduler, workers or client.

    Args:
        client: Connected to workers that have the plugin ``host``.
        batch: The videos.
        host: Name of the ``ModelHost`` plugin.
        options: ``schedule`` ``"dynamic"`` gives the next task to the next free worker, ``"round-robin"``
            gives task ``i`` to worker ``i % n``, whatever the others do. A video that takes longer than
            ``timeout_per_video_s`` and hangs costs its worker process, and is not tried again.
        expect: Number of workers that will come, where they are not all there yet.

    Raises:
        CheckpointError: A worker could not load the models.
        StorageError: A worker could not write its output, nor could others.
        ClusterError: The cluster was lost.
    """
    order = WorkOrder(host, batch.run_id, batch.work, options.timeout_per_video_s, grace_s=WATCHDOG_GRACE_S)
    send = partial(_map, client, order)
    if options.schedule == "dynamic":
        submit = _dynamic(client, batch.tasks, send, expect)
    else:
        submit = _pinned(client, batch.tasks, send)
    killed: list[VideoFailure] = []
    with _last_words(client) as said:
        for outcome in _gather(client, submit, said):
            if _was_killed(outcome):
                killed.append(outcome)
            else:
                yield outcome
        for first in killed:  # One by one, with nothing beside it: now it is known whose fault it is.
            for second in _gather(client, _dynamic(client, [first.task], send, expect=0), said):
                yield _second_attempt(first, second)


@contextmanager
def _last_words(client: Client) -> Iterator[dict[str, VideoFailure]]:
    """What workers say before they end themselves, by the source of the video that it was for."""
    said: dict[str, VideoFailure] = {}

    def hear(event: tuple[float, dict[str, Any]]) -> None:
        failure = failure_of_values(event[1]["failure"])
        said[failure.task.source] = failure

    client.subscribe_topic(LAST_WORDS_TOPIC, hear)
    try:
        yield said
    finally:
        if client.status == "running":
            client.unsubscribe_topic(LAST_WORDS_TOPIC)


def _was_killed(outcome: Outcome) -> TypeGuard[VideoFailure]:
    return isinstance(outcome, VideoFailure) and outcome.error_type == KilledWorker.__name__


def _second_attempt(first: VideoFailure, second: Outcome) -> Outcome:
    if isinstance(second, VideoResult):
        warning = "its worker process died under it; done on a second attempt, alone"
        return replace(second, warnings=(*second.warnings, warning))
    again = ", and again when it was tried once more alone" if _was_killed(second) else ""
    return replace(
        second,
        message=second.message + again,
        attempts=first.attempts + second.attempts,
        seconds=first.seconds + second.seconds,
    )


def _gather(client: Client, submit: Submit, said: dict[str, VideoFailure]) -> Iterator[Outcome]:
    running: dict[str, _Running] = {}
    try:
        completed = as_completed(_remember(running, submit(None)), loop=client.loop)
        for future in completed:
            if client.status != "running":
                reason = f"the client is {client.status}"
                raise _lost(reason)
            began = running.pop(future.key)
            completed.update(_remember(running, submit(future)))  # first of all: a worker is idle
            outcome = _outcome(future, began, said)
            future.release()
            yield outcome
    finally:
        if client.status == "running":
            client.cancel([Future(key, client) for key in running])


Submitted = list[tuple[Future, VideoTask]]
Send = Callable[..., Submitted]  # _map with all but the tasks and their worker given
Submit = Callable[[Future | None], Submitted]  # called with the future that is done, None to begin


class _Running(NamedTuple):
    task: VideoTask
    since: float  # on the monotonic clock


def _remember(running: dict[str, _Running], submitted: Submitted) -> list[Future]:
    running.update((future.key, _Running(task, monotonic())) for future, task in submitted)
    return [future for future, _ in submitted]


def _map(client: Client, order: WorkOrder, tasks: list[VideoTask], worker: str | None = None) -> Submitted:
    where = {} if worker is None else {"workers": [worker], "allow_other_workers": True}
    return list(zip(client.map(run_task, tasks, order=order, pure=False, **where), tasks, strict=True))


def _dynamic(client: Client, tasks: Iterable[VideoTask], send: Send, expect: int) -> Submit:
    rest, running = iter(tasks), 0
    window, counted = 0, -math.inf

    def submit(done: Future | None) -> Submitted:
        nonlocal running, window, counted
        running -= done is not None
        # One per worker, counted anew as workers come and go. A spare one would save the few milliseconds
        # until the next is there, but fail with the video that kills its worker: Dask blames all it holds.
        if monotonic() > counted + WORKERS_INTERVAL_S:
            # At least one, though no worker may be there just now: with no task out the run would end here.
            window, counted = max(1, expect, len(client.nthreads())), monotonic()
        submitted = send(list(islice(rest, max(0, window - running))))
        running += len(submitted)
        return submitted

    return submit


def _pinned(client: Client, tasks: Iterable[VideoTask], send: Send) -> Submit:
    names = sorted(_addresses(client))
    queues: dict[str, deque[VideoTask]] = {name: deque() for name in names}
    for k, task in enumerate(tasks):
        queues[names[k % len(names)]].append(task)
    running_on: dict[str, str] = {}

    def submit(done: Future | None) -> Submitted:
        addresses = _addresses(client)
        submitted: Submitted = []
        for name in names if done is None else [running_on.pop(done.key)]:
            if queues[name]:
                # A restarted worker keeps its name; one that is gone for good leaves its tasks to all.
                submitted += send([queues[name].popleft()], addresses.get(name))
                running_on[submitted[-1][0].key] = name
        return submitted

    return submit


def _addresses(client: Client) -> dict[str, str]:
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return {str(worker["name"]): address for address, worker in workers.items()}


def _outcome(future: Future, began: _Running, said: dict[str, VideoFailure]) -> Outcome:
    try:
        outcome: Outcome = future.result()
    except KilledWorker as error:
        if began.task.source in said:
            return said.pop(began.task.source)
        worker, seconds = error.last_worker, monotonic() - began.since
        return VideoFailure(
            began.task,
            KilledWorker.__name__,
            f"the worker process ({worker.address}) died {seconds:.0f} s after it was given this video",
            attempts=error.allowed_failures + 1,
            worker=str(worker.name),
            seconds=seconds,
        )
    except (FutureCancelledError, NoValidWorkerError, NoWorkerError) as error:
        raise _lost(str(error)) from None
    return outcome


def _lost(reason: str) -> ClusterError:
    msg = f"the cluster was lost in mid-run ({reason}): run the same command again, it goes on from here"
    return ClusterError(msg)
