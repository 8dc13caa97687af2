"""CVAT for video, read back as plain XML and by Datumaro."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from exported import BOX, by_path, names
from samples import CONFIG

import trackkit as tk

DATUMARO = "datumaro==1.13.12"


def test_cvat_is_plain_xml(results: tk.TrackingResults, tmp_path: Path) -> None:
    done = results.to_cvat(tmp_path / "cvat")
    for path, result in by_path(results).items():
        file = done.path / f"{names(done)[path]}.xml"
        assert pd.read_xml(file, xpath="./meta/task", parser="etree").loc[0, "size"] == 8
        if result.tracks.empty:
            continue
        boxes = pd.read_xml(file, xpath="./track/box", parser="etree").query("outside == 0")
        rows = result.tracks.sort_values(["obj_id", "frame_idx"])
        assert boxes["frame"].tolist() == rows["frame_idx"].tolist()
        assert np.allclose(boxes[["xtl", "ytl"]], rows[["x", "y"]], atol=0.005)
        assert np.allclose(boxes["xbr"] - boxes["xtl"], rows["width"], atol=0.01)
        tracks = pd.read_xml(file, xpath="./track", parser="etree")
        assert tracks["label"].tolist() == rows.groupby("obj_id")["label"].first().tolist()


READ_CVAT = """
import json, sys
from datumaro.components.dataset import Dataset
found = []
for item in Dataset.import_from(sys.argv[1], "cvat"):
    for a in item.annotations:
        found.append([item.attributes["frame"], a.attributes["track_id"], a.label, *a.points,
                      a.attributes["outside"], a.attributes["keyframe"]])
print(json.dumps(found))
"""


def read_with_datumaro(path: Path) -> list[list[Any]]:
    """Datumaro's wishes for pandas, Pillow and OpenCV are not ours: it has an environment of its own."""
    uv = [sys.executable, "-m", "uv", "run", "--quiet", "--offline", "--no-project", "--isolated"]
    command = [*uv, "--python", sys.executable, "--with", DATUMARO, "python", "-c", READ_CVAT, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode and "cache" in run.stderr:
        pytest.skip(f"no {DATUMARO} in uv's cache: `uv run --no-project --with {DATUMARO} true` gets it")
    assert run.returncode == 0, run.stderr
    found: list[list[Any]] = json.loads(run.stdout.splitlines()[-1])
    return found


def test_datumaro_reads_cvat(results: tk.TrackingResults, tmp_path: Path) -> None:
    done = results.to_cvat(tmp_path / "cvat")
    assert any("boxes were written" in note for note in done.notes)
    result = by_path(results)["a/car.mp4"]
    found = read_with_datumaro(done.path / f"{names(done)['a/car.mp4']}.xml")
    seen = sorted(row[:7] for row in found if not row[7])
    rows = result.tracks.sort_values(["frame_idx", "obj_id"])
    corners = rows[BOX].to_numpy(np.float64) @ [[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]]
    labels = [CONFIG.classes.index(label) for label in rows["label"]]
    wanted = np.column_stack([rows["frame_idx"], rows["obj_id"], labels, corners])
    assert np.allclose(seen, wanted, atol=0.005)
    assert all(row[8] for row in found)
    assert [row[:2] for row in found if row[7]] == [[2, 1], [2, 3]]  # out of sight from frame 2 on
