"""Videos from detections to rows, with SAM 2 as the engine."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
import torch
from overlaps import mask_iou
from small_sam2 import build_stock

from trackkit.config import TrackConfig
from trackkit.core.arrays import Image
from trackkit.core.clock import StageClock
from trackkit.core.errors import CheckpointError
from trackkit.core.frames import Detections, Frame, TrackedObjects, VideoInfo
from trackkit.core.masks import decode_rle
from trackkit.core.prompts import Prompt
from trackkit.detectors.color import ColorDetector
from trackkit.synthetic.render import iter_frames
from trackkit.synthetic.scenes import Scene, SceneObject, make_scene
from trackkit.trackers import load_tracker, tracker_names
from trackkit.trackers.by_mask.objects import GHOST_RUNS, TWIN_FRAMES
from trackkit.trackers.by_mask.prompts import EnginePrompt
from trackkit.trackers.by_mask.propagation import Propagation
from trackkit.trackers.by_mask.tracker import KEPT_FEATURES, MaskTracker
from trackkit.trackers.bytetrack import ByteTrackModel
from trackkit.trackers.sam2.checkpoint import load_sam2
from trackkit.trackers.sam2.engine import Sam2Engine
from trackkit.trackers.sam2.stages import Candidates, FrameFeatures, Sam2Stages
from trackkit.trackers.sam2.tracker_model import FEW_OBJECTS, Sam2TrackerModel
from trackkit.tracking.models import Models
from trackkit.tracking.track_video import track_video

FPS = 25.0
Detect = Callable[[int, Image], Detections | None]


class CountingStages(Sam2Stages):
    """Knows what went through the model, and which image features somebody still holds.

    Attributes:
        batches: Frames in each call of the image encoder.
        followed: Objects in each call of the mask decoder.
        features: The features of every frame that was encoded, as weak references.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.batches: list[int] = []
        self.followed: list[int] = []
        self.features: list[weakref.ref[torch.Tensor]] = []

    @property
    def encoded(self) -> int:
        return sum(self.batches)

    def encode(self, pixels: torch.Tensor) -> list[FrameFeatures]:
        self.batches.append(len(pixels))
        found = super().encode(pixels)
        self.features += [weakref.ref(each.top) for each in found]
        return found

    def decode(self, fused: torch.Tensor, high_res: tuple[torch.Tensor, ...]) -> Candidates:
        self.followed.append(len(fused))
        return super().decode(fused, high_res)


class Tracking(NamedTuple):
    """One video."""

    tracker: MaskTracker
    config: TrackConfig


@pytest.fixture(scope="module")
def random_stages() -> CountingStages:
    """Objects are always visible, their masks are noise."""
    return CountingStages(build_stock("nano", image_size=64))


@pytest.fixture(scope="module")
def trained() -> CountingStages:
    """The small model that ships with trackkit, which was trained on shapes."""
    return CountingStages(load_sam2("mini"))


def start(
    stages: Sam2Stages,
    height: int,
    width: int,
    prompt: str = "thing",
    *,
    prompts: Sequence[Prompt] = (),
    low_memory: bool = False,
    **options: object,
) -> Tracking:
    config = TrackConfig(prompt, detector="color", **options)  # type: ignore[arg-type]
    video = VideoInfo(width, height, FPS, 0, 0.0)
    model = Sam2TrackerModel(stages, config)
    return Tracking(model.start(video, StageClock(), prompts, low_memory=low_memory), config)


def drive(engine: type[Sam2Engine], stages: Sam2Stages, height: int, width: int, **options: Any) -> Tracking:
    """A tracker with an engine that differs from the real one in some way."""
    config = TrackConfig(options.pop("prompt", "thing"), detector="color", **options)
    return Tracking(MaskTracker(partial(engine, stages, (height, width)), config, StageClock()), config)


def follow(tracking: Tracking, images: Sequence[Image], detect: Detect) -> list[TrackedObjects]:
    """Run a video; what every tracker promises is checked on the way."""
    frames = [
        Frame(image, 2 * i, i / FPS) for i, image in enumerate(images)
    ]  # every second frame is processed
    tracker, config = tracking
    settled: list[TrackedObjects] = []
    for i, frame in enumerate(frames):
        if i % config.batch_size == 0:
            tracker.prepare(frames[i : i + config.batch_size])
        settled += tracker.update(frame, detect(i, frame.image))
        assert i + 1 - len(settled) <= config.max_frames
    settled += tracker.finish()
    assert [objects.frame for objects in settled] == frames
    seen: set[int] = set()
    for objects in settled:
        ids = objects.obj_ids.tolist()
        assert ids == sorted(set(ids))
        assert max(seen | set(ids), default=0) == len(seen | set(ids))  # ids count from 1 without gaps
        seen |= set(ids)
        assert objects.rles is not None
        height, width = objects.frame.image.shape[:2]
        for rle, area, (x1, y1, x2, y2) in zip(objects.rles, objects.areas, objects.xyxy, strict=True):
            mask = decode_rle(rle, height, width)
            assert mask.sum() == area > 0
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height
            assert mask[:, int(x1)].any()
            assert mask[int(y2) - 1].any()
    return settled


def color(prompt: str, every: int = 1, *, boxes_only: bool = False) -> Detect:
    """The color detector on every ``every``-th frame."""
    detector = ColorDetector(TrackConfig(prompt).classes, 0.35)

    def detect(i: int, image: Image) -> Detections | None:
        if i % every:
            return None
        (found,) = detector.detect([image])
        return Detections(found.xyxy, found.scores, found.labels) if boxes_only else found

    return detect


def boxes(*xyxy: Sequence[float], label: str = "thing", score: float = 0.9) -> Detections:
    n = len(xyxy)
    return Detections(np.array(xyxy, np.float32).reshape(n, 4), np.full(n, score, np.float32), (label,) * n)


def masks(*regions: tuple[int, int, int, int], size: tuple[int, int], label: str = "thing") -> Detections:
    """Rectangles, as a detector with masks gives them."""
    found = np.zeros((len(regions), *size), bool)
    for mask, (x1, y1, x2, y2) in zip(found, regions, strict=True):
        mask[y1:y2, x1:x2] = True
    n = len(regions)
    xyxy = np.array(regions, np.float32).reshape(n, 4)
    return Detections(xyxy, np.full(n, 0.9, np.float32), (label,) * n, found)


def shape(
    obj_id: int, name: str, radius: float, *path: tuple[float, float, float], kind: str = "circle"
) -> SceneObject:
    return SceneObject(obj_id, kind, name, radius, path)


def images_of(scene: Scene) -> list[Image]:
    return [image for image, _ in iter_frames(scene)]


def judge(
    scene: Scene, settled: list[TrackedObjects]
) -> tuple[dict[int, float], dict[int, dict[int, list[int]]]]:
    """For each true object of 30 pixels and more: mean J with the best mask of each frame, and its ids.

    An id counts in the frames where its mask has J above 0.5.
    """
    scores: dict[int, list[float]] = {}
    ids: dict[int, dict[int, list[int]]] = {}
    for (_, truth), objects in zip(iter_frames(scene), settled, strict=True):
        found = [decode_rle(rle, scene.height, scene.width) for rle in objects.rles or ()]
        overlap = mask_iou(truth.masks, np.array(found, bool).reshape(-1, scene.height, scene.width))
        for true_id, row, area in zip(truth.obj_ids.tolist(), overlap, truth.masks.sum((1, 2)), strict=True):
            if area >= 30:
                scores.setdefault(true_id, []).append(float(row.max(initial=0)))
                for k in np.flatnonzero(row > 0.5):
                    ids.setdefault(true_id, {}).setdefault(int(objects.obj_ids[k]), []).append(truth.idx)
    return {i: float(np.mean(s)) for i, s in scores.items()}, ids


# Ids with a model that can see ------------------------------------------------------------------------


@pytest.mark.parametrize("boxes_only", [False, True])
def test_objects_keep_their_ids_and_masks(trained: CountingStages, boxes_only: bool) -> None:
    means = []
    for seed in (0, 4):
        scene = make_scene(seed, width=160, height=128, num_frames=30, num_objects=3, occlusion=False)
        prompt = ". ".join(obj.color for obj in scene.objects)
        tracking = start(trained, 128, 160, prompt, detection_frequency=10)
        settled = follow(tracking, images_of(scene), color(prompt, 10, boxes_only=boxes_only))
        js, ids = judge(scene, settled)
        means += js.values()
        assert [len(given) for given in ids.values()] == [1, 1, 1]
        labels = {i: label for o in settled for i, label in zip(o.obj_ids.tolist(), o.labels, strict=True)}
        assert labels == {next(iter(ids[obj.obj_id])): obj.color for obj in scene.objects}
    assert np.mean(means) > 0.85
    assert min(means) > 0.7


HIDDEN = Scene(
    128,
    128,
    70,
    FPS,
    (
        shape(1, "red", 14, (0, 64, 64), (69, 64, 64)),
        shape(2, "blue", 38, (0, -30, 64), (69, 160, 64), kind="square"),
    ),
    seed=3,
)


def test_an_id_outlasts_an_occlusion_that_breaks_tracking_by_detection(trained: CountingStages) -> None:
    images, detect = images_of(HIDDEN), color("red. blue", 5)
    settled = follow(start(trained, 128, 128, "red. blue", detection_frequency=5), images, detect)
    js, ids = judge(HIDDEN, settled)
    assert list(ids[1]) == [1]
    assert ids[1][1][0] == 0
    assert ids[1][1][-1] == 69
    assert js[1] > 0.85
    # The model loses the large square again and again, and the detector finds it where it was lost.
    assert list(ids[2]) == [2]
    assert not any(1 in objects.obj_ids for objects in settled[32:38])  # hidden: no row

    config = TrackConfig("red. blue", detector="color", tracker="bytetrack")
    bytetrack = ByteTrackModel(config).start(VideoInfo(128, 128, FPS, 70, 2.8), StageClock())
    detect = color("red. blue")
    found = [bytetrack.update(Frame(im, i, i / FPS), detect(i, im))[0] for i, im in enumerate(images)]
    assert len(judge(HIDDEN, found)[1][1]) > 1


LEAVES = Scene(
    128,
    128,
    70,
    FPS,
    (
        shape(1, "red", 16, (0, 64, 50), (15, 150, 50), (45, 150, 50), (60, 64, 50), (69, 64, 50)),
        shape(2, "yellow", 14, (0, 40, 100), (69, 60, 100)),
    ),
    seed=3,
)


def test_what_the_user_points_out_may_never_come_into_sight() -> None:
    stages = CountingStages(build_stock("nano", image_size=64))
    torch.nn.init.constant_(stages.model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias, -1000)
    prompts = [Prompt(0, 1, "thing", box=(8, 8, 40, 40))]
    tracking = start(stages, 64, 64, prompts=prompts, patience_s=0.1)
    settled = follow(tracking, noise(8, 64, 64), lambda *_: None)
    assert not any(len(objects) for objects in settled)
    assert "nothing of the object is to be seen there" in tracking.tracker.warnings[0]
    assert stages.followed == [1, 1, 1]  # until patience ended


@pytest.mark.parametrize("memory", ["stock", "samurai"])
def test_what_leaves_and_returns_keeps_its_id_for_as_long_as_we_are_patient(
    trained: CountingStages, memory: str
) -> None:
    # With the stock memory the model is late to see it: the detector finds it first, as a new object that
    # then turns out to be the old one.
    images, options = images_of(LEAVES), {"detection_frequency": 5, "memory": memory}
    tracking = start(trained, 128, 128, "red. yellow", **options)
    settled = follow(tracking, images, color("red. yellow", 5))
    ids = judge(LEAVES, settled)[1]
    assert {i: list(given) for i, given in ids.items()} == {1: [1], 2: [2]}
    assert ids[1][1][-1] == 69
    assert min(frame for frame in ids[1][1] if frame > 20) <= 50
    assert not any(1 in objects.obj_ids for objects in settled[16:42])
    assert max(objects.obj_ids.max() for objects in settled) == 2

    hasty = start(trained, 128, 128, "red. yellow", patience_s=0.5, **options)
    ids = judge(LEAVES, follow(hasty, images, color("red. yellow", 5)))[1]
    assert {i: list(given) for i, given in ids.items()} == {1: [1, 3], 2: [2]}


ENTERS = Scene(
    128,
    128,
    30,
    FPS,
    (
        shape(1, "red", 16, (0, 64, 40), (29, 64, 40)),
        shape(2, "green", 14, (0, -20, 90), (8, -20, 90), (14, 40, 90), (29, 60, 90)),
    ),
    seed=3,
)


@pytest.mark.parametrize(("max_frames", "first"), [(60, 10), (5, 15), (1, 19)])
@pytest.mark.parametrize("boxes_only", [False, True])
def test_what_enters_between_detections_is_filled_in(
    trained: CountingStages, max_frames: int, first: int, boxes_only: bool
) -> None:
    detect = color("red. green", 20, boxes_only=boxes_only)
    tracking = start(trained, 128, 128, "red. green", detection_frequency=20, max_frames=max_frames)
    settled = follow(tracking, images_of(ENTERS), detect)
    js, ids = judge(ENTERS, settled)
    start_frame = ids[2][2][0]
    assert first <= start_frame <= first + 2 * (max_frames == 60)  # it comes in fast
    assert ids[2] == {2: list(range(start_frame, 30))}
    assert not any(2 in objects.obj_ids for objects in settled[:9])
    detected = [o.frame.idx // 2 for o in settled if dict(zip(o.obj_ids, o.detected, strict=True)).get(2)]
    assert detected == [20]
    if max_frames == 60:
        assert min(js.values()) > 0.85


def test_filling_in_costs_nothing_where_there_is_no_gap(trained: CountingStages) -> None:
    images = images_of(ENTERS)
    before = trained.encoded
    follow(start(trained, 128, 128, "red. green", detection_frequency=1), images, color("red. green"))
    assert trained.encoded - before == len(images)


def test_nothing_is_filled_in_beyond_a_run_of_the_detector(trained: CountingStages) -> None:
    # The red circle stands there from the first frame on; the detector does not see it on frames 0 and 10.
    def detect(i: int, _: Image) -> Detections | None:
        return None if i % 10 else boxes([48, 24, 80, 56]) if i == 20 else Detections.empty()

    settled = follow(start(trained, 128, 128), images_of(ENTERS)[:23], detect)
    assert [len(objects) for objects in settled] == [0] * 11 + [1] * 12


def test_frames_leave_as_soon_as_they_are_settled(trained: CountingStages) -> None:
    tracking = start(trained, 128, 128, detection_frequency=2)
    left = []
    for i, image in enumerate(images_of(ENTERS)[:7]):
        found = None if i % 2 else boxes([48, 24, 80, 56])
        settled = tracking.tracker.update(Frame(image, i, i / FPS), found)
        left.append([objects.frame.idx for objects in settled])
    # Seen twice, it is no ghost; what lies behind a run of the detector cannot be filled in any more.
    assert left == [[], [], [0, 1, 2], [], [3, 4], [], [5, 6]]


# Scene cuts -------------------------------------------------------------------------------------------

OTHER = Scene(128, 128, 16, FPS, (shape(1, "red", 18, (0, 40, 90), (15, 60, 80)),), "noise", 8)
CUT = [image // 2 for image in images_of(ENTERS)[:9]] + images_of(OTHER)


def test_a_scene_cut_ends_all_objects(trained: CountingStages) -> None:
    found = {0: boxes([48, 24, 80, 56]), 15: boxes([30, 68, 66, 104])}
    settled = follow(start(trained, 128, 128), CUT, lambda i, _: found.get(i))
    assert [objects.obj_ids.tolist() for objects in settled] == [[1]] * 9 + [[2]] * 16


def test_nothing_is_filled_in_beyond_a_cut(trained: CountingStages) -> None:
    # The very same circle before and after: the model alone would follow it back to the first frame.
    still = shape(1, "red", 16, (0, 64, 40), (29, 64, 40))
    images = images_of(ENTERS)[:9] + images_of(Scene(128, 128, 9, FPS, (still,), "noise", 8))
    for scene_cuts, first in ((True, 9), (False, 0)):
        tracking = start(trained, 128, 128, scene_cuts=scene_cuts)
        settled = follow(tracking, images, lambda i, _: boxes([48, 24, 80, 56]) if i == 17 else None)
        assert [len(objects) for objects in settled] == [0] * first + [1] * (18 - first)


def test_cuts_can_be_left_alone(trained: CountingStages) -> None:
    found = {0: boxes([48, 24, 80, 56])}
    before = len(trained.followed)
    follow(start(trained, 128, 128, scene_cuts=False, max_frames=4), CUT, lambda i, _: found.get(i))
    assert trained.followed[before:] == [1] * (len(CUT) - 1)  # to the end, in sight or not


def test_a_flash_ends_nothing(trained: CountingStages) -> None:
    images = images_of(ENTERS)[:9]
    flash = [*images[:5], np.full_like(images[0], 255), *images[5:]]
    found = {0: boxes([48, 24, 80, 56])}
    settled = follow(start(trained, 128, 128), flash, lambda i, _: found.get(i))
    assert all(objects.obj_ids.tolist() == [1] for k, objects in enumerate(settled) if k != 5)


# What proves wrong ------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_frames", [60, 4])
def test_a_ghost_never_shows_if_all_its_frames_are_held(trained: CountingStages, max_frames: int) -> None:
    real, ghost = [48, 24, 80, 56], [30, 76, 66, 104]
    last_run = 20 + 2 * GHOST_RUNS

    def detect(i: int, _: Image) -> Detections | None:
        if i < 20 or i % 2:
            return None
        return boxes(real, ghost) if i == 20 else boxes(real)

    tracking = start(trained, 128, 128, detection_frequency=2, max_frames=max_frames)
    settled = follow(tracking, images_of(ENTERS), detect)
    with_ghost = [o.frame.idx // 2 for o in settled if 2 in o.obj_ids]
    if max_frames == 60:
        assert with_ghost == []
    else:
        assert with_ghost[0] >= 16
        assert with_ghost[-1] == last_run - max_frames - 1
    assert settled[-1].obj_ids.tolist() == [1]
    assert trained.followed[-1] == 1  # it does not live on out of sight


def test_a_newcomer_is_no_ghost_when_the_detector_sees_it_again(trained: CountingStages) -> None:
    real, rare = [48, 24, 80, 56], [30, 76, 66, 104]
    tracking = start(trained, 128, 128, detection_frequency=1)
    settled = follow(
        tracking,
        images_of(ENTERS),
        lambda i, _: boxes(real, rare) if i in (20, 20 + GHOST_RUNS) else boxes(real),
    )
    assert 2 in settled[-1].obj_ids


def test_a_detection_of_another_class_on_the_same_thing_is_no_new_object(trained: CountingStages) -> None:
    circle = [48, 24, 80, 56]

    def detect(i: int, _: Image) -> Detections:
        return boxes(circle) if i == 0 else boxes(circle, label="ball")

    tracking = start(trained, 128, 128, "thing. ball", detection_frequency=1)
    settled = follow(tracking, images_of(ENTERS)[:12], detect)
    assert {tuple(o.obj_ids.tolist()) for o in settled} == {(1,)}  # and it is no ghost
    assert {o.labels for o in settled} == {("thing",)}


class Merging(Sam2Engine):
    """All objects end up with the mask of the first one."""

    def propagate(self, features: FrameFeatures, clicks: Sequence[EnginePrompt] = ()) -> Propagation:
        out = super().propagate(features, clicks)
        return replace(out.select(out.obj_ids[:1] * len(out)), obj_ids=out.obj_ids)


@pytest.mark.parametrize(("seen_again", "stays"), [(0, 1), (1, 2)])
def test_twins_become_one(trained: CountingStages, seen_again: int, stays: int) -> None:
    places = [[48, 34, 80, 66], [26, 86, 54, 114]]
    images = images_of(LEAVES)[:1] * (TWIN_FRAMES + 3)
    labels = ("thing", "ball")  # the class says which one is detected again where both are in one place

    def detect(i: int, _: Image) -> Detections | None:
        if i == 0:
            return replace(boxes(*places), labels=labels)
        return boxes(places[0], label=labels[seen_again]) if i == 2 else None

    tracking = drive(Merging, trained, 128, 128, prompt="thing. ball")
    settled = follow(tracking, images, detect)
    assert [o.obj_ids.tolist() for o in settled] == [[1, 2]] + [[stays]] * (TWIN_FRAMES + 2)
    assert trained.followed[-1] == 1


@pytest.mark.parametrize("reanchor", [False, True])
def test_a_mask_that_drifted_is_anchored_anew_on_request(trained: CountingStages, reanchor: bool) -> None:
    size = (128, 128)
    whole, half = (48, 24, 80, 56), (48, 24, 64, 56)

    def detect(i: int, _: Image) -> Detections:
        return masks(whole if i == 0 else half, size=size)

    tracking = start(trained, *size, detection_frequency=1, reanchor=reanchor)
    settled = follow(tracking, images_of(ENTERS)[:3], detect)
    assert [o.obj_ids.tolist() for o in settled] == [[1]] * 3
    assert settled[1].xyxy[0, 2] > 70
    assert (settled[2].xyxy[0, 2] < 68) == reanchor


@pytest.mark.parametrize(("appears", "ids"), [(0, [1, 2]), (2, [1, 2, 3])])
def test_an_object_that_slipped_onto_another_returns_to_its_detection_nearby(
    trained: CountingStages, appears: int, ids: list[int]
) -> None:
    places = [(12, 48, 44, 80), (60, 48, 92, 80), (144, 48, 176, 80)]
    circles = [
        shape(i + 1, name, 16, *((t, (x1 + x2) / 2, (y1 + y2) / 2) for t in (0, 3)))
        for i, (name, (x1, y1, x2, y2)) in enumerate(zip(("red", "blue", "red"), places, strict=True))
    ]
    images = images_of(Scene(192, 128, 4, FPS, circles))

    def found(*numbers: int) -> Detections:
        each = masks(*(places[i] for i in numbers), size=(128, 192))
        return replace(each, labels=tuple("blue" if i == 1 else "red" for i in numbers))

    forgotten: list[int] = []

    class Slipping(Sam2Engine):
        calls = 0

        def forget_recent(self, obj_id: int) -> None:
            forgotten.append(obj_id)
            super().forget_recent(obj_id)

        def propagate(self, features: FrameFeatures, clicks: Sequence[EnginePrompt] = ()) -> Propagation:
            out = super().propagate(features, clicks)
            self.calls += 1
            slips = self.calls in (2, 3) and out.obj_ids == [1, 2]
            return replace(out.select([2, 2]), obj_ids=out.obj_ids) if slips else out  # red slips onto blue

    options = {"prompt": "red. blue", "detection_frequency": 1, "scene_cuts": False}
    detections = [found(0, 1), None, found(appears, 1), None]
    tracking = drive(Slipping, trained, 128, 192, **options)
    settled = follow(tracking, images, lambda i, _: detections[i])
    assert forgotten == ([] if appears else [1])  # what it remembers is the other one
    xyxy = [dict(zip(o.obj_ids.tolist(), o.xyxy, strict=True)) for o in settled]
    # Where it lay on the other one, it is where it belongs once that is known.
    assert xyxy[1][1] == pytest.approx(xyxy[1][2] if appears else places[0], abs=4)
    assert [list(boxes_by_id) for boxes_by_id in xyxy[2:]] == [ids, ids]
    for boxes_by_id in xyxy[2:]:
        assert boxes_by_id[ids[-1] if appears else 1] == pytest.approx(places[appears], abs=4)


# Sharp corners ----------------------------------------------------------------------------------------


def noise(n: int, height: int, width: int) -> list[Image]:
    rng = np.random.default_rng(0)
    return list(rng.integers(0, 255, (n, height, width, 3), dtype=np.uint8))


def test_the_registry_loads_it(tmp_path: Path) -> None:
    assert "sam2" in tracker_names()
    with pytest.raises(CheckpointError, match="missing"):
        load_tracker(TrackConfig("cat", model_path=str(tmp_path / "missing.pt")), "cpu")


@pytest.mark.parametrize("num_frames", [1, 2, 3])
@pytest.mark.parametrize("max_frames", [1, 2, 60])
def test_short_videos(random_stages: CountingStages, num_frames: int, max_frames: int) -> None:
    tracking = start(random_stages, 32, 32, max_frames=max_frames)
    settled = follow(
        tracking, noise(num_frames, 32, 32), lambda i, _: boxes([4, 4, 20, 20]) if i == 0 else None
    )
    assert settled[0].obj_ids.tolist() == [1]
    assert settled[0].detected.tolist() == [True]
    assert settled[0].scores.tolist() == [pytest.approx(0.9)]


def test_nothing_is_encoded_while_there_is_nothing(random_stages: CountingStages) -> None:
    before = random_stages.encoded
    tracking = start(random_stages, 32, 32)
    settled = follow(tracking, noise(70, 32, 32), lambda i, _: None if i % 10 else Detections.empty())
    assert not any(len(objects) for objects in settled)
    assert random_stages.encoded == before
    follow(start(random_stages, 32, 32), noise(70, 32, 32), lambda i, _: None)
    assert random_stages.encoded == before


def test_detections_on_the_last_frame_only(trained: CountingStages) -> None:
    images = images_of(ENTERS)
    for max_frames, first in ((60, 0), (8, 21)):
        tracking = start(trained, 128, 128, max_frames=max_frames)
        last = boxes([48, 24, 80, 56])
        settled = follow(tracking, images, lambda i, _, last=last: last if i == 29 else None)
        assert [len(o) for o in settled] == [0] * first + [1] * (30 - first)
        assert not any(o.detected.any() for o in settled[:-1])


def test_a_hundred_objects_of_several_classes() -> None:
    size = (160, 160)
    regions = [(16 * x + 2, 16 * y + 2, 16 * x + 14, 16 * y + 14) for y in range(10) for x in range(10)]
    found = masks(*regions, size=size)
    labels = tuple(("cat", "dog", "cow")[k % 3] for k in range(100))
    found = Detections(found.xyxy, np.linspace(0.9, 0.5, 100, dtype=np.float32), labels, found.masks)
    tracking = start(Sam2Stages(build_stock("nano", image_size=256)), *size, "cat. dog. cow")
    settled = follow(tracking, noise(2, *size), lambda i, _: found if i == 0 else None)
    assert settled[0].obj_ids.tolist() == list(range(1, 101))
    assert settled[0].labels == labels
    assert settled[0].scores == pytest.approx(found.scores)
    assert tracking.tracker.warnings == ()


@pytest.mark.parametrize("size", [(16, 16), (37, 53), (1, 1), (200, 9), (2160, 3840)])
@pytest.mark.parametrize("with_masks", [False, True])
def test_frames_of_any_size(random_stages: CountingStages, size: tuple[int, int], with_masks: bool) -> None:
    height, width = size
    found = masks((0, 0, width, height), size=size) if with_masks else boxes([0, 0, width, height])
    settled = follow(start(random_stages, *size), noise(5, *size), lambda i, _: found if i == 0 else None)
    assert settled[0].obj_ids.tolist() == [1]


def test_detections_without_an_area_in_the_frame_are_none(random_stages: CountingStages) -> None:
    bad = boxes(
        [5, 5, 5, 20], [9, 9, 3, 3], [-20, -20, -5, -5], [40, 4, 60, 20], [np.nan, 0, 9, 9], [np.inf, 0, 9, 9]
    )
    settled = follow(start(random_stages, 32, 32), noise(2, 32, 32), lambda i, _: bad)
    assert not any(len(objects) for objects in settled)
    empty = masks((0, 0, 0, 0), size=(32, 32))
    settled = follow(start(random_stages, 32, 32), noise(2, 32, 32), lambda i, _: empty)
    assert not any(len(objects) for objects in settled)
    half_outside = boxes([-20, -20, 16, 16])
    settled = follow(start(random_stages, 32, 32), noise(1, 32, 32), lambda i, _: half_outside)
    assert len(settled[0]) == 1


def test_too_many_objects_are_refused_and_the_user_is_told(random_stages: CountingStages) -> None:
    size = (32, 32)
    found = masks((0, 0, 8, 8), (10, 0, 18, 8), (20, 0, 28, 8), size=size)
    tracking = start(random_stages, *size, max_objects=2)
    (objects,) = follow(tracking, noise(1, *size), lambda i, _: found)
    assert objects.obj_ids.tolist() == [1, 2]
    (warning,) = tracking.tracker.warnings
    assert "max_objects of 2 was reached" in warning
    assert "1 detections started no object" in warning


def test_objects_out_of_sight_give_way_first(trained: CountingStages) -> None:
    tracking = start(trained, 128, 128, "red. yellow. blue", max_objects=2, detection_frequency=5)
    images = images_of(LEAVES)[:36]
    for image in images[30:]:
        image[20:50, 20:50] = (20, 40, 220)
    settled = follow(tracking, images, color("red. yellow. blue", 5))
    assert settled[-1].labels == ("yellow", "blue")
    assert "1 objects out of sight were forgotten early, 0 detections" in tracking.tracker.warnings[0]


def test_the_size_of_a_batch_changes_nothing(trained: CountingStages) -> None:
    images = images_of(ENTERS)
    results = []
    for batch_size in (1, 7):
        tracking = start(trained, 128, 128, "red. green", batch_size=batch_size)
        results.append(follow(tracking, images, color("red. green", 10)))
    for a, b in zip(*results, strict=True):
        assert a.obj_ids.tolist() == b.obj_ids.tolist()
        assert a.areas == pytest.approx(b.areas, abs=2)


def test_memory_does_not_grow_with_the_video() -> None:
    size, most, batch, window = (24, 24), 2, 8, 30
    stages = CountingStages(build_stock("nano", image_size=64))
    of_video: list[Sam2Engine] = []
    capacities: list[int] = []

    class Watched(Sam2Engine):
        def __init__(self, *args: Any, capacity: int = 8, **options: Any) -> None:
            super().__init__(*args, capacity=capacity, **options)
            capacities.append(capacity)
            of_video[:] = of_video or [self]

    options = {"max_frames": window, "max_objects": most, "batch_size": batch, "detection_frequency": 20}
    tracker, _ = drive(Watched, stages, *size, **options)
    (engine,) = of_video
    nbytes = engine.memory_nbytes
    image = noise(1, *size)[0]
    images: list[weakref.ref[Image]] = []
    frames: list[Frame] = []
    rng = np.random.default_rng(1)
    given = left = 0
    for i in range(400):
        if i % batch == 0:
            frames = [Frame(image.copy(), k, k / FPS) for k in range(i, i + batch)]
            images += [weakref.ref(frame.image) for frame in frames]
            tracker.prepare(frames)
        x, y = rng.integers(0, 16, 2).tolist()
        found = None if i % 20 else masks((x, y, x + 8, y + 8), size=size)
        given, left = given + 1, left + len(tracker.update(frames[i % batch], found))
        assert given - left <= window
        assert sum(ref() is not None for ref in images) <= window + batch
        assert sum(ref() is not None for ref in stages.features) <= KEPT_FEATURES + batch
        assert len(engine.obj_ids) <= most
    assert engine.memory_nbytes == nbytes
    assert max(stages.followed) <= most
    assert len(capacities) > 1  # something was filled in,
    assert max(capacities[1:]) <= most  # with no more room than it takes
    assert len(tracker.finish()) == given - left <= window


def test_with_little_memory_the_results_are_the_same(trained: CountingStages) -> None:
    names = ("red", "blue", "yellow", "green", "orange", "purple")
    prompt = ". ".join(names)
    images = images_of(make_scene(5, width=160, height=128, num_frames=24, num_objects=6, colors=names))
    detect = color(prompt, every=7)
    settled = {}
    for low_memory in (False, True):
        batches, followed = len(trained.batches), len(trained.followed)
        tracking = start(trained, 128, 160, prompt, batch_size=4, low_memory=low_memory)
        settled[low_memory] = follow(tracking, images, lambda i, image: detect(i, image) if i > 0 else None)
        assert max(trained.batches[batches:]) == (1 if low_memory else 4)
        most = max(trained.followed[followed:])
        assert most == FEW_OBJECTS if low_memory else most > FEW_OBJECTS
    assert max(len(objects) for objects in settled[False]) > 4
    assert len(settled[False][0]) > 0  # the detector saw nothing before frame 7: filled in
    for plain, low in zip(*settled.values(), strict=True):
        assert plain.obj_ids.tolist() == low.obj_ids.tolist()
        assert (plain.labels, plain.rles) == (low.labels, low.rles)
        np.testing.assert_array_equal(plain.xyxy, low.xyxy)


@pytest.mark.parametrize("pixels", ["gray", "gray16le", "yuv420p10le", "yuv444p"])
def test_videos_of_any_pixel_format(random_stages: CountingStages, tmp_path: Path, pixels: str) -> None:
    height, width = 67, 131
    with av.open(str(tmp_path / "clip.mkv"), "w") as file:
        stream = file.add_stream("ffv1", rate=round(FPS))
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        for image in noise(4, height, width):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24").reformat(format=pixels)))
        file.mux(stream.encode(None))

    class Whole:
        def detect(self, images: Sequence[Image]) -> list[Detections]:
            return [boxes([0, 0, width, height]) for _ in images]

    config = TrackConfig("thing", detection_frequency=2)
    models = Models(Whole(), Sam2TrackerModel(random_stages, config), "cpu", 0.0)
    result = track_video(tmp_path / "clip.mkv", config, models=models, output_video=tmp_path / "out.mp4")
    assert result.truncated is None
    assert result.tracks["frame_idx"].tolist() == [0, 1, 2, 3]
    assert (tmp_path / "out.mp4").exists()
