"""Which masks are new."""

from __future__ import annotations

import numpy as np
import pytest
from colored_regions import Rect, held_frame, outline
from hypothesis import given
from hypothesis.extra import numpy as hnp
from overlaps import mask_iou

from trackkit.trackers.by_mask.newcomers import COVERED, SAME_IOU, coverage, judge, newcomers, same_class
from trackkit.trackers.by_mask.objects import Track


@given(hnp.arrays(bool, (2, 6, 6)), hnp.arrays(bool, (3, 6, 6)))
def test_coverage_is_the_share_of_pixels(a: np.ndarray, b: np.ndarray) -> None:
    a[:, 0, 0] = b[:, 5, 5] = True  # no mask is empty
    inside = (a[:, None] & b[None]).sum((2, 3)) / a.sum((1, 2))[:, None]
    assert coverage(mask_iou(a, b), a.sum((1, 2)), b.sum((1, 2))) == pytest.approx(inside, abs=1e-5)


def births(masks: list[np.ndarray], labels: list[str], num_known: int) -> list[int]:
    stack = np.array(masks)
    return newcomers(mask_iou(stack[num_known:], stack), stack.sum((1, 2)), labels)


def square(x1: int, x2: int) -> np.ndarray:
    mask = np.zeros((10, 100), bool)
    mask[:, x1:x2] = True
    return mask


def test_what_a_known_object_covers_is_not_new() -> None:
    part = square(0, 10)
    assert births([square(0, 100), part], ["car", "car"], 1) == []
    assert births([square(0, int(10 * COVERED)), part], ["car", "car"], 1) == []
    assert births([square(0, int(10 * COVERED) - 1), part], ["car", "car"], 1) == [0]


def test_a_part_of_another_class_is_new_but_the_same_thing_is_not() -> None:
    assert births([square(0, 100), square(0, 10)], ["car", "wheel"], 1) == [0]
    assert births([square(0, 10), square(0, 10)], ["car", "van"], 1) == []
    assert SAME_IOU > 0.75
    assert births([square(0, 100), square(0, 75)], ["car", "van"], 1) == [0]


def test_a_group_of_known_objects_is_not_new() -> None:
    known = [square(0, 30), square(30, 60), square(60, 90)]
    assert births([*known, square(0, 100)], ["cup"] * 4, 3) == []
    assert births([*known[:1], square(0, 100)], ["cup"] * 2, 1) == [0]


def test_of_candidates_that_are_the_same_the_first_is_new() -> None:
    masks = [square(0, 10), square(1, 11), square(50, 60)]
    assert births(masks, ["cup"] * 3, 0) == [0, 2]
    assert births([square(0, 5)], ["cup"], 0) == [0]
    assert newcomers(np.zeros((0, 2), np.float32), [5, 5], ["a", "b"]) == []


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_an_empty_side_is_no_trouble(shape: tuple[int, int]) -> None:
    assert same_class(["a"] * shape[0], ["a"] * shape[1]).shape == shape
    assert coverage(np.zeros(shape, np.float32), np.ones(shape[0]), np.ones(shape[1])).shape == shape


def test_classes_are_compared_one_by_one() -> None:
    assert same_class(["cat", "dog"], ["dog", "cat", "dog"]).tolist() == [
        [False, True, False],
        [True, False, True],
    ]


# In a frame


def judged(
    visible: dict[tuple[int, str], Rect], found: dict[tuple[int, str], Rect]
) -> tuple[list[int], set[int]]:
    """Keys of the new ones, and of the objects that they are."""
    held = held_frame()
    for (key, label), rect in visible.items():
        held.see(Track(key, label, 0.5, 0, 0.0), outline(rect), detected=False)
    labels = dict(found.keys())
    verdict = judge(held, labels, {key: outline(rect) for (key, _), rect in found.items()})
    return verdict.new, {track.key for track in verdict.known}


def test_masks_apart_from_all_objects_are_new() -> None:
    visible = {(1, "car"): (0, 0, 20, 20), (2, "car"): (40, 0, 60, 20)}
    assert judged(visible, {(7, "car"): (80, 0, 100, 20), (5, "dog"): (0, 40, 20, 60)}) == ([7, 5], set())


def test_a_mask_may_be_an_object_of_another_class() -> None:
    visible = {(1, "car"): (0, 0, 20, 20), (2, "car"): (40, 0, 60, 20)}
    assert judged(visible, {(7, "van"): (40, 0, 60, 19), (8, "van"): (0, 0, 20, 10)}) == ([8], {2})


def test_of_two_masks_that_are_the_same_the_first_is_new() -> None:
    found = {(9, "car"): (0, 0, 20, 20), (4, "dog"): (0, 0, 20, 19), (6, "car"): (50, 0, 70, 20)}
    assert judged({}, found) == ([9, 6], set())


def test_what_has_no_mask_is_not_judged() -> None:
    verdict = judge(held_frame(), {3: "car", 4: "car"}, {4: outline((0, 0, 9, 9)), 8: outline((0, 0, 9, 9))})
    assert (verdict.new, verdict.known) == ([4], set())
    assert judge(held_frame(), {}, {}) == ([], set())
