"""COCO, read back by pycocotools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exported import BOX, by_path, names, same_masks, tracked
from pycocotools.coco import COCO
from samples import HEIGHT, WIDTH


@pytest.mark.parametrize("masks", [True, False])
def test_pycocotools_reads_coco(tmp_path: Path, masks: bool) -> None:
    results = tracked(masks=masks)
    done = results.to_coco(tmp_path / "coco.json")
    assert any("boxes without masks" in note for note in done.notes) != masks
    data = COCO(tmp_path / "coco.json")
    assert [c["name"] for c in data.loadCats([1, 2])] == ["red", "Blue cup"]
    assert len(data.imgs) == 16
    file_names = {
        (image["frame_idx"], image["file_name"].split("/")[0]): image for image in data.imgs.values()
    }
    tracks: dict[int, set[tuple[str, int]]] = {}
    for path, result in by_path(results).items():
        for idx in result.frames[0].tolist():
            image = file_names[idx, names(done)[path]]
            assert image["file_name"] == f"{names(done)[path]}/{idx:05d}.jpg"
            assert (image["height"], image["width"]) == (HEIGHT, WIDTH)
            rows = result.tracks[result.tracks["frame_idx"] == idx]
            found = data.loadAnns(data.getAnnIds(image["id"]))
            boxes = np.array([a["bbox"] for a in found], np.float32).reshape(-1, 4)
            assert np.array_equal(boxes, rows[BOX])
            for name, key in (("area_px", "area"), ("obj_id", "obj_id"), ("score", "score")):
                assert np.allclose([a[key] for a in found], rows[name])
            assert [data.cats[a["category_id"]]["name"] for a in found] == rows["label"].tolist()
            if masks:
                assert same_masks([data.annToRLE(a) for a in found], rows)
            for a in found:
                tracks.setdefault(a["track_id"], set()).add((path, a["obj_id"]))
    assert sorted(tracks) == list(range(1, 6))
    assert all(len(objects) == 1 for objects in tracks.values())
