"""Fixtures that every test may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import dask
import pytest
from distributed.utils import get_mp_context

# Before torch is imported: small models gain nothing from more, and the workers share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

WORKERS_IMPORT = (
    *("pytest", "distributed", "trackkit.run.worker", "trackkit.video.draw"),
    *("trackkit.detectors.color", "trackkit.trackers.bytetrack"),
)
MODELS_IMPORT = (  # takes ten seconds
    "trackkit.detectors.grounding_dino.detector",
    "trackkit.trackers.sam2.tracker_model",
)
SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos", "how much the tests of tests/chaos do")
    for name, default, text in (
        ("--chaos-rounds", 1, "how often they go wrong anew"),
        ("--chaos-videos", 8, "videos of a run in which some kill their workers"),
        ("--chaos-minutes", 2, "length of a long video"),
        ("--bad-files", 36, "damaged files to read"),
    ):
        group.addoption(name, type=int, default=default, help=f"{text} (default: {default})")


@pytest.fixture(scope="session", autouse=True)
def workers_start_at_once() -> Iterator[None]:
    """Workers are forked from a process that has imported what they need.

    Those of a ``trackkit`` that a test starts as a process of its own come as they come to users.
    """
    modules = [*WORKERS_IMPORT, *(MODELS_IMPORT if "torch" in sys.modules else ())]
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        get_mp_context().set_forkserver_preload(modules)
        yield


@pytest.fixture
def chaos_rounds(request: pytest.FixtureRequest) -> int:
    """``--chaos-rounds``."""
    return int(request.config.getoption("--chaos-rounds"))


@pytest.fixture
def chaos_videos(request: pytest.FixtureRequest) -> int:
    """``--chaos-videos``."""
    return int(request.config.getoption("--chaos-videos"))


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Real clips and ground truth that lie beside the project on some machines."""
    if not (SHARED / "videos").is_dir():
        pytest.skip("no real clips: the folder ../shared/videos is absent")
    return SHARED


@pytest.fixture
def require_gpu() -> None:
    """Skips without a GPU, unless TRACKKIT_REQUIRE_GPU=1 makes that an error."""
    import torch

    if not torch.cuda.is_available():
        if os.environ.get("TRACKKIT_REQUIRE_GPU") == "1":
            pytest.fail("TRACKKIT_REQUIRE_GPU=1, but torch sees no GPU")
        pytest.skip("no GPU")
