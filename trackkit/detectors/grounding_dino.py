"""GroundingDINO through ``transformers``: boxes for whatever the prompt names, with nothing to compile.

Model: Liu et al., "Grounding DINO: Marrying DINO with Grounded Pre-Training for Open-Set Object Detection",
https://arxiv.org/abs/2303.05499.
"""

from __future__ import annotations

import logging
import string
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torchvision.ops import batched_nms, box_convert, clip_boxes_to_image, nms
from transformers import AutoConfig, AutoModelForZeroShotObjectDetection, AutoProcessor
from transformers.utils.logging import disable_progress_bar

from trackkit.config import TrackConfig
from trackkit.detector_checkpoints import fetch_detector, how_to_get_detector
from trackkit.errors import CheckpointError, ConfigError, PromptError
from trackkit.precision import compute_dtype
from trackkit.releases import detector_name
from trackkit.shipped import DETECTOR_MINI
from trackkit.structures import Detections, Image

logger = logging.getLogger(__name__)

MODEL_TYPES = ("grounding-dino", "mm-grounding-dino")
RELEASED_MODEL = "IDEA-Research/grounding-dino-base"

# Two boxes of one class that overlap so far are one object; of two classes they must all but coincide, since
# a pizza and its plate, or a hand and its glove, are two things that the user asked for.
SAME_CLASS_IOU = 0.7
ANY_CLASS_IOU = 0.9

# The ids are written into the model: these tokens part the phrases of a prompt from each other.
_PAD, _CLS, _SEP, _PERIOD, _QUESTION_MARK = 0, 101, 102, 1012, 1029
_DELIMITERS = {_PAD, _CLS, _SEP, _PERIOD, _QUESTION_MARK}

# What transformers was seen to raise over files that are missing, cut, or edited by hand.
_LOADING_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    TypeError,
    AttributeError,
    LookupError,
    SafetensorError,
    StrictDataclassError,
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """As many of the classes as one forward pass takes: ``[CLS] red cup . dog . [SEP]``.

    Attributes:
        input_ids: The tokens.
        spans: Where the tokens of each class stand.
        first: Index, among all classes, of the first one here.
    """

    input_ids: tuple[int, ...]
    spans: tuple[slice, ...]
    first: int


class GroundingDinoDetector:
    """Finds the classes of the prompt in images.

    The model gives one probability per box and token. ``transformers`` joins the tokens above the text
    threshold to a string such as ``"red cup red"``; here a label is always one of the user's classes:

    - A token counts for its class where its probability is above ``text_threshold``.
    - A class may name a box where one of its tokens is above ``box_threshold``, too.
    - Of these classes the one with the highest mean over its tokens names the box: with "red cup. red ball."
      the word "red" speaks for both, and the mean lets the other word decide.
    - The score is the highest probability of that class' tokens.

    So the thresholds mean what they mean in the reference implementation, and with one class (and a text
    threshold below the box threshold) the boxes and the scores are those of ``transformers``. Then duplicates
    are removed: of boxes of one class with an IoU above 0.7, and of any classes with an IoU above 0.9, the
    best stays.

    Args:
        model: ``GroundingDinoForObjectDetection``, float32, on its device.
        processor: Its ``GroundingDinoProcessor``.
        config: The classes, the thresholds and the dtype.

    Raises:
        PromptError: A class is too long, or of words that the model does not know (:func:`make_prompts`).
    """

    def __init__(self, model: Any, processor: Any, config: TrackConfig) -> None:
        self._model = model.eval()
        self._device: torch.device = model.device
        self._image_processor = processor.image_processor
        self._classes = config.classes
        self._box_threshold = config.box_threshold
        self._text_threshold = config.text_threshold
        self._dtype = compute_dtype(config.dtype, self._device)
        if self._dtype != torch.float32:
            _reduce_precision(model.model, self._dtype)
        max_tokens = min(model.config.max_text_len, model.config.text_config.max_position_embeddings)
        self._prompts = make_prompts(config.classes, processor.tokenizer, max_tokens)
        if len(self._prompts) > 1:
            logger.info("%d classes take %d passes per image", len(config.classes), len(self._prompts))

    @classmethod
    def from_config(cls, config: TrackConfig, device: str) -> GroundingDinoDetector:
        """Load ``config.detector_model``, a folder, a ``.pth`` or a hub name, onto ``device``.

        Only tensors are read and no code of the checkpoint is run.

        Raises:
            CheckpointError: The weights are missing, cut, or of another model.
            PromptError: A class is too long, or of words that the model does not know (:func:`make_prompts`).
        """
        model, processor = load_model(config.detector_model)
        return cls(model.to(device), processor, config)

    def at_threshold(self, box_threshold: float) -> Self:
        """The same detector with another lowest score."""
        other = copy(self)
        other._box_threshold = box_threshold
        return other

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Detect in a batch of images.

        Args:
            images: RGB ``uint8 (H, W, 3)``, all of one size.

        Returns:
            One ``Detections`` per image, in order; boxes inside the image, best score first.

        Raises:
            ConfigError: The numbers overflowed, as fp16 can.
        """
        if not images:
            return []
        height, width = images[0].shape[:2]
        with torch.inference_mode():
            pixels = list(torch.from_numpy(np.stack(images)).to(self._device).permute(0, 3, 1, 2))
            inputs = self._image_processor(pixels, input_data_format="channels_first", return_tensors="pt")
            candidates = torch.cat([self._forward(inputs, prompt) for prompt in self._prompts], dim=1).cpu()
        if candidates.isnan().any():
            msg = (
                f"GroundingDINO gave NaN in {self._dtype}: use --dtype bf16 or fp32; "
                "where fp32 does it, too, the weights are damaged"
            )
            raise ConfigError(msg)
        return [self._select(table, height, width) for table in candidates]

    def _forward(self, inputs: Any, prompt: Prompt) -> torch.Tensor:
        """``float32 (B, queries, 6)``: box (cx, cy, w, h in 0..1), score (0: nothing), class index."""
        batch = len(inputs["pixel_values"])
        input_ids = torch.tensor(prompt.input_ids, device=self._device).expand(batch, -1)
        outputs = self._model(**inputs, input_ids=input_ids)
        tokens = outputs.logits.sigmoid()
        tokens = tokens.where(tokens > self._text_threshold, 0)
        best = torch.stack([tokens[..., span].amax(-1) for span in prompt.spans], -1)
        mean = torch.stack([tokens[..., span].mean(-1) for span in prompt.spans], -1)
        best = best.where(best > self._box_threshold, 0)
        label = mean.where(best > 0, 0).argmax(-1, keepdim=True)
        return torch.cat([outputs.pred_boxes, best.gather(-1, label), label + prompt.first], -1)

    def _select(self, candidates: torch.Tensor, height: int, width: int) -> Detections:
        boxes, scores, labels = candidates[:, :4], candidates[:, 4], candidates[:, 5].long()
        boxes = box_convert(boxes, "cxcywh", "xyxy") * torch.tensor([width, height, width, height])
        boxes = clip_boxes_to_image(boxes, (height, width))
        keep = ((scores > 0) & (boxes[:, 2:] > boxes[:, :2]).all(-1)).nonzero()[:, 0]
        keep = keep[batched_nms(boxes[keep], scores[keep], labels[keep], SAME_CLASS_IOU)]
        keep = keep[nms(boxes[keep], scores[keep], ANY_CLASS_IOU)]
        names = tuple(self._classes[i] for i in labels[keep].tolist())
        return Detections(boxes[keep].numpy(), scores[keep].numpy(), names)


def make_prompts(classes: Sequence[str], tokenizer: Any, max_tokens: int) -> tuple[Prompt, ...]:
    """Turn classes into as few prompts as the model's text length allows.

    Args:
        classes: In the user's spelling; the model reads them in lower case.
        tokenizer: A BERT tokenizer.
        max_tokens: What the model takes at once, the delimiters included (256 for the released models).

    Raises:
        PromptError: A class is too long, or has no word that the model knows; or any word that it does not
            know, where the model cannot spell a word out.
    """
    closed = _closed_vocabulary(tokenizer)
    prompts: list[Prompt] = []
    ids: list[int] = [_CLS]
    spans: list[slice] = []
    first = 0
    for index, name in enumerate(classes):
        if closed is not None:
            _check_words(name, closed, tokenizer)
        encoded = tokenizer(name.lower(), add_special_tokens=False, verbose=False)["input_ids"]
        tokens = [token for token in encoded if token not in _DELIMITERS]
        if all(token == tokenizer.unk_token_id for token in tokens):
            msg = f"class {name!r} has no word that GroundingDINO knows: describe it in English words"
            raise PromptError(msg)
        if len(tokens) + 3 > max_tokens:
            limit = max_tokens - 3
            msg = f"class {name!r} is {len(tokens)} tokens long, GroundingDINO takes {limit}: use fewer words"
            raise PromptError(msg)
        if len(ids) + len(tokens) + 2 > max_tokens:
            prompts.append(Prompt((*ids, _SEP), tuple(spans), first))
            ids, spans, first = [_CLS], [], index
        spans.append(slice(len(ids), len(ids) + len(tokens)))
        ids += [*tokens, _PERIOD]
    return (*prompts, Prompt((*ids, _SEP), tuple(spans), first))


def _closed_vocabulary(tokenizer: Any) -> list[str] | None:
    """The words of a model that knows these alone; None where it has pieces to spell every word with."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    if all(f"##{letter}" in vocabulary for letter in string.ascii_lowercase):
        return None
    return [word for word in sorted(vocabulary, key=vocabulary.__getitem__) if word.isalpha() and word[1:]]


def _check_words(name: str, known: Sequence[str], tokenizer: Any) -> None:
    # An unknown word would be one and the same token whatever it says: the others would decide alone.
    words = [word for word in name.split() if _is_unknown(word, tokenizer)]
    if words:
        msg = (
            f"class {name!r} has words that this GroundingDINO does not know: {', '.join(words)}. It knows "
            f"{', '.join(known)}. For other words use a released model, such as {RELEASED_MODEL}"
        )
        raise PromptError(msg)


def _is_unknown(word: str, tokenizer: Any) -> bool:
    tokens: list[int] = tokenizer(word.lower(), add_special_tokens=False)["input_ids"]
    return tokenizer.unk_token_id in tokens


def load_model(name: str) -> tuple[Any, Any]:
    """Load the model (float32 whatever the file has, on the CPU) and its processor.

    Args:
        name: A folder, a ``.pth`` of the reference repository, a name on the Hugging Face hub, which is
            fetched unless it is in the cache, or ``"mini"``, which ships with trackkit.

    Raises:
        CheckpointError: The weights are missing, cut, or of another model.
    """
    disable_progress_bar()  # of every worker, all over each other
    path = fetch_detector(name)
    model, processor = _load_reference(path) if path.is_file() else _load_folder(name, path)
    if processor.tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]", "."]) != [_CLS, _SEP, _PERIOD]:
        raise _broken(name, "its tokenizer files are missing or of another model")
    return model, processor


def _load_reference(path: Path) -> tuple[Any, Any]:
    from trackkit.detectors import grounding_dino_checkpoint

    processor = grounding_dino_checkpoint.load_reference_processor(path)
    return grounding_dino_checkpoint.load_reference_checkpoint(path), processor


def _load_folder(name: str, folder: Path) -> tuple[Any, Any]:
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        if config.model_type not in MODEL_TYPES:
            msg = f"it holds a {config.model_type!r} model, expected one of {', '.join(MODEL_TYPES)}"
            raise _broken(name, msg)
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
        model, report = AutoModelForZeroShotObjectDetection.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # refused below, with a message that names them
            output_loading_info=True,
        )
    except _LOADING_ERRORS as error:
        raise _broken(name, f"{type(error).__name__}: {error}".partition("\n")[0]) from error
    # transformers fills with random numbers what it does not find, and goes on with an empty vocabulary.
    bad = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if bad:
        msg = f"{len(bad)} weights are missing or of another size, the first is {bad[0]}"
        raise _broken(name, msg)
    return model, processor


def _broken(name: str, reason: str) -> CheckpointError:
    again = f"fetch the whole folder again, for instance with `{how_to_get_detector(RELEASED_MODEL)}`"
    if detector_name(name) == DETECTOR_MINI:
        again = "it ships with trackkit, install that again"
    msg = (
        f"detector_model {name!r} cannot be loaded: {reason}. Expected config.json, model.safetensors "
        f"(pickled .bin weights are not read), tokenizer and processor files: {again}"
    )
    return CheckpointError(msg)


def _reduce_precision(model: Any, dtype: torch.dtype) -> None:
    """Run the heavy parts of the model under autocast, and leave the coordinates in float32.

    Autocast over all of it, or weights cast to bf16, round the position embeddings, the anchors and the
    ranking of the proposals to 8 bits; a swapped rank hands a proposal to another query. Measured on a
    trained model and 60 real frames in bf16: with these four parts alone, which hold nearly all of the
    arithmetic, nine scores in ten are within 0.01 of float32 and nine boxes in ten have an IoU above 0.98
    with it; with autocast over all of it 0.07 and 0.93, with cast weights 0.09 and 0.89.
    """
    device_type = model.device.type
    for module in (model.backbone.conv_encoder, model.text_backbone, model.encoder, model.decoder):
        _autocast(module, device_type, dtype)


def _autocast(module: Any, device_type: str, dtype: torch.dtype) -> None:
    forward = module.forward

    def reduced(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device_type, dtype=dtype):
            outputs = forward(*args, **kwargs)
        return _to_float32(outputs)

    module.forward = reduced


def _to_float32(value: Any) -> Any:
    """The same nest of tuples, lists and ``ModelOutput`` with its floating tensors in float32."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.is_floating_point() else value
    if isinstance(value, list | tuple):
        return type(value)(_to_float32(item) for item in value)
    if isinstance(value, dict):
        return type(value)(**{key: _to_float32(item) for key, item in value.items()})
    return value
