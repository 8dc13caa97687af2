"""The settings of OpenMP, before torch reads them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from trackkit.core.threads import thread_counts

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "1000"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None), ({"GOMP_SPINCOUNT": "7"}, "7")],
)
def test_threads_spin_briefly_unless_told_otherwise(given: dict[str, str], spins: str | None) -> None:
    code = (
        "import json, os, sys; import trackkit; assert 'torch' not in sys.modules;"
        "print(json.dumps(os.environ.get('GOMP_SPINCOUNT')))"
    )
    environ = {key: value for key, value in os.environ.items() if key not in NAMES} | given
    said = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, check=True, text=True
    )
    assert json.loads(said.stdout) == spins


@pytest.mark.parametrize(
    ("given", "counts"),
    [
        ({}, ("3", "3", "3")),
        ({"OMP_NUM_THREADS": "5"}, ("5", "5", "5")),
        ({"OMP_NUM_THREADS": "5", "MKL_NUM_THREADS": "2"}, ("5", "2", "5")),
        ({"OMP_NUM_THREADS": ""}, ("3", "3", "3")),
    ],
)
def test_the_users_own_number_of_threads_stands(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], counts: tuple[str, str, str]
) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert tuple(thread_counts(3).values()) == counts
