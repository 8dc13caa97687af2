from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from overlaps import mask_iou

from trackkit.trackers.by_mask.association import (
    COVERED,
    MATCH_IOU,
    SAME_IOU,
    Twins,
    coverage,
    has_come_back,
    match,
    newcomers,
    same_class,
    weaker,
)
from trackkit.trackers.by_mask.objects import DRIFT_IOU, DRIFT_RUNS, GHOST_RUNS, TWIN_FRAMES, Track

matrices = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=4),
    elements=st.floats(0, 1, width=32),
)


def iou(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def all_of(matrix: np.ndarray) -> np.ndarray:
    return np.ones(matrix.shape, bool)


def track(key: int = 1, label: str = "car", born_no: int = 0) -> Track:
    return Track(key, label, 0.5, born_no, born_no / 25)


# Matching


def test_the_sum_of_ious_decides_and_not_the_best_pair() -> None:
    overlaps = iou([0.9, 0.8], [0.8, 0.3])
    assert match(overlaps, all_of(overlaps)) == [(0, 1), (1, 0)]


def test_pairs_of_different_classes_do_not_match() -> None:
    overlaps = iou([0.9, 0.4], [0.4, 0.9])
    allowed = same_class(["cat", "dog"], ["dog", "cat"])
    assert match(overlaps, allowed) == [(0, 1), (1, 0)]
    assert match(overlaps, same_class(["cat", "dog"], ["cow", "cow"])) == []


def test_a_forbidden_pair_costs_nobody_a_match() -> None:
    # An IoU that is too low must not win by its share of the sum.
    overlaps = iou([0.5, MATCH_IOU - 0.01], [MATCH_IOU - 0.01, 0.0])
    assert match(overlaps, all_of(overlaps)) == [(0, 0)]


def test_equal_overlaps_go_to_the_first_ones() -> None:
    overlaps = iou([0.7, 0.7], [0.7, 0.7], [0.7, 0.7])
    assert match(overlaps, all_of(overlaps)) == [(0, 0), (1, 1)]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_an_empty_side_gives_no_pair(shape: tuple[int, int]) -> None:
    assert match(np.zeros(shape, np.float32), np.ones(shape, bool)) == []
    assert same_class(["a"] * shape[0], ["a"] * shape[1]).shape == shape
    assert coverage(np.zeros(shape, np.float32), np.ones(shape[0]), np.ones(shape[1])).shape == shape


@given(matrices, st.data())
def test_matching_is_one_to_one_admissible_and_the_best(overlaps: np.ndarray, data: st.DataObject) -> None:
    allowed = data.draw(hnp.arrays(bool, overlaps.shape))
    pairs = match(overlaps, allowed)
    assert all(allowed[p] and overlaps[p] >= MATCH_IOU for p in pairs)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)

    value = np.where(allowed & (overlaps >= MATCH_IOU), overlaps, 0).astype(np.float64)
    if value.shape[0] > value.shape[1]:
        value = value.T
    columns = itertools.permutations(range(value.shape[1]), value.shape[0])
    best = max(sum(value[i, j] for i, j in enumerate(order)) for order in columns)
    assert sum(float(overlaps[p]) for p in pairs) == pytest.approx(best)


# Coverage and births


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


# Lives


def test_a_ghost_is_seen_once_although_the_detector_had_its_chances() -> None:
    one = track()
    one.misses = GHOST_RUNS - 1
    assert not one.is_ghost
    one.misses = GHOST_RUNS
    assert one.is_ghost
    one.match(0.9, 1.0)
    assert (one.score, one.is_confirmed, one.is_ghost) == (0.9, True, False)


def test_drift_counts_in_a_row() -> None:
    one, low = track(), DRIFT_IOU - 0.01
    assert [one.match(0.5, value) for value in [low] * (DRIFT_RUNS - 1) + [DRIFT_IOU]] == [False] * DRIFT_RUNS
    assert [one.match(0.5, low) for _ in range(2 * DRIFT_RUNS)] == [
        (k + 1) % DRIFT_RUNS == 0 for k in range(2 * DRIFT_RUNS)
    ]


def test_going_out_of_sight_is_remembered() -> None:
    one = track(born_no=3)
    one.see(4, 0.16)
    assert (one.lost_no, one.back_no, one.was_away(4)) == (3, 3, False)
    one.see(9, 0.36)
    assert (one.lost_no, one.back_no, one.seen_no, one.seen_s) == (4, 9, 9, 0.36)
    assert one.was_away(9 + TWIN_FRAMES)
    one.see(10, 0.4)
    one.seen_no = 30
    assert not one.was_away(30)
    assert one.was_away(31)


# Twins


def test_twins_are_found_after_enough_frames_and_a_gap_begins_anew() -> None:
    twins, same, apart = Twins(), iou([1, SAME_IOU], [SAME_IOU, 1]), iou([1, 0.5], [0.5, 1])
    for no in range(TWIN_FRAMES - 1):
        assert twins.update(no, [4, 7], same) == []
    assert twins.suspects == {4, 7}
    assert twins.update(TWIN_FRAMES - 1, [4, 7], apart) == []
    assert twins.suspects == set()
    start = TWIN_FRAMES
    found = [twins.update(start + k, [4, 7], same) for k in range(TWIN_FRAMES)]
    assert found[:-1] == [[]] * (TWIN_FRAMES - 1)
    assert found[-1] == [(4, 7, start)]
    assert twins.update(start + TWIN_FRAMES, [4], iou([1])) == []


def test_the_twin_with_less_evidence_goes() -> None:
    old, young = track(1), track(2)
    assert weaker(old, young) is young
    young.hits = 3
    assert weaker(old, young) is old


def test_a_twin_that_was_away_when_the_other_was_born_has_come_back() -> None:
    def old_one(lost: int, back: int) -> Track:
        old = track(1)
        for no in [*range(lost + 1), *range(back, back + 3)]:
            old.see(no, no / 25)
        return old

    young = track(2, born_no=20)
    assert has_come_back(old_one(10, 24), young, since=25)
    assert not has_come_back(old_one(22, 24), young, since=25)  # both were there at frame 20
    assert not has_come_back(old_one(10, 15), young, since=25)  # it had come back before
    assert not has_come_back(old_one(10, 24), young, since=25 + TWIN_FRAMES)  # it came back elsewhere
    assert not has_come_back(old_one(10, 24), track(2, "dog", 20), since=25)
    assert not has_come_back(track(1), young, since=25)  # it never was away


def test_what_the_user_points_out_is_no_ghost_and_stays() -> None:
    given = Track(1, "a", 1.0, 0, 0.0, given_id=7)
    found = Track(2, "a", 0.9, 0, 0.0, hits=9)
    given.misses = 99
    assert given.obj_id == 7
    assert given.is_confirmed
    assert not given.is_ghost
    assert weaker(given, found) is weaker(found, given) is found
