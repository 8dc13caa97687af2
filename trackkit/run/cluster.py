"""Workers: one per GPU slot, some on a CPU, or those of a cluster that is already there.

Nothing listens beyond 127.0.0.1 unless the caller says so.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dask
from dask.system import CPU_COUNT
from distributed import LocalCluster, Security

from trackkit.core.errors import ClusterError, ConfigError
from trackkit.core.threads import thread_counts
from trackkit.run.nanny import IgnoreInterrupts, PatientNanny
from trackkit.run.options import SessionOptions

# Dask's defaults are made for many short tasks; ours are few and long.
DASK_CONFIG: dict[str, Any] = {
    # A worker holds the video it tracks and none besides, so that a video that kills it takes no other along.
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.allowed-failures": 0,
    # Loading models takes longer than the 15 s after which a restarting worker is given up.
    "distributed.deploy.lost-worker-timeout": "10m",
    # A worker would keep samples of its call stack and of its load: megabytes a minute, for a long time.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.log-length": 600,
    # Without workers for so long, a run ends; Dask would have it wait for ever.
    "distributed.scheduler.no-workers-timeout": "15m",
}
# Nannies bring the workers of this machine back, however often they die. Dask would give up one that happens
# to be starting again when the time is over that began with an earlier death.
LOCAL_DASK_CONFIG = DASK_CONFIG | {"distributed.deploy.lost-worker-timeout": "52w"}


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


def start_cluster(slots: Sequence[str] = (), options: SessionOptions | None = None) -> LocalCluster:
    """Start workers on this machine: a ``LocalCUDACluster`` with one per GPU slot, or a ``LocalCluster``.

    Args:
        slots: The GPU of each worker, from ``choose_gpus``; may repeat. Empty: workers on the CPU.
        options: ``num_workers`` on the CPU, by default one per two cores; where to listen; TLS.

    Raises:
        ClusterError: GPU workers need dask-cuda, which is not installed.
    """
    options = options or SessionOptions()
    workers = len(slots) or options.num_workers or max(1, CPU_COUNT // 2)
    settings: dict[str, Any] = {
        "host": options.host,
        "dashboard_address": options.dashboard_address,
        "security": options.security,
        "plugins": (IgnoreInterrupts(),),
        # Dask's own default is one thread a worker; a fair share of the cores is better.
        "env": thread_counts(max(1, CPU_COUNT // workers)),
    }
    with dask.config.set(DASK_CONFIG):
        if slots:
            return _cuda_cluster_class()(slots, **settings)
        return LocalCluster(
            n_workers=workers,
            threads_per_worker=1,  # a worker runs one video at a time
            processes=True,
            memory_limit=0,  # Dask would pause or kill a worker in the middle of a video
            worker_class=PatientNanny,
            **settings,
        )


def _cuda_cluster_class() -> type[LocalCluster]:
    try:
        from trackkit.run.cuda_cluster import SlotCUDACluster
    except ImportError as error:
        msg = f"GPU workers need dask-cuda ({error}): pip install 'trackkit[gpu]', or use --device cpu"
        raise ClusterError(msg) from None
    return SlotCUDACluster
