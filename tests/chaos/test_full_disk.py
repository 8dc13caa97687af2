"""Disks that fill up while a run writes to them. ``--chaos-rounds N`` for more."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import trackkit as tk
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene
from trackkit.video.reader import probe

CONFIG = tk.TrackConfig.from_preset("color", "red. blue.")

pytestmark = pytest.mark.chaos


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB, where one may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True
    ).returncode:
        pytest.skip("no tmpfs may be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def used(disk: Path) -> int:
    """Bytes that are taken, in whole pages."""
    stat = os.statvfs(disk)
    return (stat.f_blocks - stat.f_bfree) * stat.f_frsize


def test_nothing_is_lost_and_nothing_is_torn(
    small_disk: Path, tmp_path: Path, chaos_rounds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = [
        write_video(make_scene(seed, num_frames=8, colors=("red", "blue")), tmp_path / f"{seed}.mp4")
        for seed in range(6)
    ]
    ballast, path = small_disk / "ballast", small_disk / "tracks.jsonl"
    options = {"output_jsonl": path, "output_video_dir": small_disk / "annotated"}
    numbers = random.Random(0)
    with tk.Session(CONFIG, num_workers=0, device="cpu") as session:
        for _ in session.iter_results(clips, **options):  # type: ignore[arg-type]
            pass
        needed = used(small_disk)
        for _ in range(chaos_rounds):
            for file in [path, *(small_disk / "annotated").iterdir()]:
                file.unlink()
            ballast.write_bytes(bytes((1 << 20) - numbers.randrange(4096, needed)))
            with pytest.raises((tk.ResultsError, tk.StorageError)) as caught:
                for _ in session.iter_results(clips, **options):  # type: ignore[arg-type]
                    pass
            done = 0
            if path.exists() and path.stat().st_size:
                results = tk.read_jsonl(path)  # raises where a line is torn
                done = len(results)
                assert results.failures.empty
                assert all(probe(video).num_frames == 8 for video in results.videos["output_video"])
            assert all(probe(video).num_frames == 8 for video in (small_disk / "annotated").glob("*.mp4"))
            with capsys.disabled():
                print(f"\nfull after {done} videos: {type(caught.value).__name__}")
            ballast.unlink()
            left = [outcome.task.source for outcome in session.iter_results(clips, **options)]  # type: ignore[arg-type]
            assert len(left) == len(set(left)) == len(clips) - done
            assert sorted(tk.read_jsonl(path).videos["video_path"]) == sorted(map(str, clips))
