"""Frames and clips that a notebook shows: drawn from real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tracked_clips import track_two_clips

import trackkit as tk
from trackkit.core.errors import ResultsError
from trackkit.tracking_results import TrackingResults
from trackkit.video.reader import VideoReader


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> TrackingResults:
    return track_two_clips(tmp_path_factory.mktemp("videos"))


def test_a_frame_is_that_of_the_video_with_the_objects_drawn_in(results: TrackingResults) -> None:
    shown = np.asarray(tk.show_frame(results, "plain", 8))
    with VideoReader(results.of("plain").task.source) as reader:
        plain = next(frame.image for frame in reader if frame.idx == 8)
    changed = (shown != plain).any(axis=2)
    rows = results.of("plain").tracks.query("frame_idx == 8")
    assert len(rows)
    for row in rows.itertuples():
        y, x = slice(int(row.y), int(row.y + row.height)), slice(int(row.x), int(row.x + row.width))
        assert changed[y, x].mean() > 0.2
    assert 0.01 < changed.mean() < 0.9


def test_a_frame_that_was_not_processed_is_refused(results: TrackingResults) -> None:
    with pytest.raises(ResultsError, match=r"frame 9 was not processed.*nearest are 8 and 10"):
        tk.show_frame(results, "plain.mp4", 9)


def test_a_clip_is_the_processed_frames_of_a_span(results: TrackingResults, tmp_path: Path) -> None:
    result = results.of("plain.mp4")
    times = result.frames[1]
    clip = tk.show_video(results, "plain.mp4", times[2], times[6])
    clip.save(tmp_path / "clip.mp4")
    with VideoReader(tmp_path / "clip.mp4") as reader:
        frames = list(reader)
    assert [frame.time_s for frame in frames] == pytest.approx(times[2:6] - times[2], abs=1e-3)
    shown = np.asarray(tk.show_frame(results, "plain.mp4", int(result.frames[0][3])))
    assert np.abs(frames[1].image.astype(int) - shown).mean() < 8  # but for what H.264 loses
    assert "src='data:video/mp4;base64," in clip._repr_html_()
    small = tk.show_video(results, "plain.mp4", width=100)
    small.save(tmp_path / "clip.mp4")
    with VideoReader(tmp_path / "clip.mp4") as reader:
        assert (reader.info.width, reader.info.height) == (100, 60)
        assert len(list(reader)) == len(times)
    with pytest.raises(ResultsError, match=r"no processed frame from 50 s.*from 0\.00 to"):
        tk.show_video(results, "plain.mp4", 50)


def test_the_sheet_of_a_run_has_a_row_for_every_video_that_was_tracked(results: TrackingResults) -> None:
    sheet = tk.contact_sheet(results, columns=2, width=420)
    assert sheet.width == 420
    assert 2 * 120 < sheet.height < 3 * 120
