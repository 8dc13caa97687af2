"""The client is killed with -9, again and again, and the same command goes on: the file is as if nothing was.

``--chaos-rounds 20`` for more kills.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import psutil
import pytest

import trackkit as tk
from trackkit.cli import main as cli
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene

OPTIONS = ["--preset", "color", "--text-prompt", "red. blue.", "--device", "cpu", "--num-workers", "1"]

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]


def lines_of(path: Path) -> set[bytes]:
    """The lines without what differs from run to run: seconds, memory, workers."""
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    for line in lines:
        del line["run"]
    found = {orjson.dumps(line) for line in lines}
    assert len(found) == len(lines)
    return found


def test_a_run_that_is_killed_and_resumed_equals_one_that_was_not(
    tmp_path: Path, chaos_rounds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    first = write_video(make_scene(0, num_frames=8, colors=("red", "blue")), clips / "0000.mp4")
    for k in range(1, 20 + 20 * chaos_rounds):
        (clips / f"{k:04}.mp4").hardlink_to(first)
    path, whole = tmp_path / "tracks.jsonl", tmp_path / "whole.jsonl"
    words = ["track", "--video-list", str(clips), "--output-jsonl", str(path), *OPTIONS]
    numbers = random.Random(0)
    for _ in range(chaos_rounds):
        before = path.read_bytes().count(b"\n") if path.exists() else 0
        with subprocess.Popen(
            [sys.executable, "-m", "trackkit", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while process.poll() is None and (
                not path.exists() or path.read_bytes().count(b"\n") < before + numbers.randrange(1, 15)
            ):
                time.sleep(0.01)
            children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.send_signal(signal.SIGKILL)
        assert psutil.wait_procs(children, timeout=30)[1] == []
        with capsys.disabled():
            print(f"\nkilled with {path.read_bytes().count(bytes([10]))} lines")
    assert cli.main(words) == 0
    config = tk.TrackConfig.from_preset("color", "red. blue.")
    with tk.Session(config, num_workers=0, device="cpu") as session:
        for _ in session.iter_results(clips, output_jsonl=whole):
            pass
    assert lines_of(path) == lines_of(whole)
    assert {name for name in os.listdir(tmp_path) if "torn" not in name} == {  # noqa: PTH208
        "clips", "tracks.jsonl", "whole.jsonl",
    }  # fmt: skip
