"""A worker's memory does not grow with the length of a video. ``--chaos-minutes 60`` for an hour of it."""

from __future__ import annotations

import os
import re
import threading
from itertools import cycle, islice
from pathlib import Path

import pytest

import trackkit as tk
from trackkit.synthetic.render import iter_frames
from trackkit.synthetic.scenes import make_scene
from trackkit.video.writer import VideoWriter

FPS, OBJECTS = 10, 8
CONFIG = tk.TrackConfig.from_preset("color", "red")

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(7200)]


def memory_mib(pid: int) -> float:
    """What a process holds for itself: not the pages of files, which the system takes back when it likes."""
    (kib,) = re.findall(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(kib) / 1024


def test_memory_at_the_end_is_that_after_a_minute(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    minutes = request.config.getoption("--chaos-minutes")
    scene = make_scene(0, width=96, height=64, num_frames=50, num_objects=OBJECTS, colors=("red",), fps=FPS)
    loop = [image for image, _ in iter_frames(scene)]
    for name, length in (("first", len(loop)), ("long", 60 * FPS * minutes)):
        with VideoWriter(tmp_path / f"{name}.mp4", width=96, height=64, fps=FPS) as writer:
            for image in islice(cycle(loop), length):
                writer.write(image)
    after_a_minute = most = sending = 0.0
    frames = 0
    done = threading.Event()

    def measure(progress: tk.Progress) -> None:
        nonlocal after_a_minute, frames
        frames = progress.frames
        if not after_a_minute and frames >= 60 * FPS:
            after_a_minute = memory_mib(pid)

    def watch() -> None:
        nonlocal most, sending
        while not done.wait(0.01):
            now = memory_mib(pid)
            if frames > 0.99 * 60 * FPS * minutes:
                sending = max(sending, now)
            elif after_a_minute:
                most = max(most, now)

    with tk.Session(CONFIG, num_workers=1, device="cpu") as session:
        session.track([tmp_path / "first.mp4"])  # what is loaded once, is
        assert session.client is not None
        (pid,) = session.client.run(os.getpid).values()
        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        path = tmp_path / "tracks.jsonl"
        (outcome,) = session.iter_results([tmp_path / "long.mp4"], output_jsonl=path, on_progress=measure)
        done.set()
        thread.join()
        at_the_end = memory_mib(pid)
    assert isinstance(outcome, tk.VideoResult)
    assert len(outcome.frames[0]) == 60 * FPS * minutes
    with capsys.disabled():
        print(
            f"\n{minutes} min, {len(outcome.tracks)} rows, a line of {path.stat().st_size / 2**20:.0f} MiB: "
            f"a worker of {after_a_minute:.1f} MiB after one minute, then at most {most:.1f} MiB, "
            f"{sending:.1f} while its result is sent, {at_the_end:.1f} at the end"
        )
    assert len(outcome.tracks) > 2 * len(outcome.frames[0])
    assert 0 < max(most, at_the_end) < 1.03 * after_a_minute
