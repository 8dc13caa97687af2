"""The engine against the stock SAM2VideoPredictor, and against itself."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_sam2 as small
import torch
from small_sam2 import HEIGHT, WIDTH

from trackkit.trackers.by_mask.prompts import BoxPrompt, MaskPrompt, PointPrompt
from trackkit.trackers.sam2.engine import Sam2Engine
from trackkit.trackers.sam2.memory import ObjectMemory, Recall, StockSelector
from trackkit.trackers.sam2.samurai import SamuraiSelector
from trackkit.trackers.sam2.stages import Sam2Stages

SIZE = (HEIGHT, WIDTH)
NUM_FRAMES = 22  # all memory slots of an object are full after 16
# Float32 noise of another batch size: the largest that was seen is 6e-6, at a standard deviation of 0.6 to 2.
# The controls below show what a real difference is.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def model() -> Any:
    return small.build_stock()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[np.ndarray]]:
    folder = tmp_path_factory.mktemp("clip")
    return folder, small.write_clip(folder, NUM_FRAMES)


@pytest.fixture(scope="module")
def one_box(model: Any, clip: Any) -> dict[Any, torch.Tensor]:
    """What the stock predictor gives for the case that several tests use."""
    return stock(model, clip, CASES["one box"])


CASES: dict[str, list[tuple[int, Any]]] = {
    "one box": [(0, BoxPrompt(1, small.box(0, 0)))],
    "one mask": [(0, MaskPrompt(1, small.mask(1, 0)))],
    "one click": [(0, PointPrompt(1, [[WIDTH * 0.4, HEIGHT * 0.5]], [1]))],
    "two clicks": [(0, PointPrompt(1, [[WIDTH * 0.4, HEIGHT * 0.5], [5, 5]], [1, 0]))],
    "three boxes": [(0, BoxPrompt(k + 1, small.box(k, 0))) for k in range(3)],
    "at 0, 5 and 9": [
        (0, BoxPrompt(1, small.box(0, 0))),
        (5, MaskPrompt(2, small.mask(1, 5))),
        (9, BoxPrompt(3, small.box(2, 9))),
    ],
    "prompted again": [
        (0, BoxPrompt(1, small.box(0, 0))),
        (3, MaskPrompt(2, small.mask(2, 3))),
        (12, BoxPrompt(1, small.box(0, 12))),
    ],
}


def stock(
    model: Any, clip: tuple[Path, list[np.ndarray]], prompts: list[tuple[int, Any]]
) -> dict[Any, torch.Tensor]:
    """Each object alone in the stock predictor: (object, frame) to logits."""
    folder, frames = clip
    out = {}
    with small.fp32_store():
        for obj_id in {p.obj_id for _, p in prompts}:
            own = [(t, p) for t, p in prompts if p.obj_id == obj_id]
            out.update({(obj_id, t): x for t, x in small.run_stock(model, folder, len(frames), own).items()})
    return out


def engine(model: Any, **options: Any) -> Sam2Engine:
    return Sam2Engine(model, SIZE, **{"mem_dtype": torch.float32, "capacity": 1, **options})


def difference(a: dict[Any, torch.Tensor], b: dict[Any, torch.Tensor]) -> float:
    """Largest difference over the keys of ``a``."""
    return max((a[key] - b[key]).abs().max().item() for key in a)


@pytest.mark.parametrize("case", CASES)
def test_logits_equal_the_stock_predictor(model: Any, clip: Any, case: str) -> None:
    prompts = CASES[case]
    expected = stock(model, clip, prompts)
    assert torch.stack(list(expected.values())).std() > 0.5  # not all occluded, not all alike
    ages_differ = len({t for t, _ in prompts}) > 1
    for attention in ("auto", "cohort", "padded") if ages_differ else ("auto", "padded"):
        got = small.run_engine(engine(model, attention=attention), clip[1], prompts)
        assert difference(expected, got) < TOLERANCE, attention


def test_clicks_on_a_tracked_frame_equal_the_stock_predictor(
    model: Any, clip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refined mask, and what is tracked from it when the frame counts as a conditioning frame."""
    monkeypatch.setattr(model, "add_all_frames_to_correct_as_cond", True)
    folder, frames = clip
    clicks = PointPrompt(1, [[WIDTH * 0.25, HEIGHT * 0.5], [WIDTH * 0.4, HEIGHT * 0.4]], [1, 0])
    expected = {}
    with small.fp32_store(), small.no_progress_bars():
        state = model.init_state(str(folder))
        model.add_new_points_or_box(state, 0, 1, box=np.array(small.box(0, 0)))
        for _ in model.propagate_in_video(state, start_frame_idx=0, max_frame_num_to_track=9):
            pass
        _, _, refined = model.add_new_points_or_box(state, 9, 1, points=clicks.points, labels=clicks.labels)
        expected[9] = refined[0, 0].clone()
        for t, _, logits in model.propagate_in_video(state, start_frame_idx=9, max_frame_num_to_track=5):
            expected[t] = logits[0, 0].clone()
    tracker = engine(model)
    for t, image in enumerate(frames[:15]):
        (features,) = tracker.encode([image])
        got = tracker.propagate(features, [clicks] if t == 9 else [])
        if t == 0:
            tracker.condition(features, [BoxPrompt(1, small.box(0, 0))])
        if t >= 9:
            assert (got.logits()[0, 0] - expected[t]).abs().max() < TOLERANCE, t


def test_objects_of_three_ages_in_batches_of_two(model: Any, clip: Any) -> None:
    prompts = CASES["at 0, 5 and 9"]
    whole = small.run_engine(engine(model), clip[1], prompts)
    assert difference(whole, small.run_engine(engine(model, max_batch=2), clip[1], prompts)) < TOLERANCE


@pytest.mark.gpu
def test_memories_on_the_host(model: Any, clip: Any, require_gpu: None) -> None:
    prompts, there = CASES["at 0, 5 and 9"], copy.deepcopy(model).to("cuda")
    whole = small.run_engine(engine(there), clip[1], prompts)
    before = torch.cuda.memory_allocated()
    on_host = engine(there, bank_device="cpu", max_batch=2, capacity=64)
    assert torch.cuda.memory_allocated() - before < on_host.memory_nbytes / 8  # the bank is not there
    assert difference(whole, small.run_engine(on_host, clip[1], prompts)) < TOLERANCE


class OneMapLess(StockSelector):
    def recent_maps(self, memory: ObjectMemory, now: int) -> list[tuple[int, int]]:
        return super().recent_maps(memory, now)[1:]


class PointersOffByOne(StockSelector):
    def recent_pointers(self, memory: ObjectMemory, now: int) -> list[tuple[int, int]]:
        return [(age + 1, slot) for age, slot in super().recent_pointers(memory, now)]


@pytest.mark.parametrize(("selector", "least"), [(OneMapLess, 1e-1), (PointersOffByOne, 5e-3)])
def test_controls_differ(
    model: Any, clip: Any, one_box: dict[Any, torch.Tensor], selector: type[StockSelector], least: float
) -> None:
    got = small.run_engine(engine(model, memory=selector()), clip[1], CASES["one box"])
    assert difference(one_box, got) > least > 10 * TOLERANCE


def test_no_drift_over_120_frames(model: Any, tmp_path: Path) -> None:
    clip = tmp_path, small.write_clip(tmp_path, 120)
    prompts = [(7, BoxPrompt(2, small.box(1, 7)))]
    got = small.run_engine(engine(model), clip[1], prompts)
    assert difference(stock(model, clip, prompts), got) < TOLERANCE


def test_one_goes_and_another_takes_its_row(model: Any, clip: Any) -> None:
    prompts = [
        (0, BoxPrompt(1, small.box(0, 0))),
        (0, BoxPrompt(2, small.box(1, 0))),
        (7, MaskPrompt(3, small.mask(2, 7))),
        (14, BoxPrompt(4, small.box(3, 14))),
    ]
    tracker = engine(model, capacity=3)
    size = tracker.memory_nbytes
    got = small.run_engine(tracker, clip[1], prompts, removals={2: 12})
    assert tracker.obj_ids == [1, 3, 4]
    assert tracker.memory_nbytes == size  # object 4 lies where object 2 was
    assert max(t for obj_id, t in got if obj_id == 2) == 11
    expected = stock(model, clip, [(t, p) for t, p in prompts if p.obj_id != 2])
    assert difference(expected, got) < TOLERANCE


def test_removal_and_prompts_do_not_touch_others(model: Any, clip: Any) -> None:
    frames = clip[1][:20]
    both = [(0, BoxPrompt(1, small.box(0, 0))), (0, BoxPrompt(2, small.box(1, 0)))]
    undisturbed = small.run_engine(engine(model), frames, both)
    more = [*both, (9, BoxPrompt(3, small.box(2, 9))), (12, BoxPrompt(2, small.box(1, 12)))]
    disturbed = small.run_engine(engine(model), frames, more, removals={2: 15})
    of_first = {key: x for key, x in undisturbed.items() if key[0] == 1}
    assert difference(of_first, disturbed) < 2e-5  # rounding of another batch size
    alone = small.run_engine(engine(model), frames, both[:1])
    assert difference(of_first, alone) < 2e-5


def test_same_batch_with_another_companion_is_bitwise_equal(model: Any, clip: Any) -> None:
    frames = clip[1][:12]
    first = (0, BoxPrompt(1, small.box(0, 0)))
    a = small.run_engine(engine(model, capacity=2), frames, [first, (0, BoxPrompt(2, small.box(1, 0)))])
    b = small.run_engine(engine(model, capacity=2), frames, [first, (0, BoxPrompt(2, small.box(3, 0)))])
    assert all(torch.equal(a[1, t], b[1, t]) for t in range(12))
    assert not torch.equal(a[2, 11], b[2, 11])


def test_encoding_ahead_changes_nothing(model: Any, clip: Any) -> None:
    tracker = engine(model)
    for single, batched in zip(
        [tracker.encode([frame])[0] for frame in clip[1][:8]], tracker.encode(clip[1][:8]), strict=True
    ):
        for a, b in zip((single.top, *single.high_res), (batched.top, *batched.high_res), strict=True):
            assert (a - b).abs().max() < 1e-5


def test_memory_does_not_grow_with_frames(model: Any, clip: Any) -> None:
    entries: set[tuple[int, int, int]] = set()

    class Watched(StockSelector):
        def recall(self, memory: ObjectMemory, now: int) -> Recall:
            entries.add((len(memory.maps), len(memory.pointers), len(memory.conditioning)))
            return super().recall(memory, now)

    tracker = engine(model, capacity=2, memory=Watched())
    sizes = set()
    for t in range(60):
        features = tracker.encode([clip[1][t % NUM_FRAMES]])[0]
        tracker.propagate(features)
        if t % 10 == 0 and t <= 40:
            tracker.condition(features, [BoxPrompt(k, small.box(k, 0)) for k in (0, 1)])
        sizes.add(tracker.memory_nbytes)
    assert len(sizes) == 1
    assert [max(counts) for counts in zip(*entries, strict=True)] == [6, 15, 2]


def test_rows_grow_by_doubling(model: Any, clip: Any) -> None:
    prompts = [(t, BoxPrompt(t, small.box(t % 4, t))) for t in range(5)]
    tracker = engine(model, capacity=1)
    got = small.run_engine(tracker, clip[1][:10], prompts)
    assert tracker.memory_nbytes == 8 * engine(model).memory_nbytes
    assert difference(got, small.run_engine(engine(model, capacity=8), clip[1][:10], prompts)) == 0


def test_samurai_without_thresholds_is_stock(model: Any, clip: Any) -> None:
    prompts = CASES["three boxes"]
    off = float("-inf")
    selector = SamuraiSelector(motion_weight=0.0, min_iou=off, min_score=off, min_motion=off, capacity=1)
    plain = small.run_engine(engine(model), clip[1], prompts)
    assert difference(plain, small.run_engine(engine(model, memory=selector), clip[1], prompts)) == 0


def test_samurai_remembers_good_frames_only(model: Any, clip: Any) -> None:
    prompts = CASES["one box"]
    plain = engine(model)
    results = []
    for frame in clip[1]:
        features = plain.encode([frame])[0]
        results.append(plain.propagate(features))
        plain.condition(features, [p for t, p in prompts if t == len(results) - 1])
    middle = float(torch.cat([r.ious for r in results]).median())
    seen: dict[int, dict[int, float]] = {}  # frame to the frames that are remembered then, and their IoUs

    class Watched(SamuraiSelector):
        def recall(self, memory: ObjectMemory, now: int) -> Recall:
            seen[now] = {t: memory.seen[t].iou for t in memory.maps}
            return super().recall(memory, now)

    tracker = engine(model, memory=Watched(min_iou=middle, capacity=1))
    small.run_engine(tracker, [*clip[1], clip[1][-1]], prompts)
    remembered = seen[NUM_FRAMES]
    assert len(remembered) == 6
    assert all(iou > middle for t, iou in remembered.items() if t < NUM_FRAMES - 1)
    assert min(remembered) < NUM_FRAMES - 6  # older than stock would keep
    by_name = engine(model, memory="samurai")
    assert small.run_engine(by_name, clip[1][:4], prompts).keys() == {(1, t) for t in range(4)}


def test_bfloat16_follows_stock_under_autocast(model: Any, clip: Any) -> None:
    folder, frames = clip
    prompts = CASES["one box"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = small.run_stock(model, folder, len(frames), prompts)
    got = small.run_engine(
        Sam2Engine(Sam2Stages(small.build_stock(), dtype=torch.bfloat16), SIZE), frames, prompts
    )
    assert torch.equal(expected[0].float(), got[1, 0])
    # Here every frame is equal to the bit; elsewhere another kernel may round another way.
    assert max((expected[t].float() - got[1, t]).abs().mean().item() for t in expected) < 1e-3


def test_weights_held_in_bfloat16_equal_autocast(clip: Any) -> None:
    prompts = CASES["three boxes"]
    held = Sam2Stages(small.build_stock(), dtype=torch.bfloat16)
    cast = Sam2Stages(small.build_stock(), dtype=torch.bfloat16)
    cast.model.float().load_state_dict(small.build_stock().state_dict())  # as it was before it was held
    assert held.model.obj_ptr_proj.layers[0].weight.dtype == torch.bfloat16
    assert cast.model.obj_ptr_proj.layers[0].weight.dtype == torch.float32
    a, b = (small.run_engine(Sam2Engine(stages, SIZE), clip[1][:8], prompts) for stages in (held, cast))
    assert difference(a, b) == 0


def test_half_precision_runs(clip: Any) -> None:
    stages = Sam2Stages(small.build_stock(), dtype=torch.float16)
    got = small.run_engine(Sam2Engine(stages, SIZE), clip[1][:4], CASES["three boxes"])
    assert all(x.isfinite().all() for x in got.values())


def test_first_frame_without_objects(model: Any, clip: Any) -> None:
    tracker = engine(model)
    features = tracker.encode(clip[1][:1])[0]
    nothing = tracker.propagate(features)
    assert len(nothing) == 0
    assert nothing.masks().shape == (0, HEIGHT, WIDTH)
    assert len(tracker.condition(features, [])) == 0
    assert tracker.encode([]) == []


def test_results_come_in_the_order_of_the_prompts(model: Any, clip: Any) -> None:
    tracker = engine(model)
    features = tracker.encode(clip[1][:1])[0]
    tracker.propagate(features)
    prompts = [BoxPrompt(7, small.box(0, 0)), MaskPrompt(3, small.mask(1, 0)), BoxPrompt(5, small.box(2, 0))]
    born = tracker.condition(features, prompts)
    assert born.obj_ids == [7, 3, 5]
    overlap = (born.masks()[1] & small.mask(1, 0)).sum() / small.mask(1, 0).sum()
    assert overlap > 0.8  # a mask prompt comes back as it went in
    assert born.ious[1] == 1


def test_mistakes_are_named(model: Any, clip: Any) -> None:
    tracker = engine(model)
    first, second = tracker.encode(clip[1][:2])
    with pytest.raises(ValueError, match="call propagate"):
        tracker.condition(first, [BoxPrompt(1, small.box(0, 0))])
    tracker.propagate(first)
    with pytest.raises(ValueError, match="call propagate"):
        tracker.condition(second, [BoxPrompt(1, small.box(0, 0))])
    with pytest.raises(ValueError, match="at most one"):
        tracker.condition(first, [BoxPrompt(1, small.box(0, 0)), BoxPrompt(1, small.box(1, 0))])
    with pytest.raises(ValueError, match="size of the video"):
        tracker.condition(first, [MaskPrompt(1, np.zeros((4, 4), bool))])
    with pytest.raises(ValueError, match="size of the video"):
        tracker.encode([np.zeros((4, 4, 3), np.uint8)])
    assert tracker.obj_ids == []
    with pytest.raises(KeyError):
        tracker.remove(1)
