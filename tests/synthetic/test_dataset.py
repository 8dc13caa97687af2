from __future__ import annotations

import dataclasses
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from trackkit.core.colors import NAMED_COLORS
from trackkit.core.errors import ConfigError
from trackkit.core.masks import boxes_of_masks, decode_rle, mask_iou
from trackkit.synthetic.dataset import ground_truth, write_video
from trackkit.synthetic.render import iter_frames, render_frame
from trackkit.synthetic.scenery import BACKGROUNDS, SHAPES, TEXTURES
from trackkit.synthetic.scenes import Scene, SceneObject, make_scene


def still(
    shape: str, color: str = "red", x: float = 50, y: float = 40, obj_id: int = 1, radius: float = 30
) -> SceneObject:
    return SceneObject(obj_id, shape, color, radius, ((0, x, y), (9, x, y)))


def test_the_same_seed_gives_the_same_video() -> None:
    scene = make_scene(3, background="noise", num_frames=20)
    assert scene == make_scene(3, background="noise", num_frames=20)
    assert scene != make_scene(4, background="noise", num_frames=20)
    assert (render_frame(scene, 7)[0] == render_frame(scene, 7)[0]).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_covers_its_mask_with_its_colour(shape: str) -> None:
    scene = Scene(100, 80, 10, 25.0, (still(shape),))
    image, truth = render_frame(scene, 0)
    background, _ = render_frame(dataclasses.replace(scene, objects=()), 0)
    mask = truth.masks[0]
    assert truth.labels == (f"red {shape}",)
    assert (truth.xyxy[0] >= [20, 10, 20, 10]).all()
    assert (truth.xyxy[0] <= [80, 70, 80, 70]).all()
    assert 400 < mask.sum() < np.pi * 31**2
    # The middle of a pixel decides: inside it is nearer to the colour, outside nearer to the background.
    to_color = abs(image.astype(int) - NAMED_COLORS["red"].rgb).sum(2)
    to_background = abs(image.astype(int) - background).sum(2)
    agree = (to_color < to_background) == mask
    assert agree.mean() > 0.995
    edge = mask != np.roll(mask, 1, 0)
    for shift, axis in ((-1, 0), (1, 1), (-1, 1)):
        edge |= mask != np.roll(mask, shift, axis)
    assert agree[~edge].all()


def test_all_shapes_differ() -> None:
    masks = [render_frame(Scene(100, 80, 10, 25.0, (still(shape),)), 0)[1].masks for shape in SHAPES]
    iou = mask_iou(np.concatenate(masks), np.concatenate(masks))
    assert (iou[~np.eye(len(SHAPES), dtype=bool)] < 0.8).all()


def test_the_object_in_front_hides_the_one_behind() -> None:
    back, front = still("circle", obj_id=1, radius=30), still("square", "blue", obj_id=2, radius=20)
    scene = Scene(100, 80, 10, 25.0, (back, front))
    alone = render_frame(dataclasses.replace(scene, objects=(back,)), 0)[1]
    _, truth = render_frame(scene, 0)
    assert truth.obj_ids.tolist() == [1, 2]
    assert not (truth.masks[0] & truth.masks[1]).any()
    assert ((truth.masks[0] | truth.masks[1]) == alone.masks[0]).all()


def test_what_cannot_be_seen_is_not_in_the_truth() -> None:
    hidden, outside = still("circle", obj_id=1, radius=10), still("star", "green", x=150, obj_id=3)
    scene = Scene(100, 80, 10, 25.0, (hidden, still("square", "blue", obj_id=2, radius=20), outside))
    _, truth = render_frame(scene, 0)
    assert truth.obj_ids.tolist() == [2]
    assert render_frame(dataclasses.replace(scene, objects=()), 0)[1].masks.shape == (0, 80, 100)


@pytest.mark.parametrize("seed", range(4))
def test_occlusion_happens_when_asked_for(seed: int) -> None:
    scene = make_scene(seed, num_objects=2, entries_and_exits=False)
    _, truth = render_frame(scene, scene.num_frames // 2)
    back = dataclasses.replace(scene, objects=scene.objects[:1])
    unhidden = render_frame(back, scene.num_frames // 2)[1].masks[0].sum()
    assert truth.masks[truth.obj_ids == 1].sum() < 0.8 * unhidden


@pytest.mark.parametrize("seed", range(4))
def test_without_occlusion_all_objects_are_whole_in_all_frames(seed: int) -> None:
    scene = make_scene(seed, num_objects=4, occlusion=False, entries_and_exits=False, num_frames=45)
    areas = []
    for _, truth in iter_frames(scene):
        assert truth.obj_ids.tolist() == [1, 2, 3, 4]
        areas.append(truth.masks.sum((1, 2)))
    # Only the pixel raster changes the area a little.
    assert (np.ptp(areas, axis=0) < 0.1 * np.mean(areas, axis=0)).all()


def test_objects_enter_and_leave_over_the_border() -> None:
    truth = ground_truth(make_scene(1, occlusion=False))
    seen = truth.groupby("obj_id")["frame_idx"].agg(["min", "max"])
    assert seen.loc[1].tolist() == [0, 59]
    assert seen.loc[2, "min"] > 0
    assert seen.loc[2, "max"] == 59
    assert seen.loc[3, "min"] == 0
    assert seen.loc[3, "max"] < 59
    first = truth[truth.obj_id == 2].iloc[0]
    last = truth[truth.obj_id == 3].iloc[-1]
    for row in (first, last):
        assert row.y == 0 or row.y + row.height == 240


def test_movement_is_smooth() -> None:
    for obj in make_scene(5, num_objects=6).objects:
        centers = np.array([obj.center(i) for i in range(60)])
        steps = np.hypot(*np.diff(centers, axis=0).T)
        assert steps.max() < 20
        assert max(abs(b - a) for a, b in pairwise(steps)) < 4


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("texture", TEXTURES)
def test_backgrounds_and_textures_can_be_combined(background: str, texture: str) -> None:
    image, truth = render_frame(make_scene(2, background=background, texture=texture), 30)
    assert image.dtype == np.uint8
    assert image.shape == (240, 320, 3)
    nothing = ~truth.masks.any(0)
    spread = np.ptp(image[nothing].astype(int), axis=1)
    assert np.median(spread) == 0  # neutral


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


def test_short_and_empty_scenes() -> None:
    assert len(list(iter_frames(make_scene(0, num_frames=1)))) == 1
    assert len(ground_truth(make_scene(0, num_objects=0, num_frames=3))) == 0


def test_colours_do_not_repeat_while_some_are_left() -> None:
    colors = [obj.color for obj in make_scene(0, num_objects=8).objects]
    assert len(set(colors)) == 8


@pytest.mark.parametrize(
    "option", [{"shapes": ["blob"]}, {"colors": ["red", "beige"]}, {"background": "sky"}, {"texture": "fur"}]
)
def test_unknown_names_are_refused(option: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="is unknown: choose from"):
        make_scene(0, **option)


def test_a_written_video_shows_the_frames(tmp_path: Path) -> None:
    scene = make_scene(2, num_frames=10)
    path = write_video(scene, tmp_path / "shapes.mp4")
    with av.open(path) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(decoded) == 10
    for image, (expected, _) in zip(decoded, iter_frames(scene), strict=True):
        assert abs(image.astype(int) - expected).mean() < 6
