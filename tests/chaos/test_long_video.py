"""Memory does not grow with the length of a video. ``--chaos-minutes 60`` for an hour of it."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path

import psutil
import pytest

import trackkit as tk
from trackkit.datasets import iter_frames, make_scene
from trackkit.video_writer import VideoWriter

FPS = 25

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]


def test_memory_at_the_end_is_that_after_a_minute(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    minutes = request.config.getoption("--chaos-minutes")
    scene = make_scene(0, width=96, height=64, num_frames=50, num_objects=1, colors=("red",), fps=FPS)
    loop = [image for image, _ in iter_frames(scene)]
    with VideoWriter(tmp_path / "long.mp4", width=96, height=64, fps=FPS) as writer:
        for image in islice(cycle(loop), 60 * FPS * minutes):
            writer.write(image)
    rss: dict[int, float] = {}

    def measure(progress: tk.Progress) -> None:
        rss[progress.frames] = psutil.Process().memory_info().rss / 2**20

    result = tk.track_video(
        tmp_path / "long.mp4", tk.TrackConfig.from_preset("color", "red"), on_progress=measure
    )
    assert len(result.frames[0]) == 60 * FPS * minutes
    after_a_minute = next(mib for frames, mib in rss.items() if frames >= 60 * FPS)
    at_the_end = list(rss.values())[-1]
    with capsys.disabled():
        print(f"\n{minutes} min: {after_a_minute:.0f} MiB after one, {at_the_end:.0f} MiB at the end")
    assert at_the_end < 1.03 * after_a_minute
