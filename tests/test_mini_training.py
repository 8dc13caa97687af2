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

TRAIN = Path(__file__).parents[1] / "models" / "mini" / "train.py"


def train(folder: Path, steps: int) -> None:
    words = ["--clips", "8", "--steps", str(steps), "--pool", folder / "pool", "--output", folder]
    done = subprocess.run(
        [sys.executable, TRAIN, *map(str, words), "--device", "cpu"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_it_trains_and_goes_on(tmp_path: Path) -> None:
    train(tmp_path, 1)
    train(tmp_path, 3)
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
