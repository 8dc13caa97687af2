"""The trainer of the mini models: it runs, goes on from its checkpoint, and writes what trackkit loads."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from trackkit.config import TrackConfig
from trackkit.detectors import load_detector
from trackkit.trackers import load_tracker

pytestmark = pytest.mark.slow

TRAIN = Path(__file__).parents[2] / "models" / "mini" / "train.py"


# One process imports what both runs need; what the second one goes on from are the files of the first.
RUN_TWICE = """
import runpy, sys
words = sys.argv[1:]
for steps in ("1", "3"):
    sys.argv = [*words, "--steps", steps]
    runpy.run_path(words[0], run_name="__main__")
"""


def test_it_trains_and_goes_on(tmp_path: Path) -> None:
    words = ["--clips", "8", "--device", "cpu", "--pool", str(tmp_path / "pool"), "--output", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", RUN_TWICE, str(TRAIN), *words],
        cwd=TRAIN.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in ("detector", "tracker"):
        rows = list(csv.DictReader((tmp_path / f"{name}.csv").open()))
        assert [row["step"] for row in rows] == ["1", "3"]
        assert all(0 < float(row["loss"]) < 1000 for row in rows)
    config = TrackConfig(
        "red circles. turquoise thing",
        detector_model=str(tmp_path / "grounding_dino"),
        sam_type="mini",
        model_path=str(tmp_path / "sam2.1_hiera_mini.pt"),
    )
    load_detector(config, "cpu")
    load_tracker(config, "cpu")
