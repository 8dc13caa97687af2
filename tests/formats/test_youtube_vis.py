"""YouTube-VIS, read back by TrackEval, and read as ground truth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from exported import BOX, by_path, names, same_masks
from pycocotools import mask as coco
from trackeval.datasets import YouTubeVIS
from truths import FRAMES, TRUTH_HEIGHT, TRUTH_WIDTH, assert_same

import trackkit as tk
from trackkit.core.masks import decode_rle
from trackkit.formats.ground_truth import read_ground_truth
from trackkit.formats.truth import VideoTruth


def test_trackeval_reads_youtube_vis(results: tk.TrackingResults, tmp_path: Path) -> None:
    done = results.to_youtube_vis(tmp_path / "gt" / "youtube_vis_all" / "truth.json")
    done.list_path.rename(tmp_path / "list.csv")  # the reader wants one file in the folder
    (tmp_path / "trackers" / "youtube_vis_all").mkdir(parents=True)
    places = {"GT_FOLDER": f"{tmp_path}/gt/", "TRACKERS_FOLDER": f"{tmp_path}/trackers/"}
    data = YouTubeVIS({**places, "SPLIT_TO_EVAL": "all", "TRACKERS_TO_EVAL": [], "PRINT_CONFIG": False})
    assert data.class_list == ["red", "Blue cup"]
    name = names(replace(done, list_path=tmp_path / "list.csv"))
    for path, result in by_path(results).items():
        read = data._load_raw_file(None, name[path], is_gt=True)
        assert read["num_timesteps"] == 4
        of_id: dict[int, set[int]] = {}
        for t, idx in enumerate(result.frames[0].tolist()):
            rows = result.tracks[result.tracks["frame_idx"] == idx]
            assert same_masks(read["gt_dets"][t], rows)
            assert [data.class_list[k - 1] for k in read["gt_classes"][t]] == rows["label"].tolist()
            for found, obj_id in zip(read["gt_ids"][t].tolist(), rows["obj_id"], strict=True):
                of_id.setdefault(found, set()).add(obj_id)
        assert all(len(objects) == 1 for objects in of_id.values())


def test_youtube_vis(tmp_path: Path, rows: pd.DataFrame) -> None:
    annotations = []
    for number, (obj_id, track) in enumerate(rows.groupby("obj_id")):
        shapes: list[object] = [None] * FRAMES
        for row in track.itertuples():
            mask = decode_rle(row.mask_rle, TRUTH_HEIGHT, TRUTH_WIDTH)
            shape = {"size": [TRUTH_HEIGHT, TRUTH_WIDTH], "counts": row.mask_rle}
            if number == 1:  # not compressed
                flat = mask.ravel(order="F").astype(int)
                edges = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
                shape["counts"] = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
            shapes[row.frame_idx] = shape
        kind = {"video_id": 7, "category_id": 3, "iscrowd": int(number == 2)}
        annotations.append({"id": int(obj_id), "segmentations": shapes, **kind})
    square = [[8.0, 8.0, 16.0, 8.0, 16.0, 20.0, 8.0, 20.0]]
    polygon = {"id": 99, "video_id": 7, "category_id": 3, "segmentations": [square, None, None, None]}
    names = [f"car/{idx:05d}.jpg" for idx in range(FRAMES)]
    video = {"id": 7, "width": TRUTH_WIDTH, "height": TRUTH_HEIGHT, "length": FRAMES, "file_names": names}
    data = {"videos": [video], "annotations": [*annotations, polygon]}
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(data | {"categories": [{"id": 3, "name": "car"}]}))
    (truth,) = read_ground_truth(path)
    assert (truth.name, truth.size) == ("car", (TRUTH_HEIGHT, TRUTH_WIDTH))
    assert set(truth.rows["label"]) == {"car"}
    drawn = truth.rows[truth.rows["obj_id"] == 99]
    assert drawn[BOX].to_numpy().tolist() == [[8, 8, 8, 12]]
    rest = truth.rows[truth.rows["obj_id"] != 99]
    assert_same(VideoTruth("car", rest), rows, ["frame_idx", "obj_id", *BOX, "mask_rle"])
    assert set(truth.rows.loc[truth.rows["ignored"], "obj_id"]) == {rows["obj_id"].unique().max()}
    assert coco.area({"size": [TRUTH_HEIGHT, TRUTH_WIDTH], "counts": drawn["mask_rle"].iloc[0]}) == 96
