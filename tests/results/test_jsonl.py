"""Files of results are read back as they were written."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from samples import CONFIG, sample_failure, sample_result

from trackkit.core.errors import ResultsError
from trackkit.results.jsonl import failures_path, iter_jsonl
from trackkit.results.jsonl_line import (
    LAYOUTS,
    encode_failure,
    encode_result,
)
from trackkit.tracking_results import TrackingResults, read_jsonl


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("empty", [True, False])
def test_what_is_written_is_read_back(tmp_path: Path, layout: str, masks: bool, empty: bool) -> None:
    result, failure = (
        sample_result('we"ird\\,"video_info":{ \u2028 name.mp4', masks=masks, empty=empty),
        sample_failure(),
    )
    path = tmp_path / "tracks.jsonl"
    path.write_bytes(encode_result(result, CONFIG, layout))
    failures_path(path).write_bytes(encode_failure(failure, CONFIG))
    back, wanted = read_jsonl(path), TrackingResults([failure, result], CONFIG)
    assert back.config == CONFIG
    pd.testing.assert_frame_equal(back.tracks, wanted.tracks)
    pd.testing.assert_frame_equal(back.videos, wanted.videos)
    pd.testing.assert_frame_equal(back.failures, wanted.failures)


def test_errors_name_the_file_and_the_line(tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    with pytest.raises(ResultsError, match="cannot be read"):
        read_jsonl(path)
    path.write_bytes(b"")
    with pytest.raises(ResultsError, match="holds no results"):
        read_jsonl(path)
    line = encode_result(sample_result(), CONFIG)
    path.write_bytes(line + line[:-20])
    with pytest.raises(ResultsError, match="line 2"):
        list(iter_jsonl(path))
    path.write_bytes(line + encode_result(sample_result("b"), CONFIG.replace(fps=2.0)))
    with pytest.raises(ResultsError, match="different options"):
        read_jsonl(path)


def test_the_last_word_on_a_video_counts(tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    failures_path(path).write_bytes(encode_failure(sample_failure("a/car.mp4"), CONFIG))
    path.write_bytes(
        encode_result(sample_result(empty=True), CONFIG) + encode_result(sample_result(), CONFIG)
    )
    results = read_jsonl(path)
    assert len(results) == 1
    assert results.failures["error_type"].tolist() == ["VideoDecodeError"]
    assert len(results.tracks) == 4
