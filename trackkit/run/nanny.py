"""How worker processes are guarded, kept and ended."""

from __future__ import annotations

import asyncio
import signal
from multiprocessing import resource_tracker
from typing import Any

import dask
from distributed import Nanny, SpecCluster, Status, Worker, WorkerPlugin

from trackkit.run.quiet import quiet

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

    async def instantiate(self) -> Status:
        """Start the worker process, deaf to Ctrl-C until ``IgnoreInterrupts`` is there: it inherits that."""
        resource_tracker.ensure_running()  # else it is started with the process, and makes it hear again
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # of this thread, the cluster's event loop
        return await super().instantiate()

    async def kill(self, timeout: float = 5, reason: str = "nanny-kill") -> None:
        """End the worker process at once. If it is to begin anew, end it in order if it can."""
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
    """A cluster whose nannies bring workers back, however often they die, and which Ctrl-C ends as it begins.

    Dask would give up one that happens to be starting again when the time is over that began with an earlier
    death. It looks that time up in the settings of the whole process, and so do the user's own clusters. So
    it is set only for the moment in which it is looked up.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        try:
            super().__init__(*args, **options)
        except KeyboardInterrupt:  # Dask itself closes what it has begun after an error alone
            self.sync(self._end_workers)
            self.close()
            raise

    async def _end_workers(self) -> None:
        """Those that still begin, for which a cluster that closes would wait."""
        # That they could not begin is no news, and nobody waits any more for the tasks that say so.
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        await asyncio.gather(*(nanny.close() for nanny in self._created), return_exceptions=True)

    def close(self, timeout: float | None = None) -> Any:
        """Close; what Dask logs of connections to the workers that end with it is no news."""
        with quiet("distributed.batched", "distributed.scheduler"):
            return super().close(timeout)

    def _update_worker_status(self, op: str, msg: Any) -> None:
        with dask.config.set({"distributed.deploy.lost-worker-timeout": "52w"}):
            super()._update_worker_status(op, msg)
