"""The frames that are held back."""

from __future__ import annotations

import numpy as np
import pytest
from colored_regions import SIZE, Rect, outline, paint

from trackkit.core.frames import Frame
from trackkit.core.masks import decode_rle
from trackkit.trackers.by_mask.objects import Track
from trackkit.trackers.by_mask.window import HeldFrame, Window

HERE, THERE = (0, 0, 10, 10), (40, 0, 50, 10)


def track(key: int, label: str = "car", given_id: int | None = None) -> Track:
    return Track(key, label, 0.5, 0, 0.0, given_id=given_id)


def window_of(*frames: dict[Track, Rect], taken: frozenset[int] = frozenset()) -> Window:
    """A window with one frame after the other, and who is seen where."""
    window = Window(taken)
    for i, places in enumerate(frames):
        held = window.hold(Frame(paint(), 2 * i, i / 25))
        for one, rect in places.items():
            held.see(one, outline(rect), detected=False)
    return window


def keys(window: Window) -> list[list[int]]:
    """Who has a row in each of the frames."""
    return [list(held.rows) for held in window]


def test_frames_are_numbered_as_they_come() -> None:
    window = Window()
    assert (len(window), window.newest_no) == (0, -1)
    held = [window.hold(Frame(paint(), idx, 0.0)) for idx in (0, 5, 9)]
    assert [each.no for each in held] == [0, 1, 2]
    assert list(window) == held
    window.open_from = 3
    assert len(window.release(set(), room=3)) == 3
    assert window.hold(Frame(paint(), 11, 0.0)).no == window.newest_no == 3


def test_seeing_an_object_is_a_row_and_is_known_to_the_object() -> None:
    held, one = HeldFrame(Frame(paint(), 8, 0.16), 4), track(1)
    held.see(one, outline(HERE), detected=True)
    assert (one.seen_no, one.seen_s) == (4, 0.16)
    one.score = 0.9
    held.see(one, outline(THERE), detected=False)
    (row,) = held.rows.values()
    assert (row.track, row.score, row.detected) == (one, 0.9, False)
    assert held.places() == {one: row.outline}
    assert row.outline.xyxy.tolist() == list(THERE)
    assert held.size == SIZE


def test_objects_are_filled_in_from_the_open_frames_on() -> None:
    window = window_of(*[{}] * 5)
    frames = list(window)
    assert window.open_before(frames[3]) == frames[2::-1]
    window.open_from = 1
    assert window.open_before(frames[3]) == [frames[2], frames[1]]
    window.open_from = 3
    assert window.open_before(frames[3]) == []


def test_rows_are_taken_back() -> None:
    one, other = track(1), track(2)
    window = window_of(*[{one: HERE, other: THERE}] * 3)
    window.forget(one, 1)
    assert keys(window) == [[1, 2], [2], [2]]
    window.forget(other)
    assert keys(window) == [[1], [], []]


def test_rows_on_another_object_are_taken_back_up_to_where_it_lay_apart() -> None:
    one, other = track(1), track(2)
    apart, same = {one: HERE, other: THERE}, {one: THERE, other: THERE}
    window = window_of(same, apart, same, same)
    window.forget_overlapping(one, 0.3)
    assert keys(window) == [[1, 2], [1, 2], [2], [2]]


def test_rows_on_another_object_stay_where_nothing_can_be_filled_in() -> None:
    one, other = track(1), track(2)
    window = window_of(*[{one: THERE, other: THERE}] * 4)
    window.open_from = 2
    window.forget_overlapping(one, 0.3)
    assert keys(window) == [[1, 2], [1, 2], [2], [2]]


@pytest.mark.parametrize(("iou", "left"), [(0.51, [1, 2]), (0.49, [2])])
def test_how_much_a_row_lies_on_another_object(iou: float, left: list[int]) -> None:
    window = window_of({track(1): (0, 0, 10, 10), track(2): (0, 0, 10, 20)})
    window.forget_overlapping(track(1), iou)
    assert keys(window) == [left]


def test_rows_become_those_of_another_object() -> None:
    one, other = track(1), track(2)
    window = window_of({one: HERE}, {other: THERE}, {one: HERE, other: THERE})
    window.rename(other, to=one)
    assert keys(window) == [[1], [1], [1]]
    assert [held.rows[1].track for held in window] == [one] * 3
    assert [held.rows[1].outline.xyxy[0] for held in window] == [0, 40, 0]  # its own row wins


def test_features_are_kept_of_the_newest_open_frames() -> None:
    window = window_of(*[{}] * 5)
    for held in window:
        held.features = held.no
    window.open_from = 1
    window.keep_features(3)
    assert [held.features for held in window] == [None, None, 2, 3, 4]
    window.open_from = 4
    window.keep_features(3)
    assert [held.features for held in window] == [None] * 4 + [4]
    window.keep_features(0)
    assert [held.features for held in window] == [None] * 5


# Leaving


def test_settled_frames_leave_in_order() -> None:
    window = window_of(*[{track(1): HERE}] * 4)
    assert window.release(set(), room=60) == []  # objects may still be filled in
    window.open_from = 3
    assert [objects.frame.idx for objects in window.release(set(), room=60)] == [0, 2, 4]
    assert [held.no for held in window] == [3]


def test_frames_wait_for_undecided_objects_and_those_behind_wait_too() -> None:
    one, other = track(1), track(2)
    window = window_of({one: HERE}, {other: HERE}, {one: HERE})
    window.open_from = 3
    assert [objects.frame.idx for objects in window.release({2}, room=60)] == [0]
    assert window.release({2}, room=2) == []
    assert [objects.frame.idx for objects in window.release({2}, room=1)] == [2, 4]


def test_where_there_is_no_room_frames_leave_unsettled() -> None:
    window = window_of(*[{track(1): HERE}] * 4)
    assert [objects.frame.idx for objects in window.release({1}, room=2)] == [0, 2]
    assert [objects.frame.idx for objects in window.release({1}, room=0)] == [4, 6]


def test_ids_count_from_one_in_the_order_of_appearance() -> None:
    first, second, third, mine = track(5), track(3), track(1), track(4, given_id=2)
    window = window_of({first: HERE}, {mine: HERE, second: THERE}, {third: HERE}, taken=frozenset({2}))
    window.forget(third)  # it never shows, and takes no id
    settled = window.release(set(), room=0)
    assert [objects.obj_ids.tolist() for objects in settled] == [[1], [2, 3], []]
    assert (first.obj_id, second.obj_id, third.obj_id) == (1, 3, None)


def test_what_leaves_is_all_that_is_known() -> None:
    one, other = track(2, "cat", given_id=8), track(1, "dog")
    window = Window({8})
    held = window.hold(Frame(paint(), 6, 0.24))
    held.see(one, outline(HERE)._replace(pred_iou=0.75), detected=True)
    other.score = 0.25
    held.see(other, outline(THERE), detected=False)
    (objects,) = window.release(set(), room=0)
    assert objects.frame is held.frame
    assert objects.obj_ids.tolist() == [1, 8]
    assert objects.labels == ("dog", "cat")
    assert objects.scores.tolist() == [0.25, 0.5]
    assert objects.detected.tolist() == [False, True]
    assert objects.xyxy.tolist() == [list(THERE), list(HERE)]
    assert objects.areas.tolist() == [100, 100]
    assert objects.pred_ious is not None
    np.testing.assert_array_equal(objects.pred_ious, np.array([np.nan, 0.75], np.float32))
    assert objects.rles is not None
    assert decode_rle(objects.rles[1], *SIZE)[:10, :10].all()
    assert (objects.obj_ids.dtype, objects.areas.dtype, objects.xyxy.dtype) == (
        np.int32,
        np.int32,
        np.float32,
    )


def test_an_empty_frame_leaves_empty() -> None:
    (objects,) = window_of({}).release(set(), room=0)
    assert len(objects) == 0
    assert (objects.xyxy.shape, objects.rles) == ((0, 4), ())
