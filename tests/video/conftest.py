"""No reader leaves a thread; and a folder of files that are named as videos."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
from clips import decoders


@pytest.fixture(autouse=True)
def no_thread_stays() -> Any:
    yield
    if decoders():
        gc.collect()
    assert decoders() == []


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, size in (("a/car.mp4", 30), ("b/car.mp4", 10), ("straße 東京.mkv", 20), ("#odd.mp4", 1)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    monkeypatch.chdir(tmp_path)
    return tmp_path
