"""What a session waits for, and what becomes of its workers, in sentences: nothing is silent for long.

They go to Python's logging, below the name ``trackkit``. A script shows warnings on stderr by itself, the
command line shows all of them, and a notebook shows them in the view of a run.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any, NamedTuple, TypeAlias

from dask.utils import format_bytes
from distributed import Client

from trackkit.core.errors import ClusterError
from trackkit.core.tasks import VideoTask
from trackkit.core.words import plural
from trackkit.monitor import events

FIRST_WORD_S = 10.0  # what takes no longer needs no word
NEXT_WORD_S = 30.0
LOOK_INTERVAL_S = 2.0
# A worker says that it is there a few times a second; if there are hundreds, every few seconds.
SILENT_S = 10.0

MORE_MEMORY = (
    "Give workers more memory (memory_limit=..., --memory-limit; 0 is no limit), or use smaller models"
)

log = logging.getLogger(__name__)

WorkerInfo: TypeAlias = Mapping[str, Any]  # what the scheduler knows of a worker
Events: TypeAlias = Sequence[tuple[float, Mapping[str, Any]]]  # what the scheduler's log has of it


@contextmanager
def waiting_for(what: str, limit_s: float | None = None) -> Iterator[None]:
    """Say what the block waits for if it takes long, and say it again and again.

    Args:
        what: Goes on after "waiting for".
        limit_s: How long the block takes at most; None if nobody knows.
    """
    done, began = threading.Event(), monotonic()

    def tell() -> None:
        pause = FIRST_WORD_S
        while not done.wait(pause):
            log.warning("waiting for %s: %s", what, _so_far(monotonic() - began, limit_s))
            pause = NEXT_WORD_S

    teller = threading.Thread(target=tell, name="trackkit-waiting", daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


class Loss(NamedTuple):
    """A video that has lost its worker.

    Attributes:
        key: Of its task.
        worker: Name of the worker.
        seconds: How long the worker had it.
        in_order: The worker took its leave: its lifetime was over, or the cluster was made smaller. Else its
            process died, or it cannot be reached.
    """

    key: str
    worker: str
    seconds: float
    in_order: bool


class Lookout:
    """Looks at the workers of a cluster every few seconds, and says what becomes of them.

    Args:
        client: Connected.
        patience_s: It is an error if no worker can do anything for so many seconds; None: never.

    Attributes:
        workers: Those that take videos, by address.
    """

    def __init__(self, client: Client, patience_s: float | None) -> None:
        self._client, self._patience_s = client, patience_s
        self.begin()

    def begin(self) -> None:
        """Take the workers as they are: what was before is no news."""
        self._all: dict[str, WorkerInfo] = {}
        # When a worker was heard, by its address: the scheduler's time, and ours.
        self._heard: dict[str, tuple[float, float]] = {}
        self._silent: set[str] = set()
        self._fewer = False  # the last that was said of the number of workers
        self._idle_since: float | None = None
        self._next_word_s = FIRST_WORD_S
        self._see(self._ask())
        for worker in self._all.values():
            _say_if_paused(None, worker)

    def look(self, running: Mapping[str, VideoTask]) -> list[Loss]:
        """Look if the last look was a while ago, and say what has changed since.

        Args:
            running: The videos that are at the cluster, by the key of their task.

        Returns:
            The videos that have lost their worker meanwhile.

        Raises:
            ClusterError: No worker could do anything for ``patience_s``.
        """
        if monotonic() < self._next_look:
            return []
        before = self._all
        self._see(self._ask())
        now = self._all
        for address, worker in now.items():
            _say_if_paused(before.get(address), worker)
        self._say_if_silent()
        gone = [address for address in before if address not in now]
        losses = [loss for each in gone for loss in self._say_gone(each, before[each], running)]
        came = [_name(worker) for address, worker in now.items() if address not in before]
        if came:
            level = logging.WARNING if self._fewer else logging.INFO
            word = "worker" if len(came) == 1 else "workers"
            log.log(level, "%s %s came: %s", word, ", ".join(came), self._how_many())
        self._fewer = bool(gone) or (self._fewer and not came)
        self._be_patient()
        return losses

    def wait_for_first_worker(self) -> None:
        """Wait until there is a worker.

        Raises:
            ClusterError: None came, or none that takes anything, within ``patience_s``.
        """
        pause = threading.Event()
        self._next_look = 0.0
        self.look({})
        while not self.workers:
            if self._client.status != "running":
                msg = f"the scheduler was lost ({self._client.status}) before a worker came"
                raise ClusterError(msg)
            self.look({})
            pause.wait(0.1)

    def _ask(self) -> dict[str, WorkerInfo]:
        self._next_look = monotonic() + LOOK_INTERVAL_S
        try:
            with waiting_for("the scheduler to answer"):
                # Not scheduler_info(): what the client keeps for it is now and then without any worker.
                identity = self._client.sync(self._client.scheduler.identity, n_workers=-1)
        except OSError:  # whether the scheduler is lost, the client's status says
            return self._all
        workers: dict[str, WorkerInfo] = identity["workers"]
        return workers

    def _see(self, now: dict[str, WorkerInfo]) -> None:
        self._all = now
        self.workers = {address: worker for address, worker in now.items() if worker["status"] == "running"}

    def _say_if_silent(self) -> None:
        """A process that is stopped or hangs, or a machine that is cut off, stays in the scheduler's list."""
        now = monotonic()
        for address, worker in self._all.items():
            heard = self._heard.get(address)
            if heard is None or heard[0] != worker["last_seen"]:
                self._heard[address] = (worker["last_seen"], now)
                if address in self._silent:
                    self._silent.remove(address)
                    log.warning("worker %s is heard again", _name(worker))
            elif now - heard[1] >= SILENT_S and address not in self._silent:
                self._silent.add(address)
                why = "its process is stopped or hangs, or its machine cannot be reached"
                log.warning(
                    "worker %s (%s) has not been heard for %.0f s: %s. If it stays so, Dask gives it up in "
                    "some minutes, and what it had begins anew",
                    *(_name(worker), address, now - heard[1], why),
                )
        for gone in self._heard.keys() - self._all.keys():
            del self._heard[gone]
            self._silent.discard(gone)

    def _say_gone(self, address: str, worker: WorkerInfo, running: Mapping[str, VideoTask]) -> list[Loss]:
        losses, in_order = _last_losses(self._events(address), _name(worker), running)
        told = [
            f"worker {_name(worker)} ({address}) left in order"
            if in_order
            else f"worker {_name(worker)} ({address}) was lost: its process died, or it cannot be reached"
        ]
        for loss in losses:
            video = running[loss.key].video_path
            told.append(f"{video}, which it had for {loss.seconds:.0f} s, begins anew")
        # An idle worker that leaves in order (a cluster that adapts) is no news.
        level = logging.INFO if in_order and not losses else logging.WARNING
        log.log(level, "%s", "; ".join([*told, self._how_many()]))
        return losses

    def _events(self, address: str) -> Events:
        try:
            log_of: Events = self._client.get_events(address)
        except OSError:
            return []
        return log_of

    def _how_many(self) -> str:
        return f"{plural(len(self._all), 'worker') if self._all else 'no workers'} now"

    def _be_patient(self) -> None:
        """Count the time in which no worker can do anything, and say so."""
        if self.workers or any(_executes(worker) for worker in self._all.values()):
            if self._idle_since is not None and self._next_word_s > FIRST_WORD_S:
                log.warning("a worker takes videos again: the run goes on")
            self._idle_since, self._next_word_s = None, FIRST_WORD_S
            return
        self._idle_since = self._idle_since or monotonic()
        waited_s, limit_s = monotonic() - self._idle_since, self._patience_s
        address = self._client.scheduler.address
        if limit_s is not None and waited_s >= limit_s:
            raise ClusterError(_no_worker(self._all, address, limit_s))
        if waited_s >= self._next_word_s:
            self._next_word_s = waited_s + NEXT_WORD_S
            why = f"{len(self._all)} paused" if self._all else "none is there"
            log.warning("no worker takes videos (%s): %s, %s", address, why, _so_far(waited_s, limit_s))


def _last_losses(log_of: Events, name: str, running: Mapping[str, VideoTask]) -> tuple[list[Loss], bool]:
    """What a worker was doing when it went, and whether it went in order, by the scheduler's log of it."""
    begun: dict[str, float] = {}
    losses: list[Loss] = []
    in_order = False
    for time_s, event in log_of:
        match event.get("action"):
            case "add-worker":
                in_order = False
            case "closing-worker":  # it says so itself
                in_order = True
            case events.BEGUN:
                begun[event["key"]] = time_s
            case "remove-worker":
                in_order |= event["expected"]
                # What it held and had not begun lost nothing.
                keys = [key for key in event["processing-tasks"] if key in begun and key in running]
                losses = [Loss(key, name, time_s - begun[key], in_order) for key in keys]
    return losses, in_order


def _say_if_paused(before: WorkerInfo | None, worker: WorkerInfo) -> None:
    was, now = None if before is None else before["status"], worker["status"]
    if now == "paused" != was:
        has, may = (format_bytes(n) for n in (worker["metrics"].get("memory", 0), worker["memory_limit"]))
        held = f"it holds {has} of the {may} that it may, and takes no video until it holds less"
        log.warning("worker %s is paused: %s. %s", _name(worker), held, MORE_MEMORY)
    elif was == "paused" and now == "running":
        log.warning("worker %s takes videos again", _name(worker))


def _no_worker(there: Mapping[str, WorkerInfo], address: str, waited_s: float) -> str:
    if there:
        what = f"the workers of {address} have been paused for {waited_s:g} s, short of memory. {MORE_MEMORY}"
    else:
        what = (
            f"no worker came to {address} within {waited_s:g} s. What those that should have come wrote says "
            "why (of SLURM's jobs: slurm-JOB.out)"
        )
    return (
        f"{what}; worker_timeout_s (--worker-timeout) sets how long to wait. The same call goes on from here"
    )


def _executes(worker: WorkerInfo) -> bool:
    return bool(worker["metrics"].get("task_counts", {}).get("executing"))


def _name(worker: WorkerInfo) -> str:
    return str(worker["name"])


def _so_far(seconds: float, limit_s: float | None) -> str:
    limit = "" if limit_s is None else f", for up to {limit_s:g} s"
    return f"{seconds:.0f} s so far{limit}"
