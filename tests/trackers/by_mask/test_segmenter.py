"""Prompts in, outlines of what can be seen out."""

from __future__ import annotations

import pytest
from colored_regions import BLUE, RED, Engines, Rect, held_frame, paint

from trackkit.core.clock import StageClock
from trackkit.trackers.by_mask.prompts import BoxPrompt, PointPrompt
from trackkit.trackers.by_mask.segmenter import Segmenter

HERE, THERE = (8, 8, 28, 28), (60, 8, 80, 28)


def segmenter(engines: Engines, min_pred_iou: float = 0.0) -> Segmenter:
    return Segmenter(engines, StageClock(), batch_size=4, min_pred_iou=min_pred_iou)


def test_objects_are_started_and_followed() -> None:
    engines = Engines()
    seg = segmenter(engines)
    first = held_frame(0, paint((RED, HERE), (BLUE, THERE)))
    assert seg.follow(first) == {}
    started = seg.start(first, [BoxPrompt(5, HERE), BoxPrompt(2, THERE)])
    assert {key: each.xyxy.tolist() for key, each in started.items()} == {5: list(HERE), 2: list(THERE)}
    moved: Rect = (12, 8, 32, 28)
    second = held_frame(1, paint((RED, moved)))
    found = seg.follow(second)
    assert {key: (each.xyxy.tolist(), each.area, each.pred_iou) for key, each in found.items()} == {
        5: (list(moved), 400, 1.0)
    }
    assert seg.engine is engines.made[0]
    assert seg.engine.obj_ids == [5, 2]


def test_a_frame_in_which_nothing_was_followed_is_followed_at_the_start() -> None:
    engines = Engines()
    first = held_frame(0, paint((RED, HERE)))
    assert first.features is None
    assert list(segmenter(engines).start(first, [BoxPrompt(1, HERE)])) == [1]
    assert engines.made[0].batches == [1]
    assert first.features is engines.made[0].current


@pytest.mark.parametrize(("least", "seen"), [(0.4, True), (0.6, False)])
def test_an_unsure_mask_is_not_seen(least: float, seen: bool) -> None:
    seg = segmenter(Engines(), least)
    seg.start(held_frame(0, paint((RED, HERE))), [BoxPrompt(1, HERE)])
    found = seg.follow(held_frame(1, paint((RED, (8, 8, 28, 18)))))  # half of it is hidden
    assert (1 in found) == seen


def test_what_the_user_prompts_is_seen_however_unsure_the_mask_is() -> None:
    click = PointPrompt(1, [[10, 10]], [1])  # type: ignore[arg-type]
    seg = segmenter(Engines(), 2.0)  # no mask is that sure
    first = held_frame(0, paint((RED, HERE), (BLUE, THERE)))
    assert seg.start(first, [BoxPrompt(1, HERE), BoxPrompt(2, THERE)]) == {}
    assert list(seg.start(first, [BoxPrompt(1, HERE), BoxPrompt(2, THERE)], by_user=True)) == [1, 2]
    second = held_frame(1, paint((RED, HERE), (BLUE, THERE)))
    assert list(seg.follow(second, [click])) == [1]


def test_encoding_of_masks_is_booked() -> None:
    clock = StageClock()
    seg = Segmenter(Engines(), clock, batch_size=1, min_pred_iou=0.0)
    seg.start(held_frame(0, paint((RED, HERE))), [BoxPrompt(1, HERE)])
    assert clock.seconds["encode"] > 0


def test_a_fresh_engine_knows_nothing() -> None:
    engines = Engines()
    seg = segmenter(engines)
    seg.start(held_frame(0, paint((RED, HERE))), [BoxPrompt(1, HERE)])
    fresh = seg.fresh_engine(3)
    assert fresh is engines.made[1]
    assert (fresh.obj_ids, engines.made[1].capacity) == ([], 3)
