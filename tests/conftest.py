"""Fixtures that every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Real clips and ground truth that lie beside the project on some machines."""
    if not (SHARED / "videos").is_dir():
        pytest.skip("no real clips: the folder ../shared/videos is absent")
    return SHARED
