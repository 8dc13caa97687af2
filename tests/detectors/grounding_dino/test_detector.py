"""GroundingDINO finds what transformers finds with it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from dino_detectors import CLASSES, DELIMITERS, Make, deviations, load, phrases
from small_models import MAX_TEXT_LEN
from torchvision.ops import box_iou, nms

from trackkit.core.arrays import Image
from trackkit.detectors.grounding_dino import detector as grounding_dino
from trackkit.detectors.grounding_dino.detector import SAME_CLASS_IOU
from trackkit.detectors.grounding_dino.loading import load_model
from trackkit.detectors.grounding_dino.token_prompts import make_prompts

torch.set_num_threads(1)


WIDTH, HEIGHT = 320, 180


def by_transformers(
    loaded: tuple[Any, Any], images: Sequence[Image], classes: Sequence[str]
) -> tuple[Any, Any]:
    """What transformers' own processor and model make of it, given the labels as a list."""
    model, processor = loaded
    inputs = processor(images=list(images), text=[list(classes)] * len(images), return_tensors="pt")
    with torch.no_grad():
        return inputs, model(**inputs)


@pytest.mark.parametrize("threshold", [0.35, 0.6])
def test_one_class_gives_the_boxes_and_scores_of_transformers(
    loaded: tuple[Any, Any], make: Make, images: list[Image], threshold: float
) -> None:
    ours = make("red cup", box_threshold=threshold).detect(images)

    inputs, outputs = by_transformers(loaded, images, ["red cup"])
    # Random weights fire on delimiters, too; trained ones do not.
    outputs.logits[..., [i for i, t in enumerate(inputs.input_ids[0]) if t in DELIMITERS]] = -torch.inf
    theirs = loaded[1].post_process_grounded_object_detection(
        outputs, threshold=threshold, text_threshold=0.25, target_sizes=[(HEIGHT, WIDTH)] * len(images)
    )
    for our, their in zip(ours, theirs, strict=True):
        boxes = torch.minimum(their["boxes"].clamp(min=0), torch.tensor([WIDTH, HEIGHT] * 2))
        keep = nms(boxes, their["scores"], SAME_CLASS_IOU)
        assert len(our) == len(keep) > 2
        np.testing.assert_allclose(our.xyxy, boxes[keep], atol=1e-3)
        np.testing.assert_allclose(our.scores, their["scores"][keep], atol=1e-5)


def test_several_classes_follow_the_documented_rule(
    loaded: tuple[Any, Any], make: Make, images: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Random boxes seldom coincide.
    same_class_iou, any_class_iou = 0.15, 0.3
    monkeypatch.setattr(grounding_dino, "SAME_CLASS_IOU", same_class_iou)
    monkeypatch.setattr(grounding_dino, "ANY_CLASS_IOU", any_class_iou)
    ours = make(*CLASSES).detect(images)

    inputs, outputs = by_transformers(loaded, images, CLASSES)
    spans = phrases(inputs.input_ids[0].tolist())
    assert len(spans) == len(CLASSES)
    dropped = {True: 0, False: 0}  # by a better box of the same class, of another one
    for our, logits, boxes in zip(ours, outputs.logits, outputs.pred_boxes, strict=True):
        candidates: list[tuple[float, str, list[float]]] = []
        for row, (cx, cy, w, h) in zip(logits.sigmoid().tolist(), boxes.tolist(), strict=True):
            named = []
            for name, span in zip(CLASSES, spans, strict=True):
                heard = [row[i] if row[i] > 0.25 else 0.0 for i in span]
                if max(heard) > 0.35:
                    named.append((sum(heard) / len(heard), max(heard), name))
            if named:
                _, score, name = max(named)
                x1, y1, x2, y2 = cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2
                box = [WIDTH * max(x1, 0), HEIGHT * max(y1, 0), WIDTH * min(x2, 1), HEIGHT * min(y2, 1)]
                candidates.append((score, name, box))
        kept: list[tuple[float, str, list[float]]] = []
        for score, name, box in sorted(candidates, reverse=True):
            better = [
                name == label
                for _, label, other in kept
                if box_iou(torch.tensor([box]), torch.tensor([other])).item()
                > (same_class_iou if name == label else any_class_iou)
            ]
            if better:
                dropped[any(better)] += 1
            else:
                kept.append((score, name, box))
        assert our.labels == tuple(name for _, name, _ in kept)
        np.testing.assert_allclose(our.scores, [score for score, _, _ in kept], atol=1e-5)
        np.testing.assert_allclose(our.xyxy, [box for _, _, box in kept], atol=1e-3)
    assert min(dropped.values()) > 0
    assert len({name for our in ours for name in our.labels}) > 2


def test_a_batch_equals_single_images(make: Make, images: list[Image]) -> None:
    detector = make(*CLASSES)
    for one, image in zip(detector.detect(images), images, strict=True):
        (alone,) = detector.detect([image])
        assert one.labels == alone.labels
        assert len(one) > 2
        np.testing.assert_allclose(one.scores, alone.scores, atol=1e-4)
        np.testing.assert_allclose(one.xyxy, alone.xyxy, atol=1e-2)
    assert detector.detect([]) == []


def test_detections_keep_the_contract(make: Make, images: list[Image]) -> None:
    for found in make(*CLASSES, box_threshold=0.1, text_threshold=0.1).detect(images):
        assert len(found) > 5
        assert found.xyxy.dtype == found.scores.dtype == np.float32
        assert set(found.labels) <= set(CLASSES)
        assert (np.diff(found.scores) <= 0).all()
        assert (found.xyxy[:, 2:] > found.xyxy[:, :2]).all()
        assert (found.xyxy >= 0).all()
        assert (found.xyxy <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()
        assert found.masks is None


def test_boxes_are_in_pixels_of_the_image_given(make: Make, images: list[Image]) -> None:
    """The model sees both at its own size: the boxes of the doubled image are twice as large."""
    detector = make("red cup")
    small = detector.detect(images[:1])[0]
    large = detector.detect([images[0].repeat(2, 0).repeat(2, 1)])[0]
    assert len(small) > 2
    np.testing.assert_allclose(large.xyxy[0], 2 * small.xyxy[0], atol=16)


def test_a_read_only_frame_is_fine(make: Make, images: list[Image]) -> None:
    frame = images[0].copy()
    frame.flags.writeable = False
    assert len(make("dog").detect([frame])[0]) > 0


def test_thresholds(make: Make, images: list[Image]) -> None:
    def scores(**options: float) -> list[float]:
        return [float(s) for one in make("red cup", **options).detect(images) for s in one.scores]

    low, high = scores(box_threshold=0.3), scores(box_threshold=0.7)
    assert 0 < len(high) < len(low)
    assert high == [s for s in low if s > 0.7]
    # A text threshold below the box threshold changes labels, not boxes; above it, it bounds the score.
    assert scores(box_threshold=0.3, text_threshold=0.0) == low
    assert scores(box_threshold=0.3, text_threshold=0.7) == high
    assert scores(box_threshold=1.0) == []


def test_the_text_threshold_silences_weak_words(make: Make, images: list[Image]) -> None:
    def labels(text_threshold: float) -> list[tuple[str, ...]]:
        detector = make("red cup", "green ball", "blue dog", text_threshold=text_threshold)
        return [found.labels for found in detector.detect(images)]

    assert labels(0.0) != labels(0.34)


def test_classes_that_do_not_fit_one_prompt_take_several(
    loaded: tuple[Any, Any], make: Make, images: list[Image]
) -> None:
    colors = ("red", "green", "blue", "yellow")
    classes = [f"{a} {b} {c}" for a in colors for b in colors for c in ("cup", "ball")]
    prompts = make_prompts(classes, loaded[1].tokenizer, MAX_TEXT_LEN)
    assert [prompt.first for prompt in prompts] == [0, 15, 30]
    assert max(len(prompt.input_ids) for prompt in prompts) <= MAX_TEXT_LEN

    (together,) = make(*classes).detect(images[:1])
    parts = [make(*classes[a : a + 15]).detect(images[:1])[0] for a in (0, 15, 30)]
    known = {
        (label, tuple(box.round(1)))
        for part in parts
        for label, box in zip(part.labels, part.xyxy, strict=True)
    }
    assert {
        (label, tuple(box.round(1))) for label, box in zip(together.labels, together.xyxy, strict=True)
    } <= known
    assert together.scores[0] == pytest.approx(max(part.scores[0] for part in parts), abs=1e-5)
    assert {classes.index(label) // 15 for label in together.labels} == {0, 1, 2}


def test_delimiters_within_a_class_do_not_split_it(make: Make, images: list[Image]) -> None:
    odd = make("red? cup?", "dog").detect(images)
    plain = make("red cup", "dog").detect(images)
    for a, b in zip(odd, plain, strict=True):
        assert a.labels == tuple("red? cup?" if name == "red cup" else name for name in b.labels)
        np.testing.assert_array_equal(a.xyxy, b.xyxy)


def test_trained_weights_find_the_three_cups(shared_dir: Path) -> None:
    folder = shared_dir / "prototypes" / "mini" / "checkpoints" / "gd_d"
    with av.open(str(shared_dir / "videos" / "02_cups.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in islice(video.decode(video=0), 12)]
    exact = load(folder, "Red object", box_threshold=0.3).detect(frames)
    found = exact[5]
    assert found.labels == ("Red object",) * 3
    np.testing.assert_allclose(found.scores, [0.81, 0.51, 0.40], atol=0.03)
    cups = [(912, 415), (352, 98), (655, 415)]  # their middles, read off the picture
    for (x1, y1, x2, y2), (x, y) in zip(found.xyxy, cups, strict=True):
        assert x1 < x < x2
        assert y1 < y < y2

    # Trained weights do not fire on delimiters: as it comes out of transformers.
    loaded = load_model(str(folder))
    _, outputs = by_transformers(loaded, frames[5:6], ["red object"])
    (theirs,) = loaded[1].post_process_grounded_object_detection(
        outputs, threshold=0.3, target_sizes=[frames[5].shape[:2]]
    )
    keep = nms(theirs["boxes"], theirs["scores"], SAME_CLASS_IOU)
    np.testing.assert_allclose(found.scores, theirs["scores"][keep], atol=1e-4)
    np.testing.assert_allclose(found.xyxy, theirs["boxes"][keep].clamp(min=0), atol=0.05)

    for dtype in ("bf16", "fp16"):
        reduced = load(folder, "Red object", box_threshold=0.2, dtype=dtype).detect(frames)
        found_deviations = deviations(exact, reduced)
        assert len(found_deviations) > 20
        assert (np.median(found_deviations, 0) < [0.008, 3]).all()


@pytest.mark.parametrize(
    "shape", [(8, 8192), (8192, 8), (1, 16384), (2, 3000), (1, 1), (5, 1200), (16, 4000)]
)
def test_strips_can_be_seen(make: Make, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    (found,) = make("red cup", "dog", box_threshold=0.01).detect([image])
    assert ((found.xyxy >= 0) & (found.xyxy <= [*shape[::-1]] * 2)).all()
