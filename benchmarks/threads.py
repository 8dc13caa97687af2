"""What the threads of one worker cost and gain, on a quiet machine and on a busy one, in one run.

Frames go through the mini preset in processes that differ in their OpenMP settings only. Each is measured in
turn, first alone, then beside processes that keep every core busy; the rounds are interleaved.

python benchmarks/threads.py [--rounds 3] [--write]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter

from report import machine, publish, table

from trackkit.cli.demo import make_demo_videos

CORES = len(os.sched_getaffinity(0))
_OPENMP = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
SETTINGS: dict[str, dict[str, str]] = {
    "1 thread": {"OMP_NUM_THREADS": "1"},
    "OpenMP's own": {"OMP_NUM_THREADS": str(CORES)},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_NUM_THREADS": str(CORES), "OMP_WAIT_POLICY": "PASSIVE"},
    **{
        f"GOMP_SPINCOUNT={spins}{' (as trackkit sets it)' if spins == '1000' else ''}": {
            "OMP_NUM_THREADS": str(CORES),
            "GOMP_SPINCOUNT": spins,
        }
        for spins in ("1000", "5000", "20000", "100000")
    },
}


class Tracker:
    """A process that tracks the clip whenever it is asked to."""

    def __init__(self, clip: Path, settings: dict[str, str]) -> None:
        environ = {key: value for key, value in os.environ.items() if key not in _OPENMP} | settings
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", str(clip)],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self) -> None:
        """Begin with the clip."""
        assert self._process.stdin
        print(file=self._process.stdin, flush=True)

    def ms(self) -> float:
        """Milliseconds a frame, once it is done."""
        assert self._process.stdout
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.wait()


def serve(clip: str) -> None:
    """Answer each line of the input with the milliseconds that a frame took."""
    from trackkit.cli.demo import demo_config
    from trackkit.tracking.models import load_models
    from trackkit.tracking.track_video import track_video

    models = load_models(demo_config(), "cpu")
    for _ in sys.stdin:
        started = perf_counter()
        result = track_video(clip, demo_config(), models=models)
        print((perf_counter() - started) / result.info.num_frames * 1000, flush=True)


@contextmanager
def every_core_busy() -> Iterator[None]:
    """As many endless loops as there are cores."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(CORES)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def measure(trackers: Sequence[Tracker]) -> float:
    """Milliseconds a frame of them all, side by side."""
    for tracker in trackers:
        tracker.start()
    return max(tracker.ms() for tracker in trackers) / len(trackers)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        clip = make_demo_videos(Path(folder))[0]
        workers = {name: [Tracker(clip, settings)] for name, settings in SETTINGS.items()}
        workers[f"{CORES} workers of 1 thread"] = [Tracker(clip, SETTINGS["1 thread"]) for _ in range(CORES)]
        for trackers in workers.values():
            for tracker in trackers:
                stack.callback(tracker.close)
            measure(trackers)  # loads, and warms up
        quiet: dict[str, list[float]] = {name: [] for name in workers}
        busy: dict[str, list[float]] = {name: [] for name in workers}
        for _ in range(options.rounds):
            for name, trackers in workers.items():
                quiet[name].append(measure(trackers))
            with every_core_busy():
                for name, trackers in workers.items():
                    busy[name].append(measure(trackers))
    base_quiet, base_busy = median(quiet["1 thread"]), median(busy["1 thread"])
    rows = [
        [
            name,
            f"{median(quiet[name]):.0f}",
            f"{median(quiet[name]) / base_quiet:.2f}",
            f"{median(busy[name]):.0f}",
            f"{median(busy[name]) / base_busy:.2f}",
        ]
        for name in workers
    ]
    header = ["", "quiet, ms a frame", "of 1 thread", "busy, ms a frame", "of 1 thread"]
    about = (
        f"{machine('torch')}; `--preset mini`, median of {options.rounds} rounds; "
        f"busy: beside {CORES} endless loops. {CORES} threads where nothing else is said."
    )
    publish("Threads of a worker", f"{about}\n\n{table(header, rows)}", write=options.write)


if __name__ == "__main__":
    main()
