"""Workers: one per GPU slot, some on a CPU, or those of a cluster that is already there.

Nothing listens beyond 127.0.0.1 unless the caller says so.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from dask.system import CPU_COUNT
from distributed import LocalCluster, Security
from distributed.system import MEMORY_LIMIT

from trackkit.core.errors import ClusterError, ConfigError
from trackkit.core.threads import thread_counts
from trackkit.run.nanny import IgnoreInterrupts, KeepsWorkers, PatientNanny
from trackkit.run.options import SessionOptions

# Dask's defaults are made for many short tasks; ours are few and long.
DASK_CONFIG: dict[str, Any] = {
    # A worker holds the video it tracks and none besides, so that a video that kills it takes no other along.
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.allowed-failures": 0,
    # A worker would keep samples of its call stack and of its load: megabytes a minute, for a long time.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.log-length": 600,
}

_WORKER_BYTES = 4 << 30  # about what the largest models take on a CPU
_STARTED_BY = "TRACKKIT_STARTED_BY"  # in a worker process: the one that started it, and hears of its end
_GUARD = """
a new process begins by running the main script anew, so what starts workers must stand under a guard:

    if __name__ == "__main__":
        results = tk.track(...)

(or takes num_workers=0, which tracks in the script's own process)"""


def tls_security(
    ca_file: str | os.PathLike[str] | None,
    cert: str | os.PathLike[str] | None,
    key: str | os.PathLike[str] | None,
) -> Security | None:
    """TLS for all connections among client, scheduler and workers; None where no file is named.

    Args:
        ca_file: Certificates of the authorities that are trusted, PEM.
        cert: Certificate that this side shows, PEM.
        key: Private key of ``cert``, PEM.

    Raises:
        ConfigError: Some are named and some are not, or one is not there.
    """
    files = {"--tls-ca-file": ca_file, "--tls-cert": cert, "--tls-key": key}
    if not any(files.values()):
        return None
    for flag, file in files.items():
        if not file or not Path(file).is_file():
            problem = f"{file} is no file" if file else "is missing"
            msg = f"{flag} {problem}: TLS needs all of {', '.join(files)}"
            raise ConfigError(msg)
    roles = ("client", "scheduler", "worker")
    own = {f"tls_{role}_cert": str(cert) for role in roles} | {f"tls_{role}_key": str(key) for role in roles}
    return Security(require_encryption=True, tls_ca_file=str(ca_file), **own)


def check_may_start_processes() -> None:
    """See whether this process may start worker processes, before anything else is done in it.

    Raises:
        ClusterError: It runs the main script of the process that started it; it is a worker of a pool; or its
            own main script is no file, which a worker process would have to run.
        SystemExit: The same in a worker process that ``start_cluster`` starts and speaks for.
    """
    process = multiprocessing.current_process()
    if getattr(process, "_inheriting", False):  # as multiprocessing itself asks before it starts one
        if os.environ.get(_STARTED_BY) == str(os.getppid()):
            raise SystemExit(1)
        msg = f"workers cannot be started while a process begins:{_GUARD}"
        raise ClusterError(msg)
    main = str(getattr(sys.modules["__main__"], "__file__", None))
    if main.startswith("<"):  # <stdin>
        msg = (
            f"the script came from {main}, and worker processes cannot run it anew: put it into a file, or "
            "take num_workers=0, which tracks in the script's own process"
        )
        raise ClusterError(msg)
    if process.daemon:
        msg = (
            f"the process {process.name!r} may start no others (it is daemonic, as the workers of a "
            "multiprocessing.Pool and of Dask are): take num_workers=0, which tracks in this process"
        )
        raise ClusterError(msg)


def start_cluster(slots: Sequence[str] = (), options: SessionOptions | None = None) -> LocalCluster:
    """Start workers on this machine: a ``LocalCUDACluster`` with one per GPU slot, or a ``LocalCluster``.

    Args:
        slots: The GPU of each worker, from ``choose_gpus``; may repeat. Empty: workers on the CPU.
        options: ``num_workers`` on the CPU; where to listen; TLS.

    Raises:
        ClusterError: A worker did not start; or GPU workers need dask-cuda, which is not installed.
    """
    options = options or SessionOptions()
    # Two workers of one thread do half as much again as one of two: benchmarks/threads.py.
    workers = len(slots) or options.num_workers or max(1, min(CPU_COUNT, MEMORY_LIMIT // _WORKER_BYTES))
    settings: dict[str, Any] = {
        "host": options.host,
        "dashboard_address": options.dashboard_address,
        "security": options.security,
        "plugins": (IgnoreInterrupts(),),
        # Dask's own default is one thread a worker; a fair share of the cores is better.
        "env": thread_counts(max(1, CPU_COUNT // workers)),
    }
    with dask.config.set(DASK_CONFIG), _telling_who_starts():
        try:
            if slots:
                return _cuda_cluster_class()(slots, **settings)
            return _LocalCluster(
                n_workers=workers,
                threads_per_worker=1,  # a worker runs one video at a time
                processes=True,
                memory_limit=0,  # Dask would pause or kill a worker in the middle of a video
                worker_class=PatientNanny,
                **settings,
            )
        except RuntimeError as error:
            reason = error.__cause__ or error
            if not isinstance(reason, RuntimeError) or reason is error:
                msg = f"workers could not be started: {type(reason).__name__}: {reason}"
            else:  # of Dask's nanny: the process has ended before it said anything
                msg = (
                    f"worker processes ended while they began:{_GUARD}\n"
                    "If it has one, what the processes wrote above says why they ended."
                )
            raise ClusterError(msg) from None


class _LocalCluster(KeepsWorkers, LocalCluster):
    pass


@contextmanager
def _telling_who_starts() -> Iterator[None]:
    os.environ[_STARTED_BY] = str(os.getpid())
    try:
        yield
    finally:
        os.environ.pop(_STARTED_BY, None)


def _cuda_cluster_class() -> type[LocalCluster]:
    try:
        from trackkit.run.cuda_cluster import SlotCUDACluster
    except ImportError as error:
        msg = f"GPU workers need dask-cuda ({error}): pip install 'trackkit[gpu]', or use --device cpu"
        raise ClusterError(msg) from None
    return SlotCUDACluster
