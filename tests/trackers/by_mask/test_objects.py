"""What is known of an object, and who of them is followed."""

from __future__ import annotations

import pytest
from colored_regions import outline

from trackkit.trackers.by_mask.objects import (
    COMEBACK_FRAMES,
    DRIFT_IOU,
    DRIFT_RUNS,
    GHOST_RUNS,
    RECOVERY_S,
    TWIN_FRAMES,
    Objects,
    Track,
)

HERE, THERE = outline((0, 0, 10, 10)), outline((30, 0, 40, 10))


def track(key: int = 1, label: str = "car", born_no: int = 0, **known: int) -> Track:
    return Track(key, label, 0.5, born_no, born_no / 25, **known)


def see(one: Track, *frames: int) -> Track:
    for no in frames:
        one.see(no, no / 25, HERE, detected=False)
    return one


# One object


def test_a_ghost_is_seen_once_although_the_detector_had_its_chances() -> None:
    one = track()
    one.misses = GHOST_RUNS - 1
    assert not one.is_ghost
    one.misses = GHOST_RUNS
    assert one.is_ghost
    one.hit(0.9)
    assert (one.score, one.hits, one.is_confirmed, one.is_ghost) == (0.9, 2, True, False)


def test_drift_counts_in_a_row() -> None:
    one, low = track(), DRIFT_IOU - 0.01
    assert [one.hit(0.5, value) for value in [low] * (DRIFT_RUNS - 1) + [DRIFT_IOU]] == [False] * DRIFT_RUNS
    assert [one.hit(0.5, low) for _ in range(2 * DRIFT_RUNS)] == [
        (k + 1) % DRIFT_RUNS == 0 for k in range(2 * DRIFT_RUNS)
    ]


def test_going_out_of_sight_is_remembered() -> None:
    one = see(track(born_no=3), 4)
    assert (one.lost_no, one.back_no, one.was_away(4)) == (3, 3, False)
    see(one, 9)
    assert (one.lost_no, one.back_no, one.seen_no, one.seen_s) == (4, 9, 9, 0.36)
    assert one.was_away(9 + TWIN_FRAMES)
    see(one, *range(10, 31))
    assert not one.was_away(30)
    assert one.was_away(31)


def test_where_it_was_seen_and_where_it_was_detected() -> None:
    one = track()
    assert (one.last_seen, one.last_detected) == (None, None)
    one.see(1, 0.04, HERE, detected=True)
    one.see(2, 0.08, THERE, detected=False)
    assert (one.last_seen, one.last_detected) == (THERE, HERE)


def test_what_the_user_points_out_is_no_ghost() -> None:
    given = track(given_id=7)
    given.misses = 99
    assert given.obj_id == 7
    assert given.is_confirmed
    assert not given.is_ghost


# All of them


@pytest.fixture
def ended() -> list[int]:
    return []


@pytest.fixture
def objects(ended: list[int]) -> Objects:
    return Objects(3, on_end=ended.append)


def add(objects: Objects, label: str = "car", born_no: int = 0, given_id: int | None = None) -> Track:
    one = Track(objects.new_key(), label, 0.5, born_no, born_no / 25, given_id=given_id)
    objects.add(one)
    return one


def test_objects_come_and_go(objects: Objects, ended: list[int]) -> None:
    assert not objects
    first, second = add(objects), add(objects)
    assert [one.key for one in objects] == [1, 2]
    assert (len(objects), objects[2], first in objects) == (2, second, True)
    objects.end(first)
    assert (list(objects), first in objects, ended) == ([second], False, [1])
    assert add(objects).key == 3  # keys are never used again
    objects.end_all()
    assert (len(objects), ended) == (0, [1, 2, 3])


def test_those_that_the_user_pointed_out_are_found_by_their_ids(objects: Objects) -> None:
    add(objects)
    mine = add(objects, given_id=9)
    assert objects.given == {9: mine}
    objects.end(mine)
    assert objects.given == {}


def test_patience_ends(objects: Objects) -> None:
    gone, there = see(add(objects), 1), see(add(objects), 1, 2, 3)
    objects.end_unseen(3 / 25, 2 / 25)
    assert list(objects) == [gone, there]
    objects.end_unseen(3 / 25, 1.9 / 25)
    assert list(objects) == [there]


def test_who_was_just_lost_and_where(objects: Objects) -> None:
    visible, lost, long_gone = (add(objects) for _ in range(3))
    now = 2 * RECOVERY_S
    visible.see(50, now, HERE, detected=False)
    lost.see(26, now - RECOVERY_S, THERE, detected=False)
    long_gone.see(20, now - RECOVERY_S - 0.01, HERE, detected=False)
    assert objects.just_lost(now, {visible.key}) == {lost: THERE}
    assert objects.just_lost(now, {lost.key, long_gone.key}) == {visible: HERE}


def test_what_has_never_been_in_sight_was_not_lost(objects: Objects) -> None:
    add(objects, given_id=4)
    assert objects.just_lost(0.0, set()) == {}


def test_newcomers_are_undecided_until_they_are_confirmed(objects: Objects) -> None:
    one, mine = see(add(objects), 0), see(add(objects, given_id=5), 0)
    assert objects.undecided(0) == {one.key}
    one.hit(0.9)
    assert objects.undecided(0) == set()
    assert mine in objects


@pytest.mark.parametrize(
    ("label", "now", "is_open"),
    [
        ("car", 100, True),
        ("car", 99 + COMEBACK_FRAMES, True),
        ("car", 100 + COMEBACK_FRAMES, False),  # it is no newcomer any more
        ("dog", 100, False),  # it cannot be the one that is away
    ],
)
def test_newcomers_are_undecided_while_one_of_their_class_is_away(
    objects: Objects, label: str, now: int, is_open: bool
) -> None:
    away, young = see(add(objects), 50), add(objects, label, born_no=100)
    for one in (away, young):
        one.hit(0.9)
    see(young, *range(100, now + 1))
    assert objects.undecided(now) == ({young.key} if is_open else set())


def test_newcomers_are_undecided_a_moment_longer_than_one_is_away(objects: Objects) -> None:
    away, young = see(add(objects), 50), add(objects, born_no=100)
    for one in (away, young):
        one.hit(0.9)
    see(away, *range(101, 102 + TWIN_FRAMES))
    assert objects.undecided(101 + TWIN_FRAMES) == {young.key}
    see(away, 102 + TWIN_FRAMES)
    see(young, *range(100, 103 + TWIN_FRAMES))
    assert objects.undecided(102 + TWIN_FRAMES) == set()


def test_room_is_what_is_left(objects: Objects) -> None:
    see(add(objects), 5)
    assert objects.make_room(2, {1}) == 2
    assert objects.make_room(0, {1}) == 2
    assert objects.note is None


def test_those_longest_out_of_sight_give_way(objects: Objects, ended: list[int]) -> None:
    visible, late, early = see(add(objects), 9), see(add(objects), 8), see(add(objects), 4)
    assert objects.make_room(1, {visible.key}) == 1
    assert ended == [early.key]
    assert late in objects
    assert (objects.forgotten, objects.refused) == (1, 0)
    assert objects.note is not None
    assert "max_objects of 3 was reached" in objects.note
    assert "1 objects out of sight were forgotten early, 0 detections" in objects.note


def test_what_is_visible_or_was_pointed_out_stays_and_others_are_refused(
    objects: Objects, ended: list[int]
) -> None:
    see(add(objects), 9)
    see(add(objects, given_id=4), 2)
    see(add(objects), 3)
    assert objects.make_room(4, {1}) == 1
    assert ended == [3]
    assert (objects.forgotten, objects.refused) == (1, 3)
    assert objects.make_room(2, {1}) == 1
    assert (objects.forgotten, objects.refused) == (1, 4)
    assert objects.note is not None
    assert "4 detections started no object" in objects.note


def test_more_may_be_pointed_out_than_there_is_room_for(objects: Objects) -> None:
    for i in range(4):
        see(add(objects, given_id=i + 1), 0)
    assert objects.make_room(1, set()) == 0
    assert (len(objects), objects.refused) == (4, 2)
