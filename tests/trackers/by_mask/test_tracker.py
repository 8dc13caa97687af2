"""Videos from detections to rows, with an engine that is no model: what the protocol promises is enough."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from colored_regions import (
    BLUE,
    GREEN,
    HEIGHT,
    RED,
    SIZE,
    WIDTH,
    Color,
    Engines,
    Looked,
    Rect,
    RegionEngine,
    mask,
    paint,
)

from trackkit.config import TrackConfig
from trackkit.core.arrays import Image
from trackkit.core.clock import StageClock
from trackkit.core.frames import Detections, Frame, TrackedObjects
from trackkit.core.masks import decode_rle
from trackkit.core.prompts import Prompt
from trackkit.trackers.by_mask.objects import DRIFT_RUNS, GHOST_RUNS, RECOVERY_S, TWIN_FRAMES
from trackkit.trackers.by_mask.prompts import EnginePrompt
from trackkit.trackers.by_mask.propagation import Propagation
from trackkit.trackers.by_mask.tracker import KEPT_FEATURES, MaskTracker

A, B, C = (8, 8, 28, 28), (48, 8, 68, 28), (88, 8, 108, 28)
Boxes = dict[int, list[int]]


def found(*rects: Rect, label: str = "thing", score: float = 0.9, masks: bool = False) -> Detections:
    n = len(rects)
    return Detections(
        np.array(rects, np.float32).reshape(n, 4),
        np.full(n, score, np.float32),
        (label,) * n,
        np.array([mask(rect) for rect in rects], bool).reshape(n, *SIZE) if masks else None,
    )


def track(
    images: Sequence[Image],
    detections: Mapping[int, Detections],
    prompts: Sequence[Prompt] = (),
    engines: Engines | None = None,
    **options: object,
) -> tuple[list[Boxes], MaskTracker, list[TrackedObjects]]:
    """Follow a video: the boxes of the objects by their ids, frame by frame, the tracker, and all it gave."""
    config = TrackConfig("thing. part", detector="none", **options)  # type: ignore[arg-type]
    tracker = MaskTracker(engines or Engines(), config, StageClock(), prompts)
    frames = [Frame(image, i, i / 25) for i, image in enumerate(images)]
    settled: list[TrackedObjects] = []
    for i, frame in enumerate(frames):
        if i % config.batch_size == 0:
            tracker.prepare(frames[i : i + config.batch_size])
        settled += tracker.update(frame, detections.get(i))
        assert i + 1 - len(settled) <= config.max_frames
    settled += tracker.finish()
    assert [objects.frame for objects in settled] == frames
    for objects in settled:
        assert objects.rles is not None
        for rle, area in zip(objects.rles, objects.areas, strict=True):
            assert decode_rle(rle, *SIZE).sum() == area > 0
    boxes = [dict(zip(o.obj_ids.tolist(), o.xyxy.astype(int).tolist(), strict=True)) for o in settled]
    return boxes, tracker, settled


def still(n: int, *shapes: tuple[Color, Rect]) -> list[Image]:
    return [paint(*shapes) for _ in range(n)]


def shifted(rect: Rect, dx: int) -> Rect:
    return rect[0] + dx, rect[1], rect[2] + dx, rect[3]


def detected(settled: Sequence[TrackedObjects], obj_id: int) -> list[int]:
    """Frames in which an object was detected."""
    return [o.frame.idx for o in settled if obj_id in o.obj_ids[o.detected]]


# Births ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masks", [False, True])
def test_objects_are_followed_to_the_pixel(masks: bool) -> None:
    paths = [[shifted(A, 2 * i) for i in range(12)], [shifted(C, -i) for i in range(12)]]
    images = [paint((RED, a), (BLUE, b)) for a, b in zip(*paths, strict=True)]
    detections = {i: found(paths[0][i], paths[1][i], masks=masks) for i in (0, 5, 10)}
    boxes, _, settled = track(images, detections)
    assert boxes == [{1: list(a), 2: list(b)} for a, b in zip(*paths, strict=True)]
    assert [detected(settled, i) for i in (1, 2)] == [[0, 5, 10]] * 2
    first, second = (decode_rle((o.rles or ())[0], *SIZE) for o in (settled[0], settled[7]))
    assert (first == mask(A)).all()
    assert (second == mask(paths[0][7])).all()


@pytest.mark.parametrize(("max_frames", "first"), [(60, 3), (4, 4), (1, 7)])
def test_what_enters_between_runs_of_the_detector_is_filled_in(max_frames: int, first: int) -> None:
    path = [shifted((-48, 40, -28, 60), 12 * i) for i in range(11)]  # its first pixels are in frame 3
    images = [paint((BLUE, A), (RED, rect)) for rect in path]
    detections = {0: found(A), 8: found(A, path[8])}
    boxes, _, settled = track(images, detections, max_frames=max_frames, scene_cuts=False)
    inside = {no: [max(x1, 0), y1, x2, y2] for no, (x1, y1, x2, y2) in enumerate(path)}
    assert boxes == [{1: list(A)} | ({2: inside[no]} if no >= first else {}) for no in range(11)]
    assert detected(settled, 2) == [8]


def test_nothing_is_filled_in_beyond_a_run_of_the_detector() -> None:
    boxes, _, _ = track(still(9, (RED, A)), {0: found(), 4: found(), 7: found(A)})
    assert boxes == [{}] * 5 + [{1: list(A)}] * 4


@pytest.mark.parametrize(("label", "new"), [("thing", False), ("part", True)])
def test_a_part_of_an_object_is_an_object_where_it_is_of_another_class(label: str, new: bool) -> None:
    part = (12, 12, 18, 18)
    detections = {0: found(A), 2: found(part, label=label, masks=True)}
    boxes, _, _ = track(still(3, (RED, A)), detections)
    # Followed back, it becomes the whole: no frame before shows it.
    assert boxes == [{1: list(A)}] * 2 + [{1: list(A)} | ({2: list(part)} if new else {})]


def test_nothing_is_encoded_while_there_is_nothing_and_all_in_batches_then() -> None:
    engines = Engines()
    track(still(20, (RED, A)), {0: found(), 10: found(A)}, engines=engines, batch_size=4)
    # Frame 10 with the one announced after it, what came before it, and then batch by batch.
    assert engines.made[0].batches == [2, 4, 4, 1, 4, 4]
    assert [engine.batches for engine in engines.made[1:]] == [[]]


def test_engines_are_made_with_as_much_room_as_it_takes() -> None:
    engines = Engines()
    track(still(5, (RED, A), (BLUE, B)), {3: found(A, B)}, engines=engines)
    assert [engine.capacity for engine in engines.made] == [8, 2]


# Out of sight ------------------------------------------------------------------------------------------

HIDDEN = [*still(5, (RED, A)), *still(6), *still(5, (RED, A))]


def test_what_was_hidden_comes_back_under_its_id_without_a_row_meanwhile() -> None:
    boxes, _, _ = track(HIDDEN, {0: found(A)})
    assert boxes == [{1: list(A)}] * 5 + [{}] * 6 + [{1: list(A)}] * 5


def test_what_is_out_of_sight_for_too_long_is_forgotten() -> None:
    engines = Engines()
    boxes, _, _ = track(HIDDEN, {0: found(A), 14: found(A)}, engines=engines, patience_s=0.2)
    assert boxes == [{1: list(A)}] * 5 + [{}] * 6 + [{2: list(A)}] * 5  # filled in up to its return
    assert engines.made[0].obj_ids == [2]


def test_an_unsure_mask_is_out_of_sight() -> None:
    half = (8, 8, 28, 18)
    images = [*still(3, (RED, A)), *still(3, (RED, half)), *still(3, (RED, A))]
    boxes, _, _ = track(images, {0: found(A)}, min_pred_iou=0.6)
    assert boxes == [{1: list(A)}] * 3 + [{}] * 3 + [{1: list(A)}] * 3
    boxes, _, settled = track(images, {0: found(A)}, min_pred_iou=0.4)
    assert boxes == [{1: list(A)}] * 3 + [{1: list(half)}] * 3 + [{1: list(A)}] * 3
    sure = [float(o.pred_ious[0]) for o in settled if o.pred_ious is not None]
    assert sure == [1] * 3 + [0.5] * 3 + [1] * 3


@pytest.mark.parametrize(("away", "ids"), [(4, {1}), (round(25 * RECOVERY_S) + 2, {2})])
def test_what_the_engine_has_lost_is_recovered_by_a_detection_where_it_was(away: int, ids: set[int]) -> None:
    # It changes its colour, so that the engine never finds it again by itself.
    images = [*still(3, (RED, A)), *still(away, (BLUE, A)), *still(3, (BLUE, A))]
    detections = {0: found(A), 2: found(A), 3 + away: found(shifted(A, 4))}
    boxes, _, settled = track(images, detections, max_frames=100)
    assert [set(each) for each in boxes] == [{1}] * 3 + [ids] * (away + 3)
    assert {tuple(box) for each in boxes for box in each.values()} == {A}
    assert detected(settled, max(ids))[-1] == 3 + away


def test_a_detection_elsewhere_is_a_new_object() -> None:
    images = [*still(3, (RED, A)), *still(4, (BLUE, C))]
    boxes, _, _ = track(images, {0: found(A), 2: found(A), 4: found(C)})
    assert boxes == [{1: list(A)}] * 3 + [{2: list(C)}] * 4


def test_what_slipped_onto_another_returns_to_its_detection() -> None:
    # The engine takes the twin nearby for it while it is hidden, and stays there: both look the same to it.
    left, right = (40, 8, 50, 28), (52, 8, 62, 28)
    both, one = still(3, (RED, left), (RED, right)), still(3, (RED, right))
    back = still(4, (RED, left), (RED, right))
    engines = Engines()
    labels = ("thing", "part")  # that tells which one was detected
    detections = {
        i: replace(found(rect, right), labels=labels)
        for i, rect in ((0, left), (2, left), (6, shifted(left, -4)))
    }
    boxes, _, _ = track([*both, *one, *back], detections, engines=engines)
    assert engines.made[0].forgot_recent == [1]
    assert boxes[:3] == [{1: list(left), 2: list(right)}] * 3
    assert boxes[3:6] == [{2: list(right)}] * 3  # its rows on the other one are taken back
    assert boxes[6:] == [{1: list(left), 2: list(right)}] * 4


# What proves wrong -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("max_frames", "shown"), [(60, 0), (3, 2 * GHOST_RUNS - 2)])
def test_a_ghost_shows_only_in_frames_that_had_to_leave(max_frames: int, shown: int) -> None:
    images = still(12, (RED, A), (BLUE, B))
    detections = {i: found(A, B) if i == 2 else found(A) for i in range(0, 12, 2)}
    engines = Engines()
    boxes, _, _ = track(images, detections, engines=engines, max_frames=max_frames)
    assert [1 in each for each in boxes] == [True] * 12
    assert [no for no, each in enumerate(boxes) if 2 in each] == list(range(1, 1 + shown))
    assert engines.made[0].obj_ids == [1]


def test_a_detection_of_another_class_makes_no_ghost_of_it() -> None:
    images = still(12, (RED, A))
    detections = {0: found(A)} | {i: found(A, label="part") for i in range(1, 12)}
    boxes, _, settled = track(images, detections)
    assert boxes == [{1: list(A)}] * 12
    assert {o.labels for o in settled} == {("thing",)}


def test_twins_become_one_from_the_first_frame_on_in_which_they_were_the_same() -> None:
    # One vanishes, and the engine takes the other one for it: nothing tells which of the two it is.
    left, right = (40, 8, 50, 28), (52, 8, 62, 28)
    images = [*still(3, (RED, left), (RED, right)), *still(TWIN_FRAMES + 2, (RED, left))]
    engines = Engines()
    boxes, _, _ = track(images, {0: found(left, right), 2: found(left, right)}, engines=engines)
    assert boxes == [{1: list(left), 2: list(right)}] * 3 + [{1: list(left)}] * (TWIN_FRAMES + 2)
    assert engines.made[0].obj_ids == [1]


def test_of_twins_the_one_that_was_detected_less_often_ends() -> None:
    left, right = (40, 8, 50, 28), (52, 8, 62, 28)
    images = [*still(3, (RED, left), (RED, right)), *still(TWIN_FRAMES, (RED, left))]
    boxes, _, _ = track(images, {0: found(left, right), 1: found(right), 2: found(right)})
    assert boxes == [{1: list(left), 2: list(right)}] * 3 + [{2: list(left)}] * TWIN_FRAMES
    images = images[:-1]  # a frame too few
    boxes, _, _ = track(images, {0: found(left, right), 1: found(right), 2: found(right)})
    assert boxes[3:] == [{1: list(left), 2: list(left)}] * (TWIN_FRAMES - 1)


def test_twins_that_the_user_pointed_out_both_stay() -> None:
    left, right = (40, 8, 50, 28), (52, 8, 62, 28)
    images = [*still(3, (RED, left), (RED, right)), *still(TWIN_FRAMES + 2, (RED, left))]
    prompts = [Prompt(0, 1, "thing", box=left), Prompt(0, 2, "thing", box=right)]
    boxes, _, _ = track(images, {}, prompts)
    assert boxes[3:] == [{1: list(left), 2: list(left)}] * (TWIN_FRAMES + 2)


def test_an_object_that_was_born_anew_too_soon_is_the_old_one() -> None:
    # It returns far from where it was hidden; the detector finds it before the engine looks that far.
    images = [*still(3, (RED, A)), *still(3), *still(30, (RED, C))]
    engines = Engines(reach=16, reach_lost=8)
    boxes, _, settled = track(images, {0: found(A), 2: found(A), 7: found(C)}, engines=engines)
    assert boxes == [{1: list(A)}] * 3 + [{}] * 3 + [{1: list(C)}] * 30
    assert detected(settled, 1) == [0, 2, 7]
    assert engines.made[0].obj_ids == [1]


@pytest.mark.parametrize("reanchor", [False, True])
def test_a_mask_that_drifted_is_anchored_anew_on_request(reanchor: bool) -> None:
    # The engine follows the whole; the detector says that the object is a part of it.
    whole, part = (8, 8, 48, 28), (8, 8, 26, 28)
    images = still(DRIFT_RUNS + 2, (RED, whole))
    detections = {0: found(whole, masks=True)} | {
        i: found(part, masks=True) for i in range(1, DRIFT_RUNS + 1)
    }
    boxes, _, _ = track(images, detections, reanchor=reanchor)
    assert boxes[:DRIFT_RUNS] == [{1: list(whole)}] * DRIFT_RUNS
    assert boxes[DRIFT_RUNS] == {1: list(part if reanchor else whole)}


# What the user points out ------------------------------------------------------------------------------


def test_objects_that_are_pointed_out_keep_their_ids_and_others_go_around_them() -> None:
    images = still(6, (RED, A), (BLUE, B), (GREEN, C))
    prompts = [Prompt(2, 1, "part", box=B), Prompt(4, 7, "thing", points=((90, 10),))]
    boxes, _, settled = track(images, {0: found(A)}, prompts)
    rects = {2: list(A), 1: list(B), 7: list(C)}
    seen = [{2}] * 2 + [{1, 2}] * 2 + [{1, 2, 7}] * 2
    assert boxes == [{i: rects[i] for i in sorted(each)} for each in seen]
    assert settled[-1].labels == ("part", "thing", "thing")
    assert detected(settled, 1) == [2]


def test_a_click_moves_an_object_to_what_was_meant() -> None:
    images = still(6, (RED, A), (BLUE, B))
    prompts = [Prompt(0, 3, "thing", box=A), Prompt(3, 3, "thing", points=((50, 10),))]
    boxes, tracker, settled = track(images, {}, prompts)
    assert boxes == [{3: list(A)}] * 3 + [{3: list(B)}] * 3
    assert detected(settled, 3) == [0, 3]
    assert tracker.warnings == ()


def test_a_click_shows_an_object_however_unsure_the_mask_is() -> None:
    class Doubtful(RegionEngine):
        """Is sure of no mask."""

        def propagate(self, features: Looked, clicks: Sequence[EnginePrompt] = ()) -> Propagation:
            out = super().propagate(features, clicks)
            return replace(out, ious=out.ious * 0.3)

    images = still(5, (RED, A), (BLUE, B))
    prompts = [
        Prompt(0, 3, "thing", box=A),
        Prompt(2, 3, "thing", points=((10, 10),)),
        Prompt(0, 4, "thing", box=B),
    ]
    ordered = sorted(prompts, key=lambda prompt: prompt.frame_idx)
    boxes, tracker, _ = track(images, {}, ordered, Engines(Doubtful), min_pred_iou=0.5)
    # The other one is followed in the same frame, and nobody vouches for it.
    assert boxes == [{3: list(A), 4: list(B)}, {}, {3: list(A)}, {}, {}]
    assert tracker.warnings == ()


def test_a_click_off_an_object_that_leaves_nothing_of_it_is_told() -> None:
    images = still(4, (RED, A))
    off = Prompt(2, 3, "thing", points=((10, 10),), point_labels=(0,))
    boxes, tracker, _ = track(images, {}, [Prompt(0, 3, "thing", box=A), off])
    assert boxes == [{3: list(A)}] * 2 + [{}] + [{3: list(A)}]
    assert tracker.warnings == (f"{off}: nothing of the object is to be seen there",)


def test_clicks_start_anew_what_has_ended() -> None:
    engines = Engines()
    prompts = [Prompt(0, 3, "thing", box=A), Prompt(12, 3, "thing", points=((10, 10),))]
    boxes, _, _ = track(HIDDEN, {}, prompts, engines, patience_s=0.1)
    assert boxes == [{3: list(A)}] * 5 + [{}] * 7 + [{3: list(A)}] * 4
    assert engines.made[0].obj_ids == [2]


def test_what_is_pointed_out_is_no_ghost_and_gives_way_to_nobody() -> None:
    images = [*still(6, (RED, A), (BLUE, B)), *still(6, (BLUE, B), (GREEN, C))]
    detections = {i: found(B) for i in range(1, 6)} | {i: found(B, C) for i in range(6, 12)}
    engines = Engines()
    boxes, tracker, _ = track(images, detections, [Prompt(0, 9, "thing", box=A)], engines, max_objects=2)
    assert boxes[:6] == [{1: list(B), 9: list(A)}] * 6
    assert boxes[6:] == [{1: list(B)}] * 6
    assert engines.made[0].obj_ids == [1, 2]
    (warning,) = tracker.warnings
    assert "0 objects out of sight were forgotten early, 6 detections started no object" in warning


class Blind(RegionEngine):
    """Sees nothing where it is prompted, but in the frames after that."""

    def condition(self, features: Looked, prompts: Sequence[EnginePrompt]) -> Propagation:
        out = super().condition(features, prompts)
        return replace(out, obj_scores=out.obj_scores - 100)


def test_a_prompt_that_shows_nothing_does_not_hinder_the_detector() -> None:
    given = Prompt(0, 5, "thing", box=A)
    boxes, tracker, _ = track(still(4, (RED, A)), {0: found(), 1: found(A)}, [given], Engines(Blind))
    assert boxes == [{}] + [{5: list(A)}] * 3
    assert tracker.warnings == (f"{given}: nothing of the object is to be seen there",)


# Limits ------------------------------------------------------------------------------------------------


def test_objects_out_of_sight_give_way_and_others_are_refused() -> None:
    images = [*still(3, (RED, A), (BLUE, B)), *still(5, (BLUE, B), (GREEN, C))]
    detections = {0: found(A, B), 2: found(A, B), 4: found(B, C, (30, 40, 50, 60)), 6: found(B, C)}
    boxes, tracker, _ = track(images, detections, max_objects=2, scene_cuts=False)
    assert boxes == [{1: list(A), 2: list(B)}] * 3 + [{2: list(B), 3: list(C)}] * 5
    (warning,) = tracker.warnings
    assert "max_objects of 2 was reached: 1 objects out of sight were forgotten early, 1 detect" in warning


def test_memory_does_not_grow_with_the_video() -> None:
    most, batch, window = 3, 8, 30
    engines = Engines()
    config = TrackConfig("thing", detector="none", max_frames=window, max_objects=most, batch_size=batch)
    tracker = MaskTracker(engines, config, StageClock())
    engine = engines.made[0]
    images: list[weakref.ref[Image]] = []
    frames: list[Frame] = []
    rng = np.random.default_rng(1)
    rect, given, left, ids = A, 0, 0, set()
    for i in range(300):
        if i % batch == 0:
            x, y = int(rng.integers(0, WIDTH - 20)), int(rng.integers(0, HEIGHT - 20))
            rect = (x, y, x + 20, y + 20)
            frames = [Frame(paint((RED, rect)), k, k / 25) for k in range(i, i + batch)]
            images += [weakref.ref(frame.image) for frame in frames]
            tracker.prepare(frames)
        settled = tracker.update(frames[i % batch], None if i % 20 else found(rect))
        given, left = given + 1, left + len(settled)
        ids |= {obj_id for objects in settled for obj_id in objects.obj_ids.tolist()}
        assert given - left <= window
        del settled
        assert sum(ref() is not None for ref in images) <= window + batch
        assert len(engine.alive) <= KEPT_FEATURES + batch
        assert len(engine.obj_ids) <= most
        assert set(engine.obj_ids) == set(engine.followed)
        del engines.made[1:]
    assert len(ids) > most
    assert len(tracker.finish()) == given - left <= window


# Scene cuts --------------------------------------------------------------------------------------------

BRIGHT = (230, 220, 120)


def other_scene(n: int, *shapes: tuple[Color, Rect]) -> list[Image]:
    return [paint(*shapes, (GREEN, (70, 34, 128, 64)), background=BRIGHT) for _ in range(n)]


@pytest.mark.parametrize(("scene_cuts", "last"), [(True, 2), (False, 1)])
def test_a_scene_cut_ends_all_objects(scene_cuts: bool, last: int) -> None:
    # The same thing in the same place: only the cut says that it is another one.
    images = [*still(6, (RED, A)), *other_scene(8, (RED, A))]
    engines = Engines()
    detections = {0: found(A), 5: found(A), 10: found(A)}
    boxes, _, _ = track(images, detections, engines=engines, scene_cuts=scene_cuts)
    assert boxes == [{1: list(A)}] * 6 + [{last: list(A)}] * 8  # filled in from the cut on
    assert engines.made[0].obj_ids == [last]


def test_nothing_is_filled_in_beyond_a_cut() -> None:
    images = [*still(6, (RED, A)), *other_scene(8, (RED, A))]
    boxes, _, _ = track(images, {10: found(A)})
    assert boxes == [{}] * 6 + [{1: list(A)}] * 8
    boxes, _, _ = track(images, {10: found(A)}, scene_cuts=False)
    assert boxes == [{1: list(A)}] * 14


def test_a_cut_in_the_last_frame_is_one() -> None:
    images = [*still(6, (RED, A)), *other_scene(1, (RED, A))]
    prompts = [Prompt(6, 4, "thing", box=A)]
    boxes, _, _ = track(images, {0: found(A), 5: found(A)}, prompts)
    assert boxes == [{1: list(A)}] * 6 + [{4: list(A)}]


def test_a_flash_ends_nothing() -> None:
    flash = np.full((*SIZE, 3), 255, np.uint8)
    images = [*still(5, (RED, A)), flash, *still(5, (RED, A))]
    boxes, _, _ = track(images, {0: found(A)})
    assert boxes == [{1: list(A)}] * 5 + [{}] + [{1: list(A)}] * 5
