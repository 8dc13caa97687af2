"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


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
