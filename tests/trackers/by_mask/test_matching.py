"""Detections and objects: what is paired with what."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from colored_regions import SIZE, Rect, held_frame, mask, outline
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trackkit.core.frames import Detections
from trackkit.trackers.by_mask.matching import (
    MATCH_IOU,
    SLIPPED_IOU,
    Candidate,
    assign,
    candidates_of,
    match,
    match_frame,
    slipped_from,
)
from trackkit.trackers.by_mask.newcomers import same_class
from trackkit.trackers.by_mask.objects import Track
from trackkit.trackers.by_mask.prompts import BoxPrompt, MaskPrompt

matrices = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=4),
    elements=st.floats(0, 1, width=32),
)


def iou(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def all_of(matrix: np.ndarray) -> np.ndarray:
    return np.ones(matrix.shape, bool)


def track(key: int = 1, label: str = "car") -> Track:
    return Track(key, label, 0.5, 0, 0.0)


def boxes(*rects: Rect, label: str = "car") -> list[Candidate]:
    """What a detector found that gives boxes only."""
    return [Candidate(label, 0.9, np.array(rect, np.float32)) for rect in rects]


def masks(*rects: Rect, label: str = "car") -> list[Candidate]:
    """The same with masks."""
    return [Candidate(label, 0.9, np.array(r, np.float32), mask(r), outline(r)) for r in rects]


def numbers(pairs: Sequence[tuple[Candidate, Track, float]], found: Sequence[Candidate]) -> dict[int, int]:
    """Key of each object to the number of the detection that it was matched to."""
    return {one.key: found.index(candidate) for candidate, one, _ in pairs}


# Assignment


def test_the_sum_of_ious_decides_and_not_the_best_pair() -> None:
    overlaps = iou([0.9, 0.8], [0.8, 0.3])
    assert assign(overlaps, all_of(overlaps)) == [(0, 1), (1, 0)]


def test_pairs_of_different_classes_do_not_assign() -> None:
    overlaps = iou([0.9, 0.4], [0.4, 0.9])
    allowed = same_class(["cat", "dog"], ["dog", "cat"])
    assert assign(overlaps, allowed) == [(0, 1), (1, 0)]
    assert assign(overlaps, same_class(["cat", "dog"], ["cow", "cow"])) == []


def test_a_forbidden_pair_costs_nobody_a_assign() -> None:
    # An IoU that is too low must not win by its share of the sum.
    overlaps = iou([0.5, MATCH_IOU - 0.01], [MATCH_IOU - 0.01, 0.0])
    assert assign(overlaps, all_of(overlaps)) == [(0, 0)]


def test_equal_overlaps_go_to_the_first_ones() -> None:
    overlaps = iou([0.7, 0.7], [0.7, 0.7], [0.7, 0.7])
    assert assign(overlaps, all_of(overlaps)) == [(0, 0), (1, 1)]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_an_empty_side_gives_no_pair(shape: tuple[int, int]) -> None:
    assert assign(np.zeros(shape, np.float32), np.ones(shape, bool)) == []
    assert same_class(["a"] * shape[0], ["a"] * shape[1]).shape == shape


@given(matrices, st.data())
def test_matching_is_one_to_one_admissible_and_the_best(overlaps: np.ndarray, data: st.DataObject) -> None:
    allowed = data.draw(hnp.arrays(bool, overlaps.shape))
    pairs = assign(overlaps, allowed)
    assert all(allowed[p] and overlaps[p] >= MATCH_IOU for p in pairs)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)

    value = np.where(allowed & (overlaps >= MATCH_IOU), overlaps, 0).astype(np.float64)
    if value.shape[0] > value.shape[1]:
        value = value.T
    columns = itertools.permutations(range(value.shape[1]), value.shape[0])
    best = max(sum(value[i, j] for i, j in enumerate(order)) for order in columns)
    assert sum(float(overlaps[p]) for p in pairs) == pytest.approx(best)


# Candidates


def test_candidates_come_best_first_and_inside_of_the_frame() -> None:
    xyxy = np.array([[-5, 4, 20, 30], [9, 9, 9, 30], [200, 0, 220, 9], [8, 8, 16, 16]], np.float32)
    found = Detections(xyxy, np.array([0.3, 0.9, 0.8, 0.7], np.float32), ("a", "b", "c", "d"))
    candidates = candidates_of(found, *SIZE)
    assert [(c.label, round(c.score, 3), c.xyxy.tolist()) for c in candidates] == [
        ("d", 0.7, [8, 8, 16, 16]),
        ("a", 0.3, [0, 4, 20, 30]),
    ]
    prompt = candidates[0].prompt(5)
    assert isinstance(prompt, BoxPrompt)
    assert (prompt.obj_id, prompt.points.tolist()) == (5, [[8, 8], [16, 16]])


def test_a_candidate_with_a_mask_prompts_with_it() -> None:
    there = mask((4, 4, 20, 30))
    xyxy = np.array([[4, 4, 20, 30], [4, 4, 20, 30]], np.float32)
    both = Detections(xyxy, np.array([0.5, 0.6], np.float32), ("a", "b"), np.array([there, mask()]))
    (candidate,) = candidates_of(both, *SIZE)
    assert candidate.label == "a"
    assert candidate.outline is not None
    assert candidate.outline.rle == outline((4, 4, 20, 30)).rle
    prompt = candidate.prompt(5)
    assert isinstance(prompt, MaskPrompt)
    assert (prompt.mask == there).all()


def test_nothing_found_is_no_candidate() -> None:
    assert candidates_of(Detections.empty(), *SIZE) == []


# Detections and objects


@pytest.mark.parametrize("candidates", [boxes, masks])
def test_detections_find_their_objects(candidates: type) -> None:
    found = candidates((10, 10, 30, 30), (60, 10, 80, 30), (100, 40, 110, 50))
    one, other = track(1), track(2)
    places = {one: outline((62, 10, 82, 30)), other: outline((10, 12, 30, 32))}
    pairs, left = match(found, places, SIZE)
    assert numbers(pairs, found) == {1: 1, 2: 0}
    assert [pair.iou for pair in pairs] == pytest.approx([360 / 440] * 2)
    assert left == found[2:]


def test_masks_decide_where_there_are_masks() -> None:
    # An L and the rectangle in its bend: their boxes overlap, they do not.
    bend, place = (20, 20, 40, 40), outline((10, 10, 20, 40), (20, 10, 40, 20))
    assert len(match(boxes((10, 10, 40, 40)), {track(): place}, SIZE)[0]) == 1
    assert match(masks(bend), {track(): place}, SIZE)[0] == []


def test_only_objects_of_their_class_are_found() -> None:
    places = {track(1, "dog"): outline((10, 10, 30, 30))}
    found = boxes((10, 10, 30, 30))
    assert match(found, places, SIZE) == ([], found)


def test_too_little_overlap_is_no_match_but_near_is_enough_with_a_buffer() -> None:
    places = {track(): outline((10, 10, 30, 30))}
    near, far = boxes((40, 10, 60, 30)), boxes((55, 10, 75, 30))
    assert match(near, places, SIZE) == ([], near)
    assert numbers(match(near, places, SIZE, buffer=0.5)[0], near) == {1: 0}
    assert match(far, places, SIZE, buffer=0.5) == ([], far)


def test_nothing_and_nobody_match() -> None:
    assert match([], {track(): outline((0, 0, 9, 9))}, SIZE) == ([], [])
    found = boxes((0, 0, 9, 9))
    assert match(found, {}, SIZE) == ([], found)
    assert match(found, {}, SIZE, buffer=0.5) == ([], found)


# A frame


def test_detections_go_to_the_visible_then_to_the_lost_and_the_rest_is_left() -> None:
    held, visible, lost = held_frame(), track(1), track(2)
    held.see(visible, outline((10, 10, 30, 30)), detected=False)
    found = boxes((12, 10, 32, 30), (60, 10, 80, 30), (100, 40, 110, 50))
    matches = match_frame(found, held, {lost: outline((60, 12, 80, 32))})
    assert numbers(matches.seen, found) == {1: 0}
    assert numbers(matches.recovered, found) == {2: 1}
    assert matches.returned == []
    assert matches.left == found[2:]
    assert not held.rows[1].detected  # nothing is changed


def test_a_visible_object_comes_before_a_lost_one() -> None:
    held, visible, lost = held_frame(), track(1), track(2)
    held.see(visible, outline((10, 10, 30, 30)), detected=False)
    found = boxes((14, 10, 34, 30))
    matches = match_frame(found, held, {lost: outline((14, 10, 34, 30))})
    assert (numbers(matches.seen, found), matches.recovered, matches.left) == ({1: 0}, [], [])


HOME, AWAY = (10, 10, 30, 30), (70, 10, 90, 30)


def slip(*, was_detected: bool = True) -> tuple[Track, Track]:
    """Two objects as they were in frame 0: the first was at home, the second away from there."""
    slipped, other = track(1), track(2)
    slipped.see(0, 0.0, outline(HOME), detected=was_detected)
    other.see(0, 0.0, outline(AWAY), detected=True)
    return slipped, other


def test_what_slipped_returns_to_a_detection_near_its_home() -> None:
    held, (slipped, other) = held_frame(1), slip()
    held.see(slipped, outline((72, 10, 92, 30)), detected=False)
    held.see(other, outline(AWAY), detected=False)
    found = boxes(AWAY, (28, 10, 48, 30))  # no overlap with where it was, but near
    matches = match_frame(found, held, {})
    assert (numbers(matches.seen, found), numbers(matches.returned, found)) == ({2: 0}, {1: 1})
    assert (matches.recovered, matches.left) == ([], [])
    far = boxes(AWAY, (100, 10, 120, 30))
    assert match_frame(far, held, {}).left == far[1:]


def test_who_has_slipped() -> None:
    slipped, other = slip()
    held = held_frame(1)
    held.see(slipped, outline(AWAY), detected=False)
    held.see(other, outline(AWAY), detected=False)
    places = slipped_from(held, {other})
    assert list(places) == [slipped]
    assert places[slipped].xyxy.tolist() == list(HOME)
    assert slipped_from(held, set()) == {}  # where nothing is detected nobody knows
    assert slipped_from(held, {slipped, other}) == {}  # detected, it is where it should be
    held.see(other, outline(AWAY), detected=True)
    assert list(slipped_from(held, set())) == [slipped]  # as when the user pointed the other one out


def test_what_lies_beside_another_one_or_was_never_detected_has_not_slipped() -> None:
    for onto, was_detected in (((84, 10, 104, 30), True), (AWAY, False)):
        slipped, other = slip(was_detected=was_detected)
        held = held_frame(1)
        held.see(slipped, outline(onto), detected=False)
        held.see(other, outline(AWAY), detected=False)
        assert slipped_from(held, {other}) == {}
    assert SLIPPED_IOU > 6 * 20 / (2 * 400 - 120)
