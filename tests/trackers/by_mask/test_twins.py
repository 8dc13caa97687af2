"""Objects whose masks have fallen together."""

from __future__ import annotations

from itertools import count

import pytest
from colored_regions import Rect, held_frame, outline

from trackkit.trackers.by_mask.newcomers import SAME_IOU
from trackkit.trackers.by_mask.objects import TWIN_FRAMES, Track
from trackkit.trackers.by_mask.twins import Twins, has_come_back, weaker
from trackkit.trackers.by_mask.window import HeldFrame

HERE, NEAR, FAR = (10, 10, 30, 30), (10, 10, 30, 31), (60, 10, 80, 30)


def track(key: int = 1, label: str = "car", born_no: int = 0) -> Track:
    return Track(key, label, 0.5, born_no, born_no / 25)


class Video:
    """Frames with objects in given places, one after the other."""

    def __init__(self) -> None:
        self.twins = Twins()
        self._numbers = count()

    def frame(self, places: dict[Track, Rect]) -> HeldFrame:
        held = held_frame(next(self._numbers))
        for one, rect in places.items():
            held.see(one, outline(rect), detected=False)
        return held

    def show(self, places: dict[Track, Rect]) -> list[tuple[int, int, int]]:
        found = self.twins.update(self.frame(places))
        return [(older.key, younger.key, since) for older, younger, since in found]


def test_twins_are_found_after_enough_frames_and_a_gap_begins_anew() -> None:
    video, a, b = Video(), track(4), track(7)
    same, apart = {a: HERE, b: NEAR}, {a: HERE, b: (18, 10, 38, 30)}
    for _ in range(TWIN_FRAMES - 1):
        assert video.show(same) == []
    assert video.twins.suspects == {4, 7}
    assert video.show(apart) == []
    assert video.twins.suspects == set()
    found = [video.show(same) for _ in range(TWIN_FRAMES)]
    assert found[:-1] == [[]] * (TWIN_FRAMES - 1)
    assert found[-1] == [(4, 7, TWIN_FRAMES)]
    assert video.show({a: HERE}) == []
    assert len(video.twins) == 0


def test_the_older_twin_comes_first_whatever_the_order_of_the_rows() -> None:
    video, a, b = Video(), track(4), track(7)
    found = [video.show({b: NEAR, a: HERE}) for _ in range(TWIN_FRAMES)]
    assert found[-1] == [(4, 7, 0)]


def test_three_that_are_the_same_are_three_pairs() -> None:
    video, same = Video(), {track(k): HERE for k in (1, 2, 3)}
    found = [video.show({**same, track(4): FAR}) for _ in range(TWIN_FRAMES)]
    assert found[-1] == [(1, 2, 0), (1, 3, 0), (2, 3, 0)]
    assert (len(video.twins), video.twins.suspects) == (3, {1, 2, 3})


@pytest.mark.parametrize(("height", "same"), [(16, True), (15, False)])
def test_masks_are_the_same_from_an_iou_on(height: int, same: bool) -> None:
    assert (height / 20 >= SAME_IOU) == same
    video = Video()
    video.show({track(1): HERE, track(2): (10, 10, 30, 10 + height)})
    assert bool(video.twins.suspects) == same


def test_boxes_that_are_the_same_are_no_twins() -> None:
    held = held_frame()
    held.see(track(1), outline((10, 10, 30, 30)), detected=False)
    held.see(track(2), outline((10, 10, 12, 30), (12, 28, 30, 30)), detected=False)
    twins = Twins()
    assert twins.update(held) == []
    assert twins.suspects == set()
    assert twins.update(held_frame(1)) == []  # and a frame may be empty


def test_the_twin_with_less_evidence_goes() -> None:
    old, young = track(1), track(2)
    assert weaker(old, young) is young
    young.hits = 3
    assert weaker(old, young) is old


def test_a_twin_that_was_away_when_the_other_was_born_has_come_back() -> None:
    def old_one(lost: int, back: int) -> Track:
        old = track(1)
        for no in [*range(lost + 1), *range(back, back + 3)]:
            old.see(no, no / 25, outline(HERE), detected=False)
        return old

    young = track(2, born_no=20)
    assert has_come_back(old_one(10, 24), young, since=25)
    assert not has_come_back(old_one(22, 24), young, since=25)  # both were there at frame 20
    assert not has_come_back(old_one(10, 15), young, since=25)  # it had come back before
    assert not has_come_back(old_one(10, 24), young, since=25 + TWIN_FRAMES)  # it came back elsewhere
    assert not has_come_back(old_one(10, 24), track(2, "dog", 20), since=25)
    assert not has_come_back(track(1), young, since=25)  # it never was away


def test_what_the_user_points_out_stays() -> None:
    given = Track(1, "a", 1.0, 0, 0.0, given_id=7)
    found = Track(2, "a", 0.9, 0, 0.0, hits=9)
    assert weaker(given, found) is weaker(found, given) is found
    away = track(1)
    away.see(30, 1.2, outline(HERE), detected=False)
    assert has_come_back(away, Track(2, "car", 1.0, 20, 0.8), since=31)
    assert not has_come_back(away, Track(2, "car", 1.0, 20, 0.8, given_id=7), since=31)
