"""What of both sides is compared: frames, labels, what is ignored and what is void."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PilImage
from squares import HEIGHT, MASKS, SHARES, STILL, WIDTH, info, mot, predicted, results, table

import trackkit as tk
from trackkit.core.masks import encode_masks
from trackkit.synthetic.dataset import write_ground_truth


@pytest.mark.parametrize("by", ["mask", "box"])
def test_how_right_each_track_is(truth: Path, by: str) -> None:
    goes_over = [(t, 10, 5, 5) for t in range(3)] + [(3, 10, 40, 20)]
    found = [*goes_over, (0, 20, 40, 20), (1, 20, 40, 20), (0, 30, 20, 28)]
    tracks = tk.evaluate(results(predicted(found)), truth, by=by).tracks
    assert tracks["video_path"].tolist() == ["car.mp4"] * 3
    assert tracks["obj_id"].tolist() == [10, 20, 30]
    assert tracks["rows"].tolist() == [4, 2, 1]
    assert tracks["iou"].tolist() == [0.75, 1.0, 0.0]
    assert tracks["truth_id"].tolist() == [1, 2, pd.NA]
    assert len(tk.evaluate(results(predicted([])), truth, by="box").tracks) == 0


def test_labels(truth: Path) -> None:
    found = results(predicted([(*square, "Car" if square[1] == 1 else "person") for square in STILL]))  # type: ignore[misc, arg-type]
    found.outcomes[0].tracks["label"] = found.outcomes[0].tracks["label"].astype("str")  # type: ignore[union-attr]
    row = tk.evaluate(found, truth).overall
    assert row["precision"] == row["recall"] == 0.5
    assert row["MOTA"] == 0.0
    assert row["J&F"] == 0.5
    assert tk.evaluate(found, truth, by="box").overall["recall"] == 0.5
    evaluation = tk.evaluate(found, truth, ignore_labels=True)
    assert (evaluation.overall[[*SHARES, *MASKS]] == 1.0).all()
    found = results(predicted([(t, k, x, y, "person") for t, k, x, y in STILL]))  # type: ignore[misc]
    (note,) = tk.evaluate(found, truth).notes
    assert "ground truth car; predictions person" in note


def test_an_object_of_low_visibility_is_neither_missed_nor_wrong(tmp_path: Path) -> None:
    rows = table(STILL)
    rows["visibility"] = np.where((rows["obj_id"] == 2) & (rows["frame_idx"] >= 2), 0.1, 1.0)
    path = write_ground_truth(tmp_path / "truth.jsonl", {"car.mp4": (info(), rows)})
    for frames in (4, 2):  # found, or not
        found = results(predicted([s for s in STILL if s[1] == 1 or s[0] < frames]))
        assert (tk.evaluate(found, path, min_visibility=0.3).overall[SHARES] == 1.0).all()
    assert tk.evaluate(found, path).overall["recall"] == 6 / 8
    # What does not match it stays wrong.
    found = results(predicted([*[s for s in STILL if s[1] == 1 or s[0] < 2], (2, 2, 20, 28)]))
    assert tk.evaluate(found, path, min_visibility=0.3).overall["precision"] == 6 / 7


def test_motchallenge_flags_and_visibility(tmp_path: Path) -> None:
    squares = [(t, k, x, y) for t, k, x, y in STILL]  # type: ignore[misc]
    path = mot(tmp_path / "car.txt", squares, ",1,1,0.2")
    path.write_text(path.read_text() + "1,7,20,28,10,10,0,8,1\n")  # a distractor
    found = results(predicted([*STILL, (0, 5, 20, 28, "person")], masks=False))
    evaluation = tk.evaluate(found, path)
    assert evaluation.by == "box"
    assert (evaluation.overall[SHARES] == 1.0).all()  # no labels there
    row = tk.evaluate(found, path, min_visibility=0.5).overall
    assert row["objects"] == 0
    assert row[SHARES].isna().all()  # nothing to find, and nothing wrong


def test_only_frames_on_both_sides_count(truth: Path, tmp_path: Path) -> None:
    found = predicted([s for s in STILL if s[0] == 1], frames=[1, 3])
    row = tk.evaluate(results(found), truth).overall
    assert row["frames"] == 2
    assert row["recall"] == 0.5
    # MOTChallenge says nothing of frames without objects: they are empty, not missing.
    path = mot(tmp_path / "car.txt", [(1, 1, 5, 5), (1, 2, 40, 20)])
    row = tk.evaluate(results(found), path).overall
    assert row[["frames", "recall", "precision"]].tolist() == [2, 1.0, 1.0]
    path = mot(tmp_path / "car.txt", [(0, 1, 5, 5), (10, 1, 5, 5)])
    (note,) = tk.evaluate(results(found), path).notes
    assert "1 annotated frame beyond the 4" in note


def test_void_pixels_do_not_count(tmp_path: Path) -> None:
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    image[5:15, 5:15] = 1
    image[5:15, 15:20] = image[30:, :] = 255
    (tmp_path / "car").mkdir()
    for idx in range(4):
        picture = PilImage.fromarray(image)
        picture.putpalette([0] * 768)
        picture.save(tmp_path / "car" / f"{idx:05d}.png")
    # One reaches into the void, the other lies in it.
    found = [(t, 1, 5, 5) for t in range(4)] + [(t, 3, 30, 30) for t in range(4)]
    wide = predicted(found)
    mask = np.zeros((1, HEIGHT, WIDTH), np.bool_)
    mask[:, 5:15, 5:20] = True
    wide.tracks.loc[wide.tracks["obj_id"] == 1, "mask_rle"] = encode_masks(mask)[0].decode()
    row = tk.evaluate(results(wide), tmp_path / "car").overall
    assert (row[[*SHARES, *MASKS]] == 1.0).all()
