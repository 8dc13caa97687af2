from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from samples import CONFIG, sample_failure, sample_result
from tracked_clips import track_two_clips

from trackkit.core.errors import ResultsError
from trackkit.core.masks import decode_rle
from trackkit.results.columns import FAILURE_DTYPES, TRACK_DTYPES, VIDEO_DTYPES
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


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> TrackingResults:
    return track_two_clips(tmp_path_factory.mktemp("videos"))


def test_a_video_is_found_by_path_or_name(results: TrackingResults) -> None:
    result = results.of("plain")
    assert results.of(result.task.video_path) is results.of(Path(result.task.source)) is result
    with pytest.raises(ResultsError, match="other is not in the results; expected one that was tracked, of"):
        results.of("other")
    with pytest.raises(ResultsError, match=r"gone\.mp4 failed"):
        results.of("gone.mp4")
    twice = TrackingResults([sample_result("a/car.mp4"), sample_result("b/car.mp4")], CONFIG)
    assert twice.of("a/car.mp4") is twice.outcomes[0]
    with pytest.raises(ResultsError, match=r"several videos; expected .* of a/car.mp4, b/car.mp4"):
        twice.of("car.mp4")
