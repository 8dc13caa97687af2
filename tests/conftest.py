"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--chaos-rounds", type=int, default=1, help="how often each test of tests/chaos runs anew"
    )
    parser.addoption("--bad-files", type=int, default=36, help="mutated files that tests/chaos reads")


@pytest.fixture
def chaos_rounds(request: pytest.FixtureRequest) -> int:
    """``--chaos-rounds``."""
    return int(request.config.getoption("--chaos-rounds"))


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
