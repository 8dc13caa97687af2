"""How far a video is, told while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from tracked_shapes import CONFIG, write_shapes

import trackkit as tk
from trackkit.tracking.models import load_models
from trackkit.tracking.track_video import track_video


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("clip"))


def test_progress_goes_up(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackkit.tracking.reporter.PROGRESS_INTERVAL_S", 0.0)
    events: list[tk.Progress] = []
    result = track_video(clip, CONFIG, on_progress=events.append)
    assert [event.frames for event in events] == list(range(1, 31))
    assert {event.total for event in events} == {30}
    assert events[-1].objects == result.tracks["obj_id"].nunique()


def test_a_slow_cpu_says_so_early(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackkit.tracking.reporter.PROGRESS_INTERVAL_S", 0.0)
    monkeypatch.setattr("trackkit.tracking.reporter.SLOW_SECONDS_PER_FRAME", 0.0)
    config = CONFIG.replace(tracker="sam2")  # only the name counts here
    models = load_models(CONFIG, "cpu")
    events: list[tk.Progress] = []
    result = track_video(clip, config, models=models, on_progress=events.append)
    noted = [event for event in events if event.notes]
    assert noted[0].frames == 5
    assert "s a frame on this CPU" in noted[0].notes[0]
    assert "--sam-type sam2.1_hiera_tiny" in result.warnings[0]
