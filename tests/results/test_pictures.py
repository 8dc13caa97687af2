"""Pictures need the file that was tracked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from samples import CONFIG, sample_result
from tracked_clips import track_two_clips

import trackkit as tk
from trackkit.core.errors import ResultsError, VideoOpenError
from trackkit.tracking_results import TrackingResults


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> TrackingResults:
    return track_two_clips(tmp_path_factory.mktemp("videos"))


def test_a_source_that_is_gone_or_another_is_said(results: TrackingResults) -> None:
    away = TrackingResults([sample_result()], CONFIG)
    with pytest.raises(VideoOpenError, match="No such file"):
        tk.show_frame(away, "car", 0)
    assert "no pictures: /videos/a/car.mp4" in sample_result()._repr_html_()
    assert "warning: one" in sample_result()._repr_html_()
    review = away.review()
    assert len(review) == 3
    assert "no pictures: /videos/a/car.mp4" in review.notes[0]
    assert "red #2" in review._repr_html_()
    other = replace(results.of("plain"), info=sample_result().info)
    with pytest.raises(ResultsError, match="not the file that was tracked"):
        tk.show_frame(TrackingResults([other], results.config), "plain", 0)
