"""No test of these finds weights but its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from weight_files import hide_all_weights


@pytest.fixture(autouse=True)
def empty_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The hub's cache."""
    return hide_all_weights(monkeypatch, tmp_path)
