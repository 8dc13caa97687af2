"""Spreads tasks over the workers of a Dask cluster and gathers what comes back, in bounded memory."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, NamedTuple, TypeGuard

from distributed import Client, Future, KilledWorker
from distributed.client import FutureCancelledError
from distributed.scheduler import NoValidWorkerError, NoWorkerError

from trackkit.core.errors import ClusterError
from trackkit.core.tasks import VideoFailure, VideoTask, failure_of_values
from trackkit.monitor.events import LAST_WORDS_TOPIC
from trackkit.results.video_result import Outcome, VideoResult
from trackkit.run.batch import Batch
from trackkit.run.lookout import Lookout, Loss, log
from trackkit.run.options import SessionOptions
from trackkit.run.worker import WorkOrder, run_task

TICK_S = 0.5
MOST_LOSSES = 3  # a video that has lost so many workers fails
WATCHDOG_GRACE_S = 30.0  # a frame that takes long, and the end of a video, are no hang


@dataclass(frozen=True)
class Crew:
    """The workers of a run, as they come and go.

    Attributes:
        lookout: Looks at them.
        expected: Number of workers that will come.
        spare: Send each worker a video more than it tracks: a cluster that adapts grows if there are more
            tasks than workers. One that stays as it is has no use for it, as all that a worker holds when its
            process dies is blamed for it.
    """

    lookout: Lookout
    expected: Callable[[], int]
    spare: bool

    def addresses(self) -> dict[str, str]:
        """Where the workers are that take videos, by their name."""
        return {str(worker["name"]): address for address, worker in self.lookout.workers.items()}

    @property
    def depth(self) -> int:
        """Number of videos that a worker has at a time."""
        return 2 if self.spare else 1


def run_tasks(
    client: Client, batch: Batch, host: str, options: SessionOptions, crew: Crew
) -> Iterator[Outcome]:
    """Run every task and yield its outcome when it is there.

    A video whose worker process dies under it is put by, and tried once more when all others are done: alone,
    so that no other one fails with it, or it with another. One whose workers leave in order, as their time is
    over, begins anew at the next one; after ``MOST_LOSSES`` workers it fails.

    Only a window of tasks is at the cluster at a time, and each result is released as soon as it is
    here: neither a long list nor a slow consumer fills the memory of scheduler, workers or client.

    Args:
        client: Connected to workers that have the plugin ``host``.
        batch: The videos.
        host: Name of the ``ModelHost`` plugin.
        options: ``schedule`` ``"dynamic"`` gives the next task to the next free worker, ``"round-robin"``
            gives task ``i`` to worker ``i % n``, whatever the others do. A video that takes longer than
            ``timeout_per_video_s`` and hangs costs its worker process, and is not tried again.
        crew: The workers.

    Raises:
        CheckpointError: A worker could not load the models.
        StorageError: A worker could not write its output, nor could others.
        ClusterError: The cluster was lost, or no worker could do anything for ``worker_timeout_s``.
    """
    order = WorkOrder(host, batch.run_id, batch.work, options.timeout_per_video_s, grace_s=WATCHDOG_GRACE_S)
    send = partial(_map, client, order)
    spread = _dynamic if options.schedule == "dynamic" else _pinned
    killed: list[VideoFailure] = []
    with _last_words(client) as said:
        for outcome in _gather(client, spread(batch.tasks, send, crew), said, crew.lookout, MOST_LOSSES):
            if _was_killed(outcome):
                killed.append(outcome)
                log.warning(
                    "%s: %s; it is tried once more, alone, when all others are done",
                    outcome.task.video_path,
                    outcome.message,
                )
            else:
                yield outcome
        for first in killed:  # One by one, with nothing beside it: now it is known whose fault it is.
            for second in _gather(client, _dynamic([first.task], send, crew), said, crew.lookout, 1):
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


def _gather(
    client: Client, submit: Submit, said: dict[str, VideoFailure], lookout: Lookout, most_deaths: int
) -> Iterator[Outcome]:
    running: dict[str, _Running] = {}
    done: SimpleQueue[Future] = SimpleQueue()
    given_up: deque[VideoFailure] = deque()

    def send(finished: Future | None) -> None:
        for future, task in submit(finished):
            running[future.key] = _Running(task, monotonic(), future, [])
            future.add_done_callback(done.put)

    def attend() -> None:
        """What is to be done now and then, whatever is waited for."""
        _check_connected(client)
        for loss in lookout.look({key: each.task for key, each in running.items()}):
            began = running[loss.key]
            began.losses.append(loss)
            failure = _given_up(began, said, most_deaths)
            if failure is not None:
                given_up.append(failure)
                del running[loss.key]
                send(began.future)
                began.future.cancel()
        send(None)  # there may be more workers than before

    try:
        send(None)
        while running or given_up:
            attend()
            while given_up:
                yield given_up.popleft()
            try:
                future = done.get(timeout=TICK_S)
            except Empty:
                continue
            _check_connected(client)
            if future.key in running:  # else it was given up
                began = running.pop(future.key)
                send(future)  # first of all: a worker is idle
                outcome = _outcome(partial(_fetch, client, future, attend), began, said)
                future.release()
                yield outcome
    finally:
        _cancel(client, [each.future for each in running.values()])


def _cancel(client: Client, futures: list[Future]) -> None:
    if client.status == "running":
        client.cancel(futures)


def _fetch(client: Client, future: Future, meanwhile: Callable[[], None]) -> Outcome:
    """The result of a task that is done. If its worker has gone with it, the task begins anew."""

    async def result() -> Outcome:
        outcome: Outcome = await future
        return outcome

    fetched = asyncio.run_coroutine_threadsafe(result(), client.loop.asyncio_loop)
    try:
        while not wait([fetched], timeout=TICK_S).done:
            meanwhile()
        return fetched.result()
    finally:
        fetched.cancel()


def _given_up(began: _Running, said: dict[str, VideoFailure], most_deaths: int) -> VideoFailure | None:
    """The failure of a video that has lost a worker once more, or None if it is tried again.

    A scheduler that trackkit started gives up a video whose worker process dies; another one tries it again.
    """
    losses, task = began.losses, began.task
    if losses[-1].in_order:
        took = " and ".join(f"{loss.seconds:.0f} s" for loss in losses if loss.in_order)
        message = (
            f"its workers left after {took}, before it was done, and it begins anew each time: they must "
            "stay longer (--lifetime of Dask's workers, --time of SLURM's jobs)"
        )
        if len(losses) < MOST_LOSSES:
            log.warning("%s: %s; it fails when it has lost %d workers", task.video_path, message, MOST_LOSSES)
            return None
        error_type = "WorkerLeft"
    elif task.source in said:
        return said.pop(task.source)
    elif sum(not loss.in_order for loss in losses) < most_deaths:
        return None
    else:
        error_type = KilledWorker.__name__
        message = f"the worker process died {losses[-1].seconds:.0f} s after it had begun this video"
    seconds = sum(loss.seconds for loss in losses)
    return VideoFailure(
        task, error_type, message, attempts=len(losses), worker=losses[-1].worker, seconds=seconds
    )


Submitted = list[tuple[Future, VideoTask]]
Send = Callable[..., Submitted]  # _map with all but the tasks and their worker given
Submit = Callable[[Future | None], Submitted]  # called with the future that is done; with None now and then


class _Running(NamedTuple):
    task: VideoTask
    since: float  # on the monotonic clock
    future: Future
    losses: list[Loss]


def _check_connected(client: Client) -> None:
    if client.status != "running":
        reason = f"the client is {client.status}"
        raise _lost(reason)


def _map(client: Client, order: WorkOrder, tasks: list[VideoTask], worker: str | None = None) -> Submitted:
    if not tasks:
        return []
    where = {} if worker is None else {"workers": [worker], "allow_other_workers": True}
    return list(zip(client.map(run_task, tasks, order=order, pure=False, **where), tasks, strict=True))


def _dynamic(tasks: Iterable[VideoTask], send: Send, crew: Crew) -> Submit:
    rest, running = iter(tasks), 0

    def submit(done: Future | None) -> Submitted:
        nonlocal running
        running -= done is not None
        # At least one, though no worker may be there just now: with no task out the run would end here.
        window = max(1, crew.expected(), crew.depth * len(crew.lookout.workers))
        submitted = send(list(islice(rest, max(0, window - running))))
        running += len(submitted)
        return submitted

    return submit


def _pinned(tasks: Iterable[VideoTask], send: Send, crew: Crew) -> Submit:
    lanes: dict[str, deque[tuple[int, VideoTask]]] = {"": deque(enumerate(tasks))}  # one that is no worker's
    lane_of: dict[str, str] = {}  # by the key of a task that runs

    def submit(done: Future | None) -> Submitted:
        nonlocal lanes
        if done is not None:
            del lane_of[done.key]
        addresses = crew.addresses()
        if addresses.keys() - lanes.keys():  # some are new: what is left is dealt anew
            left, names = sorted(chain.from_iterable(lanes.values())), sorted(addresses)
            lanes = {name: deque(left[k :: len(names)]) for k, name in enumerate(names)}
        held = Counter(lane_of.values())
        submitted: Submitted = []
        for name, lane in lanes.items():
            while lane and held[name] < crew.depth:
                # A restarted worker keeps its name; one that is gone for good leaves its tasks to all.
                submitted += send([lane.popleft()[1]], addresses.get(name))
                lane_of[submitted[-1][0].key] = name
                held[name] += 1
        return submitted

    return submit


def _outcome(fetch: Callable[[], Outcome], began: _Running, said: dict[str, VideoFailure]) -> Outcome:
    try:
        return fetch()
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


def _lost(reason: str) -> ClusterError:
    msg = f"the cluster was lost in mid-run ({reason}): run the same command again, it goes on from here"
    return ClusterError(msg)
