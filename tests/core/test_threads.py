"""The settings of OpenMP, before torch reads them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from trackkit.core.threads import spin_briefly, thread_counts

SPINS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """What the user's environment says."""
    for name in (*SPINS, *COUNTS):
        monkeypatch.delenv(name, raising=False)
    for name, value in request.param.items():
        monkeypatch.setenv(name, value)


def test_threads_spin_briefly_before_torch_is_imported() -> None:
    code = (
        "import os, sys; import trackkit; assert 'torch' not in sys.modules;"
        "print(os.environ['GOMP_SPINCOUNT'])"
    )
    environ = {key: value for key, value in os.environ.items() if key not in SPINS}
    said = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, check=True, text=True
    )
    assert said.stdout == "1000\n"


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "1000"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None), ({"GOMP_SPINCOUNT": "7"}, "7")],
    indirect=["given"],
)
@pytest.mark.usefixtures("given")
def test_the_users_own_way_to_wait_stands(spins: str | None) -> None:
    spin_briefly()
    assert os.environ.pop("GOMP_SPINCOUNT", None) == spins


@pytest.mark.parametrize(
    ("given", "counts"),
    [
        ({}, ("3", "3", "3")),
        ({"OMP_NUM_THREADS": "5"}, ("5", "5", "5")),
        ({"OMP_NUM_THREADS": "5", "MKL_NUM_THREADS": "2"}, ("5", "2", "5")),
        ({"OMP_NUM_THREADS": ""}, ("3", "3", "3")),
    ],
    indirect=["given"],
)
@pytest.mark.usefixtures("given")
def test_the_users_own_number_of_threads_stands(counts: tuple[str, str, str]) -> None:
    assert tuple(thread_counts(3).values()) == counts
