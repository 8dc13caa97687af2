"""MOTChallenge, read back by TrackEval, and read as ground truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from exported import BOX, by_path, names
from trackeval.datasets import MotChallenge2DBox
from truths import assert_same

import trackkit as tk
from trackkit.formats.ground_truth import read_ground_truth


def test_trackeval_reads_motchallenge(results: tk.TrackingResults, tmp_path: Path) -> None:
    done = results.to_mot(tmp_path / "mot")
    assert any("no labels" in note for note in done.notes)
    lengths = {name: 8 for name in names(done).values() if name}
    assert {path.stem for path in done.path.iterdir()} == set(lengths)
    data = MotChallenge2DBox(
        {
            **{"GT_FOLDER": str(done.path), "GT_LOC_FORMAT": "{gt_folder}/{seq}.txt"},
            **{"TRACKERS_FOLDER": str(tmp_path), "TRACKERS_TO_EVAL": ["mot"], "TRACKER_SUB_FOLDER": ""},
            **{"SEQ_INFO": lengths, "SKIP_SPLIT_FOL": True, "PRINT_CONFIG": False},
        }
    )
    for path, result in by_path(results).items():
        read = data._load_raw_file("mot", names(done)[path], is_gt=False)
        for idx in range(8):
            rows = result.tracks[result.tracks["frame_idx"] == idx]
            assert read["tracker_ids"][idx].tolist() == rows["obj_id"].tolist()
            assert np.array_equal(read["tracker_dets"][idx].reshape(-1, 4), rows[BOX])
            assert np.allclose(read["tracker_confidences"][idx], rows["score"])


def write_mot(path: Path, rows: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = rows.assign(frame=rows["frame_idx"] + 1, flag=1, kind=1, visibility=0.5)
    columns = ["frame", "obj_id", *BOX, "flag", "kind", "visibility"]
    lines[columns].to_csv(path, header=False, index=False)


@pytest.mark.parametrize("place", ["car.txt", "car/gt/gt.txt"])
def test_motchallenge(tmp_path: Path, rows: pd.DataFrame, place: str) -> None:
    folder = tmp_path / "mot"
    write_mot(folder / place, rows)
    for path in (folder, folder / place, *([folder / "car"] if "/" in place else [])):
        (truth,) = read_ground_truth(path)
        assert truth.name == "car"
        assert_same(truth, rows, ["frame_idx", "obj_id", *BOX])
        assert (truth.rows["visibility"] == 0.5).all()
        assert truth.rows["label"].isna().all()
        assert truth.frames is None


def test_motchallenge_marks_what_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "car.txt"
    path.write_text("1,1,0,0,5,5,1,1,0.3\n1,2,0,0,5,5,0,8,1\n")
    (truth,) = read_ground_truth(path)
    assert truth.rows["ignored"].tolist() == [False, True]
    assert truth.rows["visibility"].tolist() == [0.3, 1.0]
    path.write_text("1,1,0,0,5,5,1,-1,-1,-1\n")  # of 2015: a place in the world, no visibility
    (truth,) = read_ground_truth(path)
    assert truth.rows["visibility"].tolist() == [1.0]
