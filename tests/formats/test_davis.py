"""DAVIS masks, read back by TrackEval, what they cannot hold, and masks read as ground truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from exported import BOX, by_path, names, same_masks, video
from PIL import Image as PilImage
from pycocotools import mask as coco
from samples import CONFIG, HEIGHT, WIDTH
from trackeval.datasets import DAVIS
from truths import FRAMES, TRUTH_HEIGHT, TRUTH_WIDTH, assert_same, write_png

import trackkit as tk
from trackkit.core.errors import ConfigError
from trackkit.core.masks import decode_rle
from trackkit.formats.ground_truth import read_ground_truth
from trackkit.formats.truth import VideoTruth


def test_trackeval_reads_davis(results: tk.TrackingResults, tmp_path: Path) -> None:
    done = results.to_davis(tmp_path / "davis")
    data = DAVIS(
        {
            **{"GT_FOLDER": str(done.path), "TRACKERS_FOLDER": str(tmp_path), "PRINT_CONFIG": False},
            **{"TRACKERS_TO_EVAL": ["davis"], "TRACKER_SUB_FOLDER": ""},
        }
    )
    assert set(data.seq_list) == set(names(done).values()) - {""}
    assert not [note for note in done.notes if "overlap" in note]
    for path, result in by_path(results).items():
        read = data._load_raw_file("davis", names(done)[path], is_gt=False)
        for t, idx in enumerate(result.frames[0].tolist()):
            rows = result.tracks[result.tracks["frame_idx"] == idx]
            assert read["tracker_ids"][t].tolist() == rows["obj_id"].tolist()
            assert same_masks(read["tracker_dets"][t], rows)
    with PilImage.open(done.path / "my_clip" / "00002.png") as image:
        assert image.mode == "P"
        assert image.getpalette()[: 3 * 5] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128]


def test_where_objects_overlap_the_smaller_one_has_the_pixels(tmp_path: Path) -> None:
    overlapping = video("/v/car.mp4", {0: [1, 2], 2: [1]})
    tracks = overlapping.tracks
    done = tk.TrackingResults([overlapping], CONFIG).to_davis(tmp_path / "davis")
    assert "car: objects overlap in 1 frame, the smaller has the pixels" in done.notes
    image = np.asarray(PilImage.open(done.path / "car" / "00000.png"))
    first, second = (decode_rle(rle, HEIGHT, WIDTH) for rle in tracks["mask_rle"][:2])
    assert (image == 2)[second].all()  # as large as the other: the higher id
    assert (image == 1)[first & ~second].all()
    inside = decode_rle(tracks["mask_rle"][0], HEIGHT, WIDTH)
    rle = coco.encode(np.asfortranarray((first & second).astype(np.uint8)))["counts"].decode()
    smaller = tracks.assign(
        mask_rle=[rle, *tracks["mask_rle"][1:]], area_px=[(first & second).sum(), *tracks["area_px"][1:]]
    )
    done = tk.TrackingResults([replace(overlapping, tracks=smaller)], CONFIG).to_davis(tmp_path / "smaller")
    image = np.asarray(PilImage.open(done.path / "car" / "00000.png"))
    assert (image == 1)[inside & second].all()
    twins = smaller.assign(mask_rle=rle, area_px=[(first & second).sum()] * 3)
    done = tk.TrackingResults([replace(overlapping, tracks=twins)], CONFIG).to_davis(tmp_path / "twins")
    assert any("1 times nothing is left of the larger" in note for note in done.notes)


def test_davis_holds_254_objects(tmp_path: Path) -> None:
    many = video("/v/car.mp4", {2 * k: [k + 1] for k in range(254)})
    high = replace(many, tracks=many.tracks.assign(obj_id=many.tracks["obj_id"] + np.int32(1000)))
    done = tk.TrackingResults([high], CONFIG).to_davis(tmp_path / "high")
    assert any("1001 is 1, 1002 is 2" in note for note in done.notes)
    assert np.asarray(PilImage.open(done.path / "car" / "00506.png")).max() == 254
    over = video("/v/car.mp4", {2 * k: [k + 1] for k in range(255)})
    with pytest.raises(ConfigError, match=r"car.mp4 has 255 objects, .* 254"):
        tk.TrackingResults([over], CONFIG).to_davis(tmp_path / "over")
    assert {path.name for path in tmp_path.iterdir()} == {"high", "high.videos.csv"}


@pytest.mark.parametrize("obj_id", [0, -1, 255])
def test_davis_gives_ids_that_pixels_cannot_hold_other_ones(tmp_path: Path, obj_id: int) -> None:
    two = video("/v/car.mp4", {0: [1, 2]})
    odd = replace(two, tracks=two.tracks.replace({"obj_id": {1: obj_id}}))
    done = tk.TrackingResults([odd], CONFIG).to_davis(tmp_path / "davis")
    assert any(f"{obj_id} is " in note for note in done.notes)
    assert {*np.asarray(PilImage.open(done.path / "car" / "00000.png")).ravel()} == {0, 1, 2}


def ids_in(rows: pd.DataFrame, frame_idx: int) -> np.ndarray:
    """The objects of a frame as DAVIS stores them."""
    image = np.zeros((TRUTH_HEIGHT, TRUTH_WIDTH), np.uint8)
    for row in rows[rows["frame_idx"] == frame_idx].itertuples():
        image[decode_rle(row.mask_rle, TRUTH_HEIGHT, TRUTH_WIDTH)] = row.obj_id
    return image


def test_mask_folders(tmp_path: Path, rows: pd.DataFrame) -> None:
    for name in ("car", "v1.2"):
        for idx in range(FRAMES):
            image = ids_in(rows, idx)
            image[0] = 255
            write_png(tmp_path / name / f"{idx:05d}.png", image)
    visible = rows[[not decode_rle(rle, TRUTH_HEIGHT, TRUTH_WIDTH)[0].any() for rle in rows["mask_rle"]]]
    assert [truth.name for truth in read_ground_truth(tmp_path)] == ["car", "v1.2"]
    (truth,) = read_ground_truth(tmp_path / "car")
    whole = truth.rows.merge(visible[["frame_idx", "obj_id"]])
    assert_same(VideoTruth("car", whole), visible, ["frame_idx", "obj_id", *BOX, "mask_rle"])
    assert truth.size == (TRUTH_HEIGHT, TRUTH_WIDTH)
    assert sorted(truth.void) == [0, 1, 2, 3]
    assert decode_rle(truth.void[3], TRUTH_HEIGHT, TRUTH_WIDTH).sum() == TRUTH_WIDTH


@pytest.mark.parametrize("values", [(0, 255), (0, 1, 255)])
def test_black_and_white_masks_show_one_object(tmp_path: Path, values: tuple[int, ...]) -> None:
    image = np.zeros((TRUTH_HEIGHT, TRUTH_WIDTH), np.uint8)
    image[:5, : len(values)] = values
    write_png(tmp_path / "car" / "00000.png", image, palette=False)
    (truth,) = read_ground_truth(tmp_path / "car")
    assert truth.rows["obj_id"].tolist() == [1]
    assert bool(truth.void) == (len(values) == 3)
