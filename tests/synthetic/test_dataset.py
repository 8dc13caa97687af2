"""What is written of a scene agrees with its frames."""

from __future__ import annotations

from pathlib import Path

import av

from trackkit.core.masks import boxes_of_masks, decode_rle
from trackkit.synthetic.dataset import ground_truth, write_video
from trackkit.synthetic.render import iter_frames
from trackkit.synthetic.scenes import make_scene


def test_ground_truth_table_agrees_with_the_frames() -> None:
    scene = make_scene(8, num_frames=12)
    table = ground_truth(scene)
    assert table.dtypes.astype(str).to_dict() == {
        "label": "category",
        "frame_idx": "int32",
        "time_s": "float64",
        "obj_id": "int32",
        "x": "float32",
        "y": "float32",
        "width": "float32",
        "height": "float32",
        "area_px": "int32",
        "visibility": "float32",
        "mask_rle": "str",
    }
    rows = iter(table.itertuples())
    for _, truth in iter_frames(scene):
        for obj_id, label, mask in zip(truth.obj_ids, truth.labels, truth.masks, strict=True):
            row = next(rows)
            assert (row.frame_idx, row.obj_id, row.label) == (truth.idx, obj_id, label)
            assert (decode_rle(row.mask_rle, 240, 320) == mask).all()
            assert row.area_px == mask.sum()
            box = boxes_of_masks(mask[None])[0]
            assert (row.x, row.y, row.x + row.width, row.y + row.height) == tuple(box)
            assert row.time_s == truth.idx / 25
    assert next(rows, None) is None


def test_a_written_video_shows_the_frames(tmp_path: Path) -> None:
    scene = make_scene(2, num_frames=10)
    path = write_video(scene, tmp_path / "shapes.mp4")
    with av.open(path) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(decoded) == 10
    for image, (expected, _) in zip(decoded, iter_frames(scene), strict=True):
        assert abs(image.astype(int) - expected).mean() < 6
