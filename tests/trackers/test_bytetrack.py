from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from trackkit.config import TrackConfig
from trackkit.core.arrays import Boxes
from trackkit.core.clock import StageClock
from trackkit.core.frames import Detections, Frame, TrackedObjects, VideoInfo
from trackkit.core.masks import decode_rle
from trackkit.detectors import load_detector
from trackkit.synthetic.render import GroundTruthFrame, iter_frames
from trackkit.synthetic.scenes import Scene, SceneObject, make_scene
from trackkit.trackers import bytetrack, load_tracker
from trackkit.trackers.bytetrack import ByteTracker, ByteTrackModel

INFO = VideoInfo(320, 240, 25.0, 60, 2.4)
BLANK = np.zeros((240, 320, 3), np.uint8)


def start(prompt: str, info: VideoInfo = INFO, **options: object) -> ByteTracker:
    return ByteTrackModel(TrackConfig.from_preset("color", prompt, **options)).start(info, StageClock())


def perfect(truth: GroundTruthFrame, label: str | None = None, min_area: int = 1) -> Detections:
    keep = np.flatnonzero(truth.masks.sum((1, 2)) >= min_area)
    labels = tuple(label or truth.labels[i] for i in keep)
    return Detections(truth.xyxy[keep], np.full(len(keep), 0.9, np.float32), labels, truth.masks[keep])


def boxes(*xyxy: Sequence[float], score: float = 0.9, label: str = "car") -> Detections:
    n = len(xyxy)
    array: Boxes = np.array(xyxy, np.float32).reshape(n, 4)
    return Detections(array, np.full(n, score, np.float32), (label,) * n)


def follow(
    tracker: ByteTracker, detections: Iterable[Detections | None], step: int = 1
) -> list[TrackedObjects]:
    tracked = []
    for i, each in enumerate(detections):
        frame = Frame(BLANK, i * step, i * step / 25)
        tracker.prepare([frame])
        (objects,) = tracker.update(frame, each)
        assert objects.frame is frame
        assert (np.diff(objects.obj_ids) > 0).all()
        assert (objects.obj_ids >= 1).all()
        tracked.append(objects)
    assert tracker.finish() == []
    return tracked


def ids_of_truth(scene: Scene, tracked: list[TrackedObjects]) -> dict[int, dict[int, list[int]]]:
    """For each true object: the ids that it was given, each with its frames."""
    given: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for (_, truth), objects in zip(iter_frames(scene), tracked, strict=True):
        for true_id, box in zip(truth.obj_ids, truth.xyxy, strict=True):
            for obj_id in objects.obj_ids[(objects.xyxy == box).all(axis=1)]:
                given[int(true_id)][int(obj_id)].append(truth.idx)
    return given


@pytest.mark.parametrize("seed", range(3))
def test_ids_stay_with_their_objects(seed: int) -> None:
    scene = make_scene(seed, num_objects=4, occlusion=False, entries_and_exits=False)
    tracked = follow(start("thing"), (perfect(truth, "thing") for _, truth in iter_frames(scene)))
    given = ids_of_truth(scene, tracked)
    assert {tuple(ids) for ids in given.values()} == {(1,), (2,), (3,), (4,)}
    assert all(frames == list(range(60)) for ids in given.values() for frames in ids.values())


def test_masks_areas_and_scores_are_those_of_the_detections() -> None:
    scene = make_scene(1, num_frames=5)
    _, truth = next(iter_frames(scene))
    (objects,) = follow(start(". ".join(truth.labels)), [perfect(truth)])
    assert objects.labels == truth.labels
    assert objects.detected.all()
    assert objects.scores.tolist() == pytest.approx([0.9] * len(truth.labels))
    assert objects.rles is not None
    for rle, area, mask in zip(objects.rles, objects.areas, truth.masks, strict=True):
        assert (decode_rle(rle, 240, 320) == mask).all()
        assert area == mask.sum()


def test_without_masks_there_are_boxes() -> None:
    (objects,) = follow(start("car"), [boxes([10, 20, 40, 30])])
    assert objects.rles is None
    assert objects.areas.tolist() == [300]


def test_an_object_keeps_its_id_and_course_while_it_is_hidden() -> None:
    hidden = range(20, 35)  # it moves on by more than its width meanwhile
    moving = [
        boxes([20 + 4 * i, 50, 60 + 4 * i, 90]) if i not in hidden else Detections.empty() for i in range(50)
    ]
    tracked = follow(start("car"), moving)
    assert [len(objects) for objects in tracked] == [i not in hidden for i in range(50)]
    assert {obj_id for objects in tracked for obj_id in objects.obj_ids.tolist()} == {1}


def test_what_enters_gets_a_new_id_and_what_left_is_gone() -> None:
    scene = make_scene(1, occlusion=False)
    # Slivers at the border overlap too little from frame to frame; no detector reports them.
    tracked = follow(start("thing"), (perfect(truth, "thing", 400) for _, truth in iter_frames(scene)))
    given = ids_of_truth(scene, tracked)
    assert {true_id: tuple(ids) for true_id, ids in given.items()} == {1: (1,), 2: (3,), 3: (2,)}
    assert min(given[2][3]) > 0
    assert max(given[3][2]) < 59


def test_what_was_gone_for_long_is_a_new_object() -> None:
    there, gone = boxes([10, 10, 60, 60]), Detections.empty()
    tracked = follow(start("car"), [*[there] * 5, *[gone] * 20, *[there] * 5, *[gone] * 40, *[there] * 5])
    assert [objects.obj_ids.tolist() for objects in tracked[::10]] == [[1], [], [], [], [], [], [], [2]]
    assert tracked[25].obj_ids.tolist() == [1]


def test_classes_share_the_count_but_no_tracks() -> None:
    both = Detections(
        np.array([[10, 10, 60, 60], [12, 10, 62, 60]], np.float32),
        np.array([0.9, 0.8], np.float32),
        ("dog", "cat"),
    )
    only_dog = boxes([11, 10, 61, 60], label="dog")
    tracked = follow(start("cat. dog"), [both, both, only_dog, both])
    for objects in tracked:
        assert (
            dict(zip(objects.labels, objects.obj_ids.tolist(), strict=True)).items()
            <= {"cat": 1, "dog": 2}.items()
        )
    assert [len(objects) for objects in tracked] == [2, 2, 1, 2]


def test_frames_without_detector_show_nothing_but_count_as_time() -> None:
    shapes = [SceneObject(i, "circle", "red", 20, ((0, 60, 60 * i), (59, 240, 60 * i))) for i in (1, 2, 3)]
    scene = Scene(320, 240, 60, 25.0, tuple(shapes))
    truths = [truth for _, truth in iter_frames(scene)]
    tracker = start("thing", detection_frequency=4)
    tracked = follow(tracker, (perfect(t, "thing") if t.idx % 4 == 0 else None for t in truths))
    assert [len(objects) for objects in tracked] == [3, 0, 0, 0] * 15
    assert {tuple(ids) for ids in ids_of_truth(scene, tracked).values()} == {(1,), (2,), (3,)}
    # Once a second is seldom: a track outlives two misses all the same.
    seldom = start("car", detection_frequency=25)
    there, gone = boxes([10, 10, 60, 60]), Detections.empty()
    tracked = follow(seldom, [there, there, gone, gone, there], step=25)
    assert [objects.obj_ids.tolist() for objects in tracked] == [[1], [1], [], [], [1]]


def test_weak_detections_carry_on_but_do_not_begin() -> None:
    box = [10, 10, 60, 60]
    weak, strong = boxes(box, score=0.37), boxes(box, score=0.5)
    tracked = follow(start("car", box_threshold=0.35), [weak, weak, strong, weak, weak])
    assert [objects.obj_ids.tolist() for objects in tracked] == [[], [], [1], [1], [1]]
    assert tracked[-1].scores[0] == np.float32(0.37)


@pytest.mark.parametrize("threshold", [0.0, 0.35, 1.0])
def test_scores_at_the_threshold_are_sound(threshold: float) -> None:
    for score in np.linspace(threshold, 1, 41, dtype=np.float32):
        follow(start("car", box_threshold=threshold), [boxes([10, 10, 60, 60], score=float(score))] * 2)


def test_ids_are_never_reused_and_memory_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    make_linker, linkers = bytetrack.Linker, []

    def watched(**options: float) -> bytetrack.Linker:
        linkers.append(make_linker(**options))
        return linkers[-1]

    monkeypatch.setattr(bytetrack, "Linker", watched)
    tracker = start("car. bus")
    assert len(linkers) == 2
    rng = np.random.default_rng(0)
    seen: dict[int, int] = {}
    alive = []
    for i in range(2000):
        corner = rng.uniform(0, 200, (2, 2)).astype(np.float32)
        scores = rng.uniform(0.35, 1, 2).astype(np.float32)
        found = Detections(np.hstack([corner, corner + 30]), scores, ("car", "bus"))
        (objects,) = tracker.update(Frame(BLANK, i, i / 25), found)
        for obj_id in objects.obj_ids.tolist():
            assert i - seen.get(obj_id, i) <= 26
            seen[obj_id] = i
        alive.append(sum(len(linker.tracks) for linker in linkers))
    assert len(seen) > 500
    assert min(alive) > 0
    assert max(alive[1000:]) <= max(alive[:1000]) + 10 < 80


def test_every_video_starts_afresh() -> None:
    model = ByteTrackModel(TrackConfig.from_preset("color", "car"))
    first, second = model.start(INFO, StageClock()), model.start(INFO, StageClock())
    there = boxes([10, 10, 60, 60], [100, 10, 160, 60])
    assert follow(first, [there])[0].obj_ids.tolist() == [1, 2]
    assert follow(second, [there])[0].obj_ids.tolist() == [1, 2]


def test_time_that_stands_still_does_no_harm() -> None:
    tracker = start("car")
    for time_s in (0.0, 0.04, 0.04, 0.02, 0.08):
        (objects,) = tracker.update(Frame(BLANK, 0, time_s), boxes([10, 10, 60, 60]))
        assert objects.obj_ids.tolist() == [1]


def ids_over_time(times: Sequence[float], places: Sequence[Sequence[float]], **options: object) -> set[int]:
    """The ids that squares of 24 pixels get at these times; ``places`` are their left edges."""
    rate = (len(times) - 1) / (times[-1] - times[0])
    tracker = start("car", VideoInfo(320, 240, rate, len(times), times[-1]), **options)
    ids = set[int]()
    for i, (time_s, lefts) in enumerate(zip(times, places, strict=True)):
        found = boxes(*([left, 50, left + 24, 74] for left in lefts))
        wanted = i % int(str(options.get("detection_frequency", 1))) == 0
        (objects,) = tracker.update(Frame(BLANK, i, time_s), found if wanted else None)
        ids.update(objects.obj_ids.tolist())
    return ids


@pytest.mark.parametrize("speed", [60, 150, 300])
@pytest.mark.parametrize("rest_s", [0.3, 0.6, 3.0, 60.0])
def test_unchanged_frames_that_were_left_out_change_no_id(speed: float, rest_s: float) -> None:
    """Two squares run for 0.4 s, rest, and so on; a recorder leaves out the frames that show nothing new."""
    times = [(rest_s + 0.4) * i + k / 25 for i in range(3) for k in range(11)]
    lefts = [10 + speed * (0.4 * i + k / 25) for i in range(3) for k in range(11)]
    assert ids_over_time(times, [(x, x + 40) for x in lefts]) == {1, 2}
    if speed == 60:
        assert ids_over_time(times, [(x, x + 40) for x in lefts], detection_frequency=2) == {1, 2}
    there_and_back = [*lefts[:11], *lefts[10::-1], *lefts[:11]]
    assert ids_over_time(times, [(x,) for x in there_and_back]) == {1}


@pytest.mark.parametrize("gap_s", [0.2, 0.5, 0.9])
def test_frames_that_were_lost_change_no_id(gap_s: float) -> None:
    """The objects went on meanwhile, by several times their width."""
    times = [i / 30 for i in range(90) if not 1 < i / 30 < 1 + gap_s]
    assert ids_over_time(times, [(200 * t, 200 * t + 30) for t in times]) == {1, 2}


def test_what_was_out_of_sight_over_a_pause_is_a_new_object() -> None:
    times = [i / 30 for i in range(30)] + [6 + i / 30 for i in range(30)]
    assert ids_over_time(times, [(50,) if not 25 <= i < 35 else () for i in range(60)]) == {1, 2}
    assert ids_over_time(times, [(50,)] * 60) == {1}
    # A short pause does not use up the patience.
    times = [i / 30 for i in range(30)] + [1.3 + i / 30 for i in range(30)]
    assert ids_over_time(times, [(50,) if not 25 <= i < 35 else () for i in range(60)]) == {1}


def test_a_rate_that_changes_for_good_is_followed() -> None:
    times = [i / 50 for i in range(50)] + [1 + i / 10 for i in range(50)] + [6 + i / 50 for i in range(50)]
    assert ids_over_time(times, [(10 + 40 * t,) for t in times]) == {1}


def test_three_cups_through_fifty_frames(shared_dir: Path) -> None:
    config = TrackConfig.from_preset("color", "red")
    detector, model = load_detector(config, "cpu"), load_tracker(config, "cpu")
    clock = StageClock()
    tracker = model.start(VideoInfo(1280, 720, 25.0, 50, 2.0), clock)
    with av.open(shared_dir / "videos" / "02_cups.mp4") as container:
        for i, decoded in zip(range(50), container.decode(video=0), strict=False):
            frame = Frame(decoded.to_ndarray(format="rgb24"), i, decoded.time)
            (objects,) = tracker.update(frame, detector.detect([frame.image])[0])
            assert objects.obj_ids.tolist() == [1, 2, 3]
    assert clock.seconds["encode"] > 0
