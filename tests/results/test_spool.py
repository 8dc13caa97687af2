from __future__ import annotations

import pickle
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from samples import CONFIG, sample_objects, sample_result
from small_disk import small_disk

from trackkit.core.errors import StorageError
from trackkit.results import spool
from trackkit.results.columns import TRACK_DTYPES
from trackkit.results.rows import TrackTable
from trackkit.results.spool import Spool


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go; more than a few bytes do."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(spool, "COLUMN_BYTES", 100)
    monkeypatch.setattr(spool, "RESULT_BYTES", 1000)
    return tmp_path


@pytest.mark.parametrize("pieces", [1, 20, 3000])  # in memory; on disk and read back; on disk and mapped
def test_columns_come_back_as_they_went_in(folder: Path, pieces: int) -> None:
    columns = Spool({"flag": np.bool_, "time": np.float64, "idx": np.int32, "empty": np.int8})
    for k in range(pieces):
        columns.append("flag", [k % 3 == 0, True])
        columns.append("time", k / 7)
        columns.append("idx", [k, -k, 5])
    found = columns.to_numpy()
    k = np.arange(pieces)
    assert found["flag"].tolist() == np.stack([k % 3 == 0, np.ones(pieces, bool)], 1).ravel().tolist()
    assert found["time"].tolist() == (k / 7).tolist()
    assert found["idx"].tolist() == np.stack([k, -k, np.full(pieces, 5)], 1).ravel().tolist()
    assert (found["empty"].tolist(), found["empty"].dtype) == ([], np.int8)
    for values in found.values():
        assert values.flags.aligned
        assert values.flags.writeable
    found["idx"][:] = 7
    assert list(folder.iterdir()) == []  # the files have no name


def test_rows_on_disk_are_those_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def table(masks: bool) -> pd.DataFrame:
        rows = TrackTable("a", CONFIG.classes)
        for k in range(300):
            rows.add(sample_objects(k, [1, 2, 3] if k % 5 else [], masks=masks))
        return rows.to_frame()

    for masks in (True, False):
        on_disk = table(masks)
        with monkeypatch.context() as patch:
            patch.setattr(spool, "COLUMN_BYTES", 1 << 20)
            patch.setattr(spool, "RESULT_BYTES", 1 << 20)
            in_memory = table(masks)
        pd.testing.assert_frame_equal(on_disk, in_memory)
        assert {name: str(dtype) for name, dtype in on_disk.dtypes.items()} == TRACK_DTYPES
        result, buffers = replace(sample_result(), tracks=on_disk), []
        head = pickle.dumps(result, protocol=5, buffer_callback=buffers.append)
        assert len(head) < 5000  # a worker sends what lies on disk without a copy of it
        if masks:
            (rles,) = on_disk["mask_rle"].array.__arrow_array__().chunks
            sent = {np.frombuffer(buffer, np.uint8).ctypes.data for buffer in buffers}
            assert rles.buffers()[2].address in sent
        copy = pickle.loads(head, buffers=buffers)
        pd.testing.assert_frame_equal(copy.tracks, in_memory)
        assert copy.warnings == result.warnings
        on_disk.loc[0, "score"] = 0.5
        assert on_disk["score"][0] == 0.5


def test_a_full_disk_is_said(folder: Path) -> None:
    columns = Spool({"rle": np.uint8})
    with pytest.raises(StorageError, match=r"cannot be kept in .*set TMPDIR"), small_disk():
        for _ in range(100):
            columns.append("rle", np.zeros(1000))


def test_a_result_is_small_on_the_wire() -> None:
    """No array of masks and no list of dicts crosses the network."""
    table = TrackTable("a", CONFIG.classes)
    for frame_idx in range(1000):
        table.add(sample_objects(frame_idx, [1, 2, 3, 4]))
    tracks = table.to_frame()
    assert len(tracks) == 4000
    per_row = len(pickle.dumps(tracks, protocol=5)) / len(tracks)
    assert per_row < tracks["mask_rle"].str.len().mean() + 60
