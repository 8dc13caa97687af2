"""A file of weights is checked to its last byte."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from weight_files import TINY, hide_all_weights, save

from trackkit.core.errors import CheckpointError
from trackkit.trackers.sam2.checkpoint import load_sam2
from trackkit.tracking.verify import verify

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def empty_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return hide_all_weights(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A file of random weights in the official format, and what is in it."""
    path = tmp_path_factory.mktemp("sam2") / f"{TINY}.pt"
    yield path, save(TINY, path)
    path.unlink()


def test_verify(tiny: Any, tmp_path: Path) -> None:
    path, weights = tiny
    found = verify(str(path))
    assert (found.model, found.keys, found.dtypes) == (TINY, len(weights), ("float32",))
    assert found.size_bytes == path.stat().st_size
    assert found.released is False  # random weights are not those of Meta
    with pytest.raises(CheckpointError, match=r"trackkit models fetch sam2\.1_hiera_small"):
        verify("sam2.1_hiera_small")
    with pytest.raises(CheckpointError, match="is not here"):
        verify("nobody/nothing")


def test_verify_sees_a_flipped_byte(tiny: Any, tmp_path: Path) -> None:
    path = tmp_path / "flipped.pt"
    content = bytearray(tiny[0].read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    load_sam2(TINY, str(path))  # loading does not compare checksums
    with pytest.raises(CheckpointError, match=r"the checksum of .* is wrong"):
        verify(str(path))
    path.unlink()
    assert zipfile.is_zipfile(tiny[0])


def test_verify_sees_nan(tiny: Any, tmp_path: Path) -> None:
    path = tmp_path / "nan.pt"
    torch.save({"model": {**tiny[1], "no_obj_ptr": torch.full((1, 256), torch.nan)}}, path)
    with pytest.raises(CheckpointError, match="1 weights are not finite, the first is no_obj_ptr"):
        verify(str(path))
    path.unlink()
