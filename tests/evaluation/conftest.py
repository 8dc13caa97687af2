"""A ground truth to compare with."""

from __future__ import annotations

from pathlib import Path

import pytest
from squares import STILL, info, table

from trackkit.synthetic.dataset import write_ground_truth


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Two objects that stand still for four frames."""
    return write_ground_truth(tmp_path / "truth.jsonl", {"car.mp4": (info(), table(STILL))})
