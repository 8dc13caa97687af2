"""What it costs to spread videos: overhead per video, memory of the client, and how soon a long list starts.

python benchmarks/scheduling.py [--videos 2000] [--list 100000] [--write]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from time import perf_counter

import psutil
from report import machine, publish, table

import trackkit as tk
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene

WORKERS = 2
CONFIG = tk.TrackConfig.from_preset("color", "red")


def make_list(folder: Path, video: Path, count: int) -> Path:
    """A list of ``count`` names of one video."""
    names = folder / f"{count}"
    names.mkdir()
    for k in range(count):
        (names / f"{k:06}.mp4").symlink_to(video)
    path = folder / f"{count}.txt"
    path.write_text("\n".join(f"{names}/{k:06}.mp4" for k in range(count)))
    return path


def many_short_videos(session: tk.Session, videos: Path, count: int) -> list[list[object]]:
    """Overhead per video and growth of the client, for videos of one frame."""
    process = psutil.Process()
    busy, seen, before = 0.0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        started = perf_counter()
        for outcome in session.iter_results(videos, output_jsonl=Path(folder) / "tracks.jsonl"):
            assert isinstance(outcome, tk.VideoResult), outcome
            busy += outcome.seconds["total"]
            seen += 1
            before = before or process.memory_info().rss
        wall = perf_counter() - started
    assert seen == count
    growth = (process.memory_info().rss - before) / 2**20
    overhead = (wall * WORKERS - busy) / count * 1000
    return [
        ["wall per video and worker, ms", f"{wall * WORKERS / count * 1000:.1f}", ""],
        ["tracking per video, ms", f"{busy / count * 1000:.1f}", ""],
        ["overhead per video, ms", f"{overhead:.1f}", "40"],
        [f"client memory growth over {count} videos, MiB", f"{growth:.1f}", "50"],
    ]


def long_list(session: tk.Session, videos: Path, count: int) -> list[list[object]]:
    """Seconds from the call to the first outcome."""
    started = perf_counter()
    outcomes = session.iter_results(videos)
    next(outcomes)
    first = perf_counter() - started
    outcomes.close()  # type: ignore[attr-defined]
    return [[f"first of {count} videos done after, s", f"{first:.2f}", "5"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=2000)
    parser.add_argument("--list", type=int, default=100_000)
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as name,
        tk.Session(CONFIG, device="cpu", num_workers=WORKERS) as session,
    ):
        folder = Path(name)
        video = write_video(make_scene(0, width=160, height=120, num_frames=1), folder / "one.mp4")
        session.track(video)
        rows = many_short_videos(session, make_list(folder, video, options.videos), options.videos)
        rows += long_list(session, make_list(folder, video, options.list), options.list)
    body = f"{machine('dask', 'distributed')}; {WORKERS} workers, videos of one frame.\n\n"
    publish("Scheduling", body + table(["", "measured", "limit"], rows), write=options.write)


if __name__ == "__main__":
    main()
