"""New objects are followed back to where they appeared."""

from __future__ import annotations

import pytest
from colored_regions import BLUE, RED, Color, Engines, Rect, held_frame, outline, paint

from trackkit.core.clock import StageClock
from trackkit.trackers.by_mask.backfill import fill_backwards
from trackkit.trackers.by_mask.objects import Track
from trackkit.trackers.by_mask.prompts import BoxPrompt
from trackkit.trackers.by_mask.segmenter import Segmenter
from trackkit.trackers.by_mask.window import HeldFrame, Row

PLACE = (40, 10, 60, 30)


def frames_of(*shapes: list[tuple[Color, Rect]]) -> list[HeldFrame]:
    return [held_frame(no, paint(*each)) for no, each in enumerate(shapes)]


def fill(
    frames: list[HeldFrame], born: dict[Track, Rect], engines: Engines | None = None, batch_size: int = 4
) -> None:
    """Fill objects in that were born in the last frame."""
    segmenter = Segmenter(engines or Engines(), StageClock(), batch_size=batch_size, min_pred_iou=0.5)
    *earlier, last = frames
    segmenter.follow(last)
    prompts = {track: BoxPrompt(track.key, rect) for track, rect in born.items()}
    fill_backwards(segmenter, prompts, last, earlier[::-1])


def rows(frames: list[HeldFrame], key: int) -> list[int]:
    """Numbers of the frames in which an object has a row."""
    return [held.no for held in frames if key in held.rows]


def test_an_object_is_followed_back_until_it_cannot_be_seen() -> None:
    moving = [(8 + 8 * i, 10, 28 + 8 * i, 30) for i in range(5)]
    frames = frames_of([(RED, moving[0])], [], *[[(RED, rect)] for rect in moving[2:]])
    track = Track(3, "thing", 0.8, 4, 0.16)
    fill(frames, {track: moving[4]})
    assert rows(frames, 3) == [2, 3]  # it is not looked for behind the frame in which it is hidden
    for no in (2, 3):
        row = frames[no].rows[3]
        assert (row.track, row.score, row.detected) == (track, 0.8, False)
        assert row.outline.xyxy.tolist() == list(moving[no])
    assert (track.seen_no, track.last_seen) == (4, None)  # its life goes on from its birth


def test_an_unsure_mask_ends_it() -> None:
    frames = frames_of([(RED, PLACE)], [(RED, (40, 10, 60, 18))], [(RED, PLACE)], [(RED, PLACE)])
    fill(frames, {Track(3, "thing", 0.8, 3, 0.12): PLACE})
    assert rows(frames, 3) == [2]


@pytest.mark.parametrize(("label", "first"), [("thing", 3), ("part", 0)])
def test_it_is_followed_back_only_until_it_becomes_another(label: str, first: int) -> None:
    # Up to frame 2 a larger object of some class covers the place of the new one.
    frames = frames_of(*[[(RED, PLACE)]] * 6)
    for held in frames[:3]:
        held.rows[1] = Row(Track(1, label, 0.9, 0, 0.0), outline((30, 4, 70, 40)), 0.9, False)
    fill(frames, {Track(2, "thing", 0.8, 5, 0.2): PLACE})
    assert rows(frames, 2) == list(range(first, 5))
    assert {held.rows[2].score for held in frames[first:5]} == {0.8}


def test_of_two_that_become_the_same_the_first_goes_on() -> None:
    apart, together = [(RED, (20, 10, 40, 30)), (RED, (44, 10, 64, 30))], [(RED, (32, 10, 52, 30))]
    frames = frames_of(together, together, apart, apart)
    born = {Track(7, "a", 0.8, 3, 0.1): apart[0][1], Track(4, "a", 0.9, 3, 0.1): apart[1][1]}
    engines = Engines()
    fill(frames, born, engines)
    assert (rows(frames, 7), rows(frames, 4)) == ([0, 1, 2], [2])
    assert engines.made[1].obj_ids == [7]
    assert engines.made[1].capacity == 2


def test_it_ends_with_the_last_of_them_and_encodes_no_frame_in_vain() -> None:
    frames = frames_of(*[[]] * 6, [(RED, PLACE), (BLUE, (80, 10, 100, 30))])
    engines = Engines()
    fill(frames, {Track(1, "a", 0.8, 6, 0.2): PLACE}, engines, batch_size=2)
    assert engines.made[0].batches == [1, 2]  # the frame of birth, and one batch before it
    assert all(not held.rows for held in frames)
