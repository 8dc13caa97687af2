"""How objects begin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from colored_regions import BLUE, GREEN, RED, Color, Engines, Rect, mask, outline, paint

from trackkit.core.clock import StageClock
from trackkit.core.frames import Frame
from trackkit.core.prompts import Prompt
from trackkit.trackers.by_mask.births import Births
from trackkit.trackers.by_mask.matching import Candidate
from trackkit.trackers.by_mask.objects import Objects
from trackkit.trackers.by_mask.segmenter import Segmenter
from trackkit.trackers.by_mask.window import HeldFrame, Window

A, B, C = (8, 8, 28, 28), (48, 8, 68, 28), (88, 8, 108, 28)


class World:
    """All that births need, frame after frame."""

    def __init__(self, most: int = 10, min_pred_iou: float = 0.0) -> None:
        self.engines = Engines()
        self.segmenter = Segmenter(self.engines, StageClock(), batch_size=4, min_pred_iou=min_pred_iou)
        self.engine = self.engines.made[0]
        self.objects = Objects(most, on_end=self.engine.remove)
        self.window = Window()
        self.births = Births(self.segmenter, self.objects, self.window)

    def frame(self, *shapes: tuple[Color, Rect]) -> HeldFrame:
        """The next frame, with all objects followed as far as there are any."""
        no = self.window.newest_no + 1
        held = self.window.hold(Frame(paint(*shapes), no, no / 25))
        if len(self.objects):
            for key, each in self.segmenter.follow(held).items():
                held.see(self.objects[key], each, detected=False)
        return held


def candidates(*rects: Rect, label: str = "car") -> list[Candidate]:
    return [
        Candidate(label, 0.9 - 0.1 * i, np.array(rect, np.float32), mask(rect), outline(rect))
        for i, rect in enumerate(rects)
    ]


def boxes_of(held: HeldFrame) -> dict[int, list[float]]:
    return {key: row.outline.xyxy.tolist() for key, row in held.rows.items()}


def from_detections(world: World, held: HeldFrame, found: Sequence[Candidate]) -> set[int]:
    return {track.key for track in world.births.detect(held, found, {})}


# Detections


def test_detections_that_are_no_object_start_some() -> None:
    world = World()
    held = world.frame((RED, A), (BLUE, B))
    assert from_detections(world, held, candidates(A, B)) == set()
    assert boxes_of(held) == {1: list(A), 2: list(B)}
    assert [(t.key, t.label, round(t.score, 1), t.born_no) for t in world.objects] == [
        (1, "car", 0.9, 0),
        (2, "car", 0.8, 0),
    ]
    assert all(row.detected for row in held.rows.values())
    assert world.engine.obj_ids == [1, 2]


def test_a_detection_that_is_known_starts_none_and_is_told() -> None:
    world = World()
    held = world.frame((RED, A))
    from_detections(world, held, candidates(A))
    held = world.frame((RED, A))
    assert from_detections(world, held, candidates(A, B, label="van")[:1]) == {1}
    assert world.engine.obj_ids == [1]
    assert [track.key for track in world.objects] == [1]


def test_nothing_is_asked_of_the_engine_where_nothing_begins() -> None:
    world = World()
    held = world.frame((RED, A))
    assert from_detections(world, held, []) == set()
    assert world.births.point_out(held, []) == []
    assert world.engine.batches == []


def test_no_more_begin_than_there_is_room_for() -> None:
    world = World(most=2)
    held = world.frame((RED, A), (BLUE, B), (GREEN, C))
    from_detections(world, held, candidates(A, B, C))
    assert sorted(boxes_of(held)) == [1, 2]
    assert world.engine.obj_ids == [1, 2]
    assert world.objects.refused == 1


def test_those_out_of_sight_make_room() -> None:
    world = World(most=2)
    from_detections(world, world.frame((RED, A), (BLUE, B)), candidates(A, B))
    world.window.open_from = 1
    held = world.frame((RED, A), (GREEN, C))
    from_detections(world, held, candidates(C))
    assert sorted(boxes_of(held)) == [1, 3]
    assert world.engine.obj_ids == [1, 3]
    assert (world.objects.forgotten, world.objects.refused) == (1, 0)


def test_newcomers_are_filled_in_as_far_as_frames_are_open() -> None:
    world = World()
    frames = [world.frame((RED, A)) for _ in range(5)]
    world.window.open_from = 2
    from_detections(world, frames[-1], candidates(A))
    assert [sorted(held.rows) for held in frames] == [[], [], [1], [1], [1]]
    assert [held.rows[1].detected for held in frames[2:]] == [False, False, True]


def test_nothing_is_filled_in_where_the_detector_ran_on_the_frame_before() -> None:
    world = World()
    world.frame((RED, A))
    held = world.frame((RED, A))
    world.window.open_from = held.no
    from_detections(world, held, candidates(A))
    assert len(world.engines.made) == 1


# Anchors


def test_a_known_object_is_anchored_where_it_was_detected() -> None:
    world = World()
    from_detections(world, world.frame((RED, A)), candidates(A))
    held = world.frame((RED, A), (BLUE, B))
    (track,) = world.objects
    world.births.detect(held, [], {track: candidates(B)[0]})
    assert boxes_of(held) == {1: list(B)}
    assert held.rows[1].detected
    assert len(world.objects) == 1
    assert boxes_of(world.frame((RED, A), (BLUE, B))) == {1: list(B)}  # that is what it is now
    assert len(world.engines.made) == 1  # it was in sight before: there is nothing to fill in


def test_an_anchored_object_is_filled_in_where_it_was_out_of_sight() -> None:
    world = World()
    from_detections(world, world.frame((RED, A)), candidates(A))
    world.window.open_from = 1
    hidden = [world.frame((BLUE, B)) for _ in range(2)]
    held = world.frame((BLUE, B))
    (track,) = world.objects
    world.births.detect(held, [], {track: candidates(B)[0]})
    assert [boxes_of(each) for each in (*hidden, held)] == [{1: list(B)}] * 3
    assert len(world.engines.made) == 2


def test_an_anchor_that_finds_nothing_leaves_no_row() -> None:
    world = World(min_pred_iou=2.0)  # no mask is that sure
    world.births.point_out(world.frame((RED, A)), [Prompt(0, 4, "car", box=A)])
    held = world.frame((RED, A))
    (track,) = world.objects
    held.see(track, outline(A), detected=False)
    world.births.detect(held, [], {track: candidates(A)[0]})
    assert boxes_of(held) == {}
    assert track in world.objects


# What the user points out


@pytest.mark.parametrize(
    "how", [{"box": A}, {"points": ((10, 10),)}, {"box": A, "points": ((10, 10),)}, {"mask": mask(A)}]
)
def test_the_user_starts_an_object(how: dict[str, object]) -> None:
    world = World(min_pred_iou=2.0)  # that is no limit for what the user points out
    held = world.frame((RED, A))
    assert world.births.point_out(held, [Prompt(0, 7, "dog", **how)]) == []  # type: ignore[arg-type]
    (track,) = world.objects
    assert (track.given_id, track.label, track.score, track.is_confirmed) == (7, "dog", 1.0, True)
    assert boxes_of(held) == {track.key: list(A)}
    assert held.rows[track.key].detected
    assert len(world.engines.made) == 1  # it is followed from there on, not before


def test_a_box_takes_the_place_of_what_was_known() -> None:
    world = World()
    world.births.point_out(world.frame((RED, A)), [Prompt(0, 7, "dog", box=A)])
    (track,) = world.objects
    track.score = 0.3
    held = world.frame((RED, A), (BLUE, B))
    world.births.point_out(held, [Prompt(1, 7, "dog", box=B)])
    assert list(world.objects) == [track]
    assert (boxes_of(held), track.score) == ({track.key: list(B)}, 1.0)
    assert world.engine.forgot_recent == [track.key]


def test_what_was_corrected_already_is_not_started_again() -> None:
    world = World()
    world.births.point_out(world.frame((RED, A)), [Prompt(0, 7, "dog", box=A)])
    (track,) = world.objects
    held = world.frame((RED, A), (BLUE, B))
    world.births.point_out(held, [Prompt(1, 7, "dog", points=((50, 10),))], {track})
    assert boxes_of(held) == {track.key: list(A)}


def test_clicks_start_anew_what_has_ended() -> None:
    world = World()
    world.births.point_out(world.frame((RED, A)), [Prompt(0, 7, "dog", box=A)])
    world.objects.end_all()
    held = world.frame((RED, A), (BLUE, B))
    assert world.births.point_out(held, [Prompt(1, 7, "dog", points=((50, 10),))]) == []
    (track,) = world.objects
    assert (track.key, track.given_id) == (2, 7)
    assert boxes_of(held) == {2: list(B)}


def test_prompts_that_show_nothing_are_told() -> None:
    world = World()
    off = Prompt(0, 7, "dog", points=((10, 10),), point_labels=(0,))
    assert world.births.point_out(world.frame((RED, A)), [off]) == [off]
    assert len(world.objects) == 0
    assert world.engine.batches == []  # nothing begins with a click off it
