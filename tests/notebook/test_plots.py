"""Figures of results."""

from __future__ import annotations

import sys

import pytest
from samples import CONFIG, sample_result
from tracked_clips import track_two_clips

import trackkit as tk
from trackkit.core.errors import VideoOpenError
from trackkit.tracking_results import TrackingResults


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> TrackingResults:
    return track_two_clips(tmp_path_factory.mktemp("videos"))


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
