from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from small_models import MAX_TEXT_LEN, small_grounding_dino
from torchvision.ops import box_iou, nms
from transformers import BertTokenizerFast

from trackkit.config import TrackConfig
from trackkit.core.arrays import Image
from trackkit.core.errors import CheckpointError, ConfigError, PromptError
from trackkit.core.frames import Detections
from trackkit.detectors import load_detector
from trackkit.detectors.grounding_dino import detector as grounding_dino
from trackkit.detectors.grounding_dino.detector import SAME_CLASS_IOU, GroundingDinoDetector
from trackkit.detectors.grounding_dino.loading import load_model
from trackkit.detectors.grounding_dino.token_prompts import make_prompts

torch.set_num_threads(1)

CLASSES = ("Red Cup", "dog", "blue ball", "PERSON")
WIDTH, HEIGHT = 320, 180
DELIMITERS = (101, 102, 1012)

Make = Callable[..., GroundingDinoDetector]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No test looks at the hub; the cache is empty."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_grounding_dino(tmp_path_factory.mktemp("gd"))


@pytest.fixture
def broken(folder: Path, tmp_path: Path) -> Path:
    """A copy to be broken."""
    return shutil.copytree(folder, tmp_path / "broken")


@pytest.fixture(scope="module")
def loaded(folder: Path) -> tuple[Any, Any]:
    return load_model(str(folder))


@pytest.fixture(scope="module")
def make(loaded: tuple[Any, Any]) -> Make:
    """Detectors in float32 that share one model."""

    def make(*classes: str, **options: Any) -> GroundingDinoDetector:
        return GroundingDinoDetector(*loaded, TrackConfig(". ".join(classes), **options))

    return make


def load(folder: Path | str, *classes: str, **options: Any) -> GroundingDinoDetector:
    config = TrackConfig(". ".join(classes), detector_model=str(folder), **options)
    return GroundingDinoDetector.from_config(config, "cpu")


@pytest.fixture(scope="module")
def images() -> list[Image]:
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 255, (3, 9, 16, 3), dtype=np.uint8)
    return [np.kron(image, np.ones((20, 20, 1), np.uint8)) for image in blocks]


def by_transformers(
    loaded: tuple[Any, Any], images: Sequence[Image], classes: Sequence[str]
) -> tuple[Any, Any]:
    """What transformers' own processor and model make of it, given the labels as a list."""
    model, processor = loaded
    inputs = processor(images=list(images), text=[list(classes)] * len(images), return_tensors="pt")
    with torch.no_grad():
        return inputs, model(**inputs)


def phrases(input_ids: Sequence[int]) -> list[list[int]]:
    """The places of the tokens between the delimiters."""
    found: list[list[int]] = [[]]
    for place, token in enumerate(input_ids):
        if token in DELIMITERS:
            found.append([])
        else:
            found[-1].append(place)
    return [places for places in found if places]


def deviations(exact: Sequence[Detections], others: Sequence[Detections]) -> Any:
    """``(N, 2)``: how far score and box (pixels) are from those of the nearest box of the same label."""
    found = []
    for a, b in zip(exact, others, strict=True):
        for box, score, label in zip(a.xyxy, a.scores, a.labels, strict=True):
            same = np.array([name == label for name in b.labels])
            pixels = np.abs(b.xyxy[same] - box).max(1)
            found.append((abs(b.scores[same][pixels.argmin()] - score), pixels.min()))
    return np.array(found)


# ---------------------------------------------------------------- against transformers


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


def test_the_prompt_is_the_one_of_transformers(loaded: tuple[Any, Any]) -> None:
    processor = loaded[1]
    (prompt,) = make_prompts(CLASSES, processor.tokenizer, MAX_TEXT_LEN)
    theirs = processor(text=[list(CLASSES)], return_tensors="pt").input_ids[0].tolist()
    assert list(prompt.input_ids) == theirs
    assert [list(range(s.start, s.stop)) for s in prompt.spans] == phrases(theirs)


# ---------------------------------------------------------------- what comes out


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


# Medians: in any dtype two proposals that are nearly equal may swap their ranks, and so their queries.
@pytest.mark.parametrize(("dtype", "score", "pixels"), [("bf16", 0.012, 2.5), ("fp16", 0.002, 0.3)])
def test_reduced_dtypes_are_near_fp32(
    folder: Path, make: Make, images: list[Image], dtype: str, score: float, pixels: float
) -> None:
    exact = make("red cup", "dog", dtype="fp32").detect(images)
    reduced = load(folder, "red cup", "dog", dtype=dtype, box_threshold=0.2).detect(images)
    found = deviations(exact, reduced)
    assert len(found) > 20
    assert (np.median(found, 0) < [score, pixels]).all()
    assert (np.median(found, 0) > 0).all()


def test_auto_is_fp32_on_a_cpu(make: Make, images: list[Image]) -> None:
    auto, exact = (make("dog", dtype=dtype).detect(images) for dtype in ("auto", "fp32"))
    assert all(np.array_equal(a.xyxy, b.xyxy) for a, b in zip(auto, exact, strict=True))


# ---------------------------------------------------------------- prompts


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


def test_a_class_that_is_too_long(make: Make) -> None:
    with pytest.raises(PromptError, match=r"is 62 tokens long, GroundingDINO takes 61"):
        make("dog", " ".join(["red"] * 62))
    make("dog", " ".join(["red"] * 61))


@pytest.mark.parametrize("name", ["猫", "ж ж"])
def test_a_class_without_a_known_word(make: Make, name: str) -> None:
    with pytest.raises(PromptError, match="has no word that GroundingDINO knows") as error:
        make("dog", name)
    assert repr(name) in str(error.value)


def closed_tokenizer(*more: str) -> BertTokenizerFast:
    """Colours and shapes, and no letters to spell anything else with."""
    vocabulary = [f"[unused{i}]" for i in range(1100)]
    for token, place in {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}.items():
        vocabulary[place] = token
    words = ["red", "blue", "circle", "square", "object", *more]
    vocabulary[110 : 110 + len(words)] = words
    return BertTokenizerFast(vocab={token: place for place, token in enumerate(vocabulary)})


def test_a_closed_vocabulary_refuses_every_class_with_an_unknown_word() -> None:
    tokenizer = closed_tokenizer()
    prompts = make_prompts(["Red circle", "blue object", "red?"], tokenizer, MAX_TEXT_LEN)
    assert prompts[0].input_ids == (101, 110, 112, 1012, 111, 114, 1012, 110, 1012, 102)
    with pytest.raises(PromptError) as error:
        make_prompts(["red circle", "Tiny red Zebra", "car"], tokenizer, MAX_TEXT_LEN)
    message = str(error.value)
    assert "class 'Tiny red Zebra' has words that this GroundingDINO does not know: Tiny, Zebra." in message
    assert "It knows red, blue, circle, square, object." in message
    assert "IDEA-Research/grounding-dino-base" in message


def test_word_endings_do_not_open_a_vocabulary() -> None:
    tokenizer = closed_tokenizer("##s", "a")
    make_prompts(["red circles", "a square"], tokenizer, MAX_TEXT_LEN)
    with pytest.raises(
        PromptError, match=r"does not know: cubes\. It knows red, blue, circle, square, object\."
    ):
        make_prompts(["red cubes"], tokenizer, MAX_TEXT_LEN)


def test_a_vocabulary_with_letters_spells_unknown_words_out(loaded: tuple[Any, Any]) -> None:
    tokenizer = loaded[1].tokenizer
    (prompt,) = make_prompts(["red zebra", "red 猫"], tokenizer, MAX_TEXT_LEN)
    spelled, known = (tokenizer.convert_ids_to_tokens(prompt.input_ids[span]) for span in prompt.spans)
    assert spelled == ["red", "z", "##e", "##b", "##r", "##a"]
    assert known == ["red", "[UNK]"]  # one known word is enough


def test_delimiters_within_a_class_do_not_split_it(make: Make, images: list[Image]) -> None:
    odd = make("red? cup?", "dog").detect(images)
    plain = make("red cup", "dog").detect(images)
    for a, b in zip(odd, plain, strict=True):
        assert a.labels == tuple("red? cup?" if name == "red cup" else name for name in b.labels)
        np.testing.assert_array_equal(a.xyxy, b.xyxy)


# ---------------------------------------------------------------- loading


def test_no_such_folder_or_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no folder, nor a hub name such as 'IDEA-Research/"):
        load(tmp_path / "absent", "dog")


def test_a_hub_name_without_network_says_what_to_run() -> None:
    with pytest.raises(CheckpointError) as error:
        load("IDEA-Research/grounding-dino-base", "dog")
    message = str(error.value)
    assert (
        "run `hf download IDEA-Research/grounding-dino-base --exclude '*.bin' --local-dir ground" in message
    )
    assert "HF_HUB_OFFLINE is set" in message
    assert "--preset color" in message
    assert "--preset mini" in message
    assert pickle.loads(pickle.dumps(error.value)).args == error.value.args


def test_a_hub_name_in_the_cache_needs_no_network(folder: Path, offline: Path, images: list[Image]) -> None:
    repository = offline / "models--someone--model"
    shutil.copytree(folder, repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert len(load("someone/model", "dog").detect(images[:1])[0]) > 0


def test_a_home_folder_is_expanded(
    folder: Path, images: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    (found,) = load(f"~/{folder.name}", "dog").detect(images[:1])
    (expected,) = load(folder, "dog").detect(images[:1])
    assert len(found) > 0
    np.testing.assert_array_equal(found.xyxy, expected.xyxy)


def test_the_registry_loads_it(folder: Path, images: list[Image]) -> None:
    detector = load_detector(TrackConfig("dog", detector_model=str(folder)), "cpu")
    assert len(detector.detect(images[:1])) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("model.safetensors", "no file named model.safetensors"),
        ("config.json", "Unrecognized model"),
        ("processor_config.json", "image processor"),
        ("tokenizer.json", "its tokenizer files are missing"),
    ],
)
def test_a_missing_file(broken: Path, name: str, reason: str) -> None:
    (broken / name).unlink()
    with pytest.raises(CheckpointError, match=reason) as error:
        load_model(str(broken))
    assert "fetch the whole folder again" in str(error.value)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "processor_config.json", "tokenizer.json"]
)
@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_a_cut_file(broken: Path, name: str, part: float) -> None:
    data = (broken / name).read_bytes()
    (broken / name).write_bytes(data[: int(len(data) * part)])
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load_model(str(broken))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "bert"}, "it holds a 'bert' model"),
        ({"model_type": "owlvit"}, "it holds a 'owlvit' model"),
        ({"model_type": "of-tomorrow"}, "of-tomorrow"),
        ({"model_type": "odd", "auto_map": {"AutoConfig": "evil.Evil"}}, "custom code"),
        ({"d_model": "many"}, "d_model"),
        ({"num_queries": 21}, "weights are missing or of another size"),
    ],
)
def test_another_architecture(broken: Path, changes: dict[str, Any], reason: str) -> None:
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(CheckpointError, match=reason):
        load_model(str(broken))


def test_weights_that_are_missing(broken: Path) -> None:
    weights = load_file(broken / "model.safetensors")
    del weights["model.level_embed"]
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"1 weights are missing .* model\.level_embed"):
        load_model(str(broken))


def test_weights_that_are_not_numbers(broken: Path, images: list[Image]) -> None:
    weights = load_file(broken / "model.safetensors")
    weights["model.level_embed"][:] = torch.nan
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match="gave NaN"):
        load(broken, "dog").detect(images)


def test_pickled_weights_are_refused_unopened(broken: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    (broken / "model.safetensors").unlink()
    (broken / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CheckpointError, match="pickled"):
        load_model(str(broken))
    assert not (tmp_path / "sprung").exists()


# ---------------------------------------------------------------- trained weights, real frames


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
