"""How many threads compute on the CPU, and how they wait for each other."""

from __future__ import annotations

import os

_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# Threads of OpenMP spin while they wait for the slowest, GNU's 300,000 times. If another program has the core
# of the slowest, they take the time that it needs, and a frame takes many times as long. So many spins gain
# nearly as much on a quiet machine, and lose least on a busy one: benchmarks/threads.py.
_SPINS = "1000"


def spin_briefly() -> None:
    """Have the threads of this process, and of those it starts, spin only briefly while they wait.

    Works if it is called before torch is imported. OMP_WAIT_POLICY and GOMP_SPINCOUNT in the environment are
    the user's word and stay as they are.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)


def thread_counts(threads: int) -> dict[str, str]:
    """Environment variables for so many threads a process, or for what the user's OMP_NUM_THREADS says."""
    count = os.environ.get("OMP_NUM_THREADS") or str(threads)
    return {name: os.environ.get(name) or count for name in _COUNTS}
