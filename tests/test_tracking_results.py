from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from samples import CONFIG, sample_failure, sample_objects, sample_result

from trackkit.core.masks import decode_rle
from trackkit.results.columns import FAILURE_DTYPES, TRACK_DTYPES, VIDEO_DTYPES, objects_in
from trackkit.results.rows import TrackTable
from trackkit.tracking_results import TrackingResults


def _dtypes(frame: pd.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


def test_tables_have_the_documented_columns_even_when_empty() -> None:
    for outcomes in ([], [sample_result()], [sample_failure()], [sample_result(), sample_failure()]):
        results = TrackingResults(outcomes, CONFIG)
        assert _dtypes(results.tracks) == TRACK_DTYPES
        assert _dtypes(results.videos) == VIDEO_DTYPES
        assert _dtypes(results.failures) == FAILURE_DTYPES


def test_rows_are_the_objects() -> None:
    tracks = TrackingResults([sample_result()], CONFIG).tracks
    assert tracks["frame_idx"].tolist() == [0, 0, 4, 6]
    assert tracks["obj_id"].tolist() == [1, 2, 2, 3]
    assert tracks["label"].tolist() == ["Blue cup", "red", "red", "Blue cup"]
    assert tracks["detected"].tolist() == [False, True, True, False]
    row = tracks.iloc[0]
    assert (row.x, row.y, row.width, row.height, row.area_px) == (3, 2, 4, 5, 19)
    mask = decode_rle(row.mask_rle, 12, 16)
    assert mask.sum() == 19
    assert not mask[2, 3]


def test_without_masks_the_rle_is_missing() -> None:
    tracks = TrackingResults([sample_result(masks=False)], CONFIG).tracks
    assert tracks["mask_rle"].isna().all()
    assert (tracks["area_px"] == 20).all()


def test_videos_of_several_runs_are_one_table() -> None:
    results = TrackingResults(
        [sample_result("a"), sample_result("b"), sample_result("c", empty=True)], CONFIG
    )
    assert results.tracks.groupby("video_path", observed=True).size().to_dict() == {"a": 4, "b": 4}
    assert results.tracks.index.is_unique
    assert results.videos["objects"].tolist() == [3, 3, 0]


def test_one_row_per_video() -> None:
    results = TrackingResults([sample_result(), sample_failure()], CONFIG)
    ok, failed = results.videos.to_dict("records")
    assert (ok["status"], ok["frames"], ok["objects"], ok["seconds_track"]) == ("truncated", 4, 3, 0.3)
    assert ok["warnings"] == "one; two"
    assert failed["status"] == "failed"
    assert "VideoOpenError: no such file" in failed["message"]
    assert results.failures["error_type"].tolist() == ["VideoDecodeError", "VideoOpenError"]
    assert results.failures["message"][0] == "stops after 8 of 10 frames"
    assert repr(results) == "TrackingResults(1 truncated, 1 failed; 3 objects in 4 frames)"


def test_a_result_is_small_on_the_wire() -> None:
    """No array of masks and no list of dicts crosses the network."""
    table = TrackTable("a", CONFIG.classes)
    for frame_idx in range(1000):
        table.add(sample_objects(frame_idx, [1, 2, 3, 4]))
    tracks = table.to_frame()
    assert len(tracks) == 4000
    per_row = len(pickle.dumps(tracks, protocol=5)) / len(tracks)
    assert per_row < tracks["mask_rle"].str.len().mean() + 60


@pytest.mark.parametrize("masks", [True, False])
def test_rows_become_objects_again(masks: bool) -> None:
    objects = sample_objects(4, [1, 2, 3], masks=masks)
    table = TrackTable("a", CONFIG.classes)
    table.add(objects)
    rows = table.to_frame()
    back = objects_in(rows, objects.frame)
    for name in ("obj_ids", "xyxy", "scores", "detected", "areas"):
        np.testing.assert_allclose(getattr(back, name), getattr(objects, name), rtol=1e-6)
    assert back.pred_ious is not None
    expected = np.full(3, np.nan) if objects.pred_ious is None else objects.pred_ious
    np.testing.assert_array_equal(back.pred_ious, expected)
    assert (back.labels, back.rles) == (objects.labels, objects.rles)
    assert len(objects_in(rows[:0], objects.frame)) == 0
