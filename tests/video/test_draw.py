from __future__ import annotations

import numpy as np
import pytest

from trackkit.core.arrays import Boxes, Image, Masks
from trackkit.core.frames import Frame, TrackedObjects
from trackkit.core.masks import encode_masks
from trackkit.synthetic.render import render_frame
from trackkit.synthetic.scenes import make_scene
from trackkit.video.draw import compose_sheet, draw

GRAY = np.full((480, 640, 3), 128, np.uint8)


def tracked(
    image: Image, boxes: list[list[float]], ids: list[int], *, masks: Masks | None = None, name: str = "car"
) -> TrackedObjects:
    n = len(boxes)
    xyxy: Boxes = np.array(boxes, np.float32).reshape(n, 4)
    areas = masks.sum((1, 2)) if masks is not None else (xyxy[:, 2:] - xyxy[:, :2]).prod(1)
    return TrackedObjects(
        frame=Frame(image, 0, 0.0),
        obj_ids=np.array(ids, np.int32),
        xyxy=xyxy,
        scores=np.full(n, 0.5, np.float32),
        labels=(name,) * n,
        detected=np.ones(n, bool),
        areas=areas.astype(np.int32),
        rles=None if masks is None else tuple(encode_masks(masks)),
    )


def rectangle(x1: int, y1: int, x2: int, y2: int) -> Masks:
    mask = np.zeros(GRAY.shape[:2], bool)
    mask[y1:y2, x1:x2] = True
    return mask


def test_the_frame_itself_is_not_drawn_on() -> None:
    image = GRAY.copy()
    drawn = draw(tracked(image, [[100, 100, 200, 200]], [1]))
    assert (image == GRAY).all()
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert (drawn != image).any()


def test_a_frame_without_objects_is_a_plain_copy() -> None:
    for objects in (tracked(GRAY, [], []), tracked(GRAY, [], [], masks=np.zeros((0, 480, 640), bool))):
        drawn = draw(objects)
        assert (drawn == GRAY).all()
        assert drawn is not objects.frame.image


def test_a_mask_is_tinted_inside_and_nowhere_else() -> None:
    mask = rectangle(150, 150, 250, 350) & ~rectangle(180, 180, 220, 220)
    drawn = draw(tracked(GRAY, [[150, 150, 250, 350]], [1], masks=mask[None]))
    assert (drawn[230:340, 160:240] != 128).any(axis=2).all()
    assert (drawn[190:210, 190:210] == 128).all()  # a hole is no object
    outside = np.ones(mask.shape, bool)
    outside[100:360, 140:420] = False  # the box, its line and its label
    assert (drawn[outside] == 128).all()


def test_masks_that_touch_the_border_can_be_drawn() -> None:
    masks = np.stack([rectangle(0, 0, 640, 480), rectangle(600, 440, 640, 480), rectangle(0, 0, 1, 1)])
    boxes: list[list[float]] = [[0, 0, 640, 480], [600, 440, 640, 480], [0, 0, 1, 1]]
    drawn = draw(tracked(GRAY, boxes, [1, 2, 3], masks=masks))
    assert drawn.shape == GRAY.shape
    assert (drawn != 128).any(axis=2).all()  # the first one covers the frame to its border
    assert (drawn[445:475, 605:635] != drawn[300, 300]).any(axis=2).all()  # the second one lies on it
    alone = draw(tracked(GRAY, boxes[:1], [1], masks=masks[:1]))
    assert (drawn[0, 0] != alone[0, 0]).any()


def test_colours_follow_ids_and_not_places() -> None:
    def tint(ids: list[int], row: int) -> list[int]:
        masks = np.stack([rectangle(100, 100, 200, 200), rectangle(400, 100, 500, 200)])
        boxes: list[list[float]] = [[100, 100, 200, 200], [400, 100, 500, 200]]
        return list(draw(tracked(GRAY, boxes, ids, masks=masks))[150, 150 + 300 * row])

    assert tint([7, 9], 0) == tint([9, 7], 1) == tint([7, 1000], 0)
    assert len({tuple(tint([obj_id, 0], 0)) for obj_id in range(1, 13)}) == 12


def test_the_first_colour_is_blue_in_rgb() -> None:
    drawn = draw(tracked(GRAY, [[100, 100, 300, 300]], [16], masks=rectangle(100, 100, 300, 300)[None]))
    red, _, blue = drawn[200, 200].astype(int)
    assert blue > red + 40


def test_small_objects_lie_on_large_ones() -> None:
    masks = np.stack([rectangle(250, 250, 280, 280), rectangle(100, 100, 400, 400)])
    boxes: list[list[float]] = [[250, 250, 280, 280], [100, 100, 400, 400]]
    both = draw(tracked(GRAY, boxes, [1, 2], masks=masks))
    large = draw(tracked(GRAY, boxes[1:], [2], masks=masks[1:]))
    assert (both[260:270, 260:270] != large[260:270, 260:270]).any(axis=2).all()


@pytest.mark.parametrize("size", [(120, 160), (720, 1280), (2160, 3840)])
def test_lines_grow_with_the_frame(size: tuple[int, int]) -> None:
    height, width = size
    image = np.full((height, width, 3), 128, np.uint8)
    x1, y1, x2, y2 = width // 4, height // 2, width // 2, height * 3 // 4
    drawn = draw(tracked(image, [[x1, y1, x2, y2]], [1]))
    across = (drawn[(y1 + y2) // 2] != 128).any(axis=1)
    line = across.sum() / 2
    assert max(1, height / 800) <= line <= max(1, height / 200)


def test_labels_stay_inside_the_frame() -> None:
    for box in ([0, 0, 60, 40], [600, 2, 640, 60], [0, 440, 50, 480]):
        drawn = draw(tracked(GRAY, [box], [1], name="a rather long name of a thing"))
        alone = draw(tracked(GRAY, [[200, 200, 240, 240]], [1], name="a rather long name of a thing"))
        # About as much ink as in the middle of the frame: nothing is cut off.
        assert (drawn != 128).any(2).sum() > 0.85 * (alone != 128).any(2).sum()


def test_a_synthetic_frame_can_be_drawn() -> None:
    image, truth = render_frame(make_scene(3), 30)
    objects = tracked(image, truth.xyxy.tolist(), truth.obj_ids.tolist(), masks=truth.masks)
    assert (draw(objects) != image).any()


def test_contact_sheet_has_a_strip_for_every_row() -> None:
    red, blue = np.zeros((2, 90, 160, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    sheet = compose_sheet([("two", [red, blue]), ("one", [red])], width=800)
    assert sheet.shape[1] == 800
    assert sheet.dtype == np.uint8
    is_red = (sheet == [255, 0, 0]).all(2)
    is_blue = (sheet == [0, 0, 255]).all(2)
    assert is_red.any(1).sum() == 2 * is_blue.any(1).sum() > 200
    columns = np.flatnonzero(is_blue.any(0))
    assert columns[0] > 400
    assert columns[-1] < 795
    dark = compose_sheet([("two", [red, blue])], width=800, background="#101418")
    assert dark[0, 0].tolist() == [16, 20, 24]
    assert dark[:20].max() > 200  # a light title


def test_contact_sheet_of_nothing_is_empty() -> None:
    assert compose_sheet([]).shape == (0, 1600, 3)
    assert compose_sheet([("no frames", [])]).shape[0] > 0
