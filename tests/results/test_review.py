"""What a notebook shows of results: safe whatever videos are called."""

from __future__ import annotations

import re

import pytest
from samples import CONFIG, sample_failure, sample_result
from tracked_clips import EVIL, track_two_clips

import trackkit as tk
from trackkit.tracking_results import TrackingResults


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> TrackingResults:
    return track_two_clips(tmp_path_factory.mktemp("videos"))


def test_no_name_becomes_html(results: TrackingResults) -> None:
    evil = next(o for o in results.outcomes if EVIL in o.task.video_path)
    sources = [results._repr_html_(), evil._repr_html_(), results.review()._repr_html_()]  # type: ignore[union-attr]
    sources.append(tk.show_video(results, evil.task.video_path, 0, 0.2)._repr_html_())
    for html in sources:
        assert "&lt;img src=x onerror=alert(" in html
        assert "<img src=x" not in html
    assert "&lt;b&gt;no&lt;/b&gt; such file" in sources[0]


def test_a_summary_says_what_failed_and_what_to_look_at() -> None:
    html = TrackingResults([sample_result(), sample_failure()], CONFIG)._repr_html_()
    for text in (
        "1 truncated, 1 failed",
        "red. Blue cup.",
        "Failures",
        "stops after 8 of 10 frames",
        "b/car.mp4",
    ):
        assert text in html
    assert "5.7 frames/s a worker" in html
    assert html.count("<tr") == 2 + 2 + 3  # two heads, two failures, three tracks
    empty = TrackingResults([], CONFIG)._repr_html_()
    assert "no videos" in empty
    assert "<table" not in empty


def test_a_review_shows_the_worst_first(results: TrackingResults) -> None:
    review = results.review(3)
    assert review.tracks["trust"].is_monotonic_increasing
    assert review.tracks["trust"].iloc[0] == results.trust["trust"].min()
    assert len(review) == len(review.thumbnails) == min(3, len(results.trust))
    assert all(1 <= len(pictures) <= 3 for pictures in review.thumbnails)
    images = re.findall(r"data:image/jpeg;base64,([^']+)", review._repr_html_())
    assert len(images) == sum(map(len, review.thumbnails))
    assert not review.notes
