"""What a notebook shows: drawn from real files, and safe whatever these are called."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples import CONFIG, sample_failure, sample_result

import trackkit as tk
from trackkit.config import TrackConfig
from trackkit.core.errors import ResultsError, VideoOpenError
from trackkit.core.tasks import VideoFailure, VideoTask
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene
from trackkit.tracking_results import TrackingResults
from trackkit.video.reader import VideoReader

EVIL = "<img src=x onerror=alert('x')>.mp4"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> TrackingResults:
    """Two clips, one with a name that is HTML, at half the source's rate; and one that is missing."""
    folder = tmp_path_factory.mktemp("videos")
    scene = make_scene(3, width=200, height=120, num_frames=20)
    paths = [write_video(scene, folder / name) for name in ("plain.mp4", EVIL)]
    colors = sorted({obj.color for obj in scene.objects})
    config = TrackConfig.from_preset("color", ". ".join(colors), fps=scene.fps / 2)
    gone = VideoFailure(VideoTask("gone.mp4", "/gone.mp4"), "VideoOpenError", "<b>no</b> such file")
    return TrackingResults([*(tk.track_video(path, config) for path in paths), gone], config)


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


def test_figures_take_and_return_axes(results: TrackingResults) -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    tracks = results.of("plain").tracks
    ids = tracks["obj_id"].nunique()
    ax = plt.figure().subplots()
    assert tk.plot_trajectories(results, "plain", ax=ax) is ax
    assert len(ax.get_legend_handles_labels()[1]) == ids
    assert ax.get_ylim() == (120, 0)
    last = tracks[tracks["obj_id"] == tracks["obj_id"].max()].iloc[-1]
    end = ax.lines[-1].get_xydata()[0]
    assert end == pytest.approx([last["x"] + last["width"] / 2, last["y"] + last["height"] / 2])
    assert len(tk.plot_timeline(results, "plain").get_yticks()) == ids
    stages = tk.plot_stages(results)
    drawn = sum(bar.get_width() for bar in stages.patches)
    assert drawn == pytest.approx(results.videos["seconds_total"].sum(), rel=1e-6)
    away = TrackingResults([sample_result()], CONFIG)
    assert tk.plot_trajectories(away, "car", background=False).get_xlim() == (0, 16)
    with pytest.raises(VideoOpenError) as caught:
        tk.plot_trajectories(away, "car")
    assert caught.value.__notes__ == ["background=False draws without the video"]
    plt.close("all")


def test_without_matplotlib_the_error_says_what_to_install(
    results: TrackingResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(tk.ConfigError, match=r"pip install 'trackkit\[notebook\]'"):
        tk.plot_stages(results)
