"""How worker processes are guarded, kept and ended."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import dask
from distributed import Nanny, SpecCluster, Status, Worker, WorkerPlugin

DEATH_S = 60.0  # what the system may take to end a process that was killed


class IgnoreInterrupts(WorkerPlugin):
    """Ctrl-C reaches every process of a terminal: the workers leave it to the one that started them."""

    name = "trackkit-ignore-interrupts"

    def setup(self, worker: Worker) -> None:
        """Runs in the main thread of the worker process."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)


class PatientNanny(Nanny):
    """Ends its worker process at once when it is closed, and waits until the system has ended it.

    A worker has nothing then that somebody waits for. Dask's own nanny gives it seconds to end by itself,
    kills it with a warning, gives the system no time to do so on a busy machine, and then fails whoever
    closes the cluster.
    """

    async def kill(self, timeout: float = 5, reason: str = "nanny-kill") -> None:
        """End the worker process: at once, or, where it is to begin anew, in order if it can."""
        worker = self.process
        if worker is not None and worker.process is not None and self.status == Status.closing:
            await worker.process.kill()
        try:
            await super().kill(timeout, reason)
        except TimeoutError:
            if worker is None:
                raise
            async with asyncio.timeout(DEATH_S):
                await worker.stopped.wait()


class KeepsWorkers(SpecCluster):
    """A cluster whose nannies bring workers back, however often they die.

    Dask would give up one that happens to be starting again when the time is over that began with an earlier
    death. It looks that time up in the settings of the whole process, where the user's own clusters do, too:
    so it is set for the moment in which it is looked up.
    """

    def _update_worker_status(self, op: str, msg: Any) -> None:
        with dask.config.set({"distributed.deploy.lost-worker-timeout": "52w"}):
            super()._update_worker_status(op, msg)
