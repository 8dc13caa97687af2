"""The mini GroundingDINO: its sizes, its words, and how it is trained.

The classes are those of ``transformers``; the loss is our own. Theirs takes the wrong tokens where the
prompts of a batch differ (its offset is not the running sum of the phrases), and never trains the proposals.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from augment import photograph, redecorate
from pool import Pool
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torchvision.ops import box_convert, box_iou, generalized_box_iou

from trackkit.core.colors import NAMED_COLORS, SATURATED
from trackkit.synthetic.scenery import SHAPES
from trackkit.synthetic.scenes import THING

os.environ.setdefault("HF_HUB_OFFLINE", "1")
from transformers import (
    BertConfig,
    BertTokenizerFast,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    SwinConfig,
)
from transformers.models.grounding_dino.modeling_grounding_dino import build_label_maps

Rng = np.random.Generator

COLORS = list(SATURATED)
NAMES = [*SHAPES]
SHAPE_CLASSES = [*NAMES, THING]
# Words that mean one of these; they get its embedding when the model is saved.
ALIASES = {
    **{f"{name}{'es' if name.endswith('s') else 's'}": name for name in (*NAMES, THING)},
    **{"thing": THING, "things": THING},
    **{synonym: color for color in COLORS for synonym in NAMED_COLORS[color].synonyms},
}
IMAGE_SIZE = 256
MAX_TEXT_LEN = 64
DIM, EMBED_DIM, QUERIES = 64, 24, 32

# Training sees crops of these sizes (height, width), about PIXELS in a batch.
CROPS = [(192, 192), (192, 256), (192, 320), (256, 256), (256, 320), (256, 448)]
CROP_SHARES = [0.2, 0.15, 0.15, 0.15, 0.2, 0.15]
PIXELS = 16 * 160 * 160
LOG_ZOOM = (-0.3, 0.7)  # from three quarters to twice as large
MOST_PHRASES = 15  # with three absent ones they fit into MAX_TEXT_LEN
MOSAICS = 0.25  # share of the images that are put together of four

# What is hidden further, or smaller in a crop, counts neither as found nor as missed.
MIN_VISIBILITY, MIN_AREA = 0.25, 40

MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


# ---- the model ----


def make_processor() -> GroundingDinoProcessor:
    """Tokenizer with a closed vocabulary, and image processor."""
    vocabulary = [f"[unused{i}]" for i in range(1100)]
    # These ids are written into the model's code.
    for place, token in {
        0: "[PAD]",
        100: "[UNK]",
        101: "[CLS]",
        102: "[SEP]",
        103: "[MASK]",
        1010: ",",
        1012: ".",
        1029: "?",
    }.items():
        vocabulary[place] = token
    words = [*COLORS, *NAMES, THING, *ALIASES]
    vocabulary[110 : 110 + len(words)] = words
    places = {token: place for place, token in enumerate(vocabulary)}
    tokenizer = BertTokenizerFast(vocab=places, do_lower_case=True, model_max_length=MAX_TEXT_LEN)
    size = {"shortest_edge": IMAGE_SIZE, "longest_edge": 2 * IMAGE_SIZE}
    return GroundingDinoProcessor(image_processor=GroundingDinoImageProcessor(size=size), tokenizer=tokenizer)


def make_model(vocabulary: int) -> GroundingDinoForObjectDetection:
    """Random weights, started so that they learn."""
    vision = SwinConfig(
        image_size=IMAGE_SIZE,
        patch_size=4,
        embed_dim=EMBED_DIM,
        depths=[2, 2, 2],
        num_heads=[2, 4, 8],
        window_size=8,
        drop_path_rate=0.0,
        out_indices=[2, 3],
    )
    text = BertConfig(
        vocab_size=vocabulary,
        hidden_size=DIM,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * DIM,
        max_position_embeddings=MAX_TEXT_LEN,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    config = GroundingDinoConfig(
        backbone_config=vision,
        text_config=text,
        d_model=DIM,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=2 * DIM,
        decoder_ffn_dim=2 * DIM,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_n_points=2,
        decoder_n_points=4,
        num_queries=QUERIES,
        num_feature_levels=3,
        max_text_len=MAX_TEXT_LEN,
        dropout=0.0,
        fusion_droppath=0.0,
        auxiliary_loss=True,
        disable_custom_kernels=True,
    )
    model = GroundingDinoForObjectDetection(config)
    _start_well(model)
    return model


@torch.no_grad()
def _start_well(model: GroundingDinoForObjectDetection, prior: float = -4.0) -> None:
    """First loss of 16 instead of 438.

    Text and image are fused from the beginning (layer scale 0.1, not 1e-4). A logit is the dot product of
    two normalised vectors, without a bias: a smaller gain on the text's side, and biases on both sides that
    add up to the prior of the focal loss.
    """
    for name, parameter in model.named_parameters():
        if name.endswith(("vision_param", "text_param")):
            parameter.fill_(0.1)
    bias = (-prior / model.config.d_model) ** 0.5
    text = model.model.encoder.layers[-1].text_enhancer_layer.layer_norm_after
    text.weight.fill_(0.3)
    text.bias.fill_(-bias)
    model.model.enc_output_norm.bias.fill_(bias)
    model.model.decoder.layer_norm.bias.fill_(bias)


@torch.no_grad()
def start_from(model: GroundingDinoForObjectDetection, tokenizer: Any, folder: Path) -> None:
    """Take over the weights of another mini model: words by their spelling, the rest by name and shape."""
    old = GroundingDinoForObjectDetection.from_pretrained(folder)
    words = BertTokenizerFast.from_pretrained(folder).get_vocab()
    weights, mine = old.state_dict(), model.state_dict()
    for name, value in weights.items():
        if name.endswith("word_embeddings.weight"):
            for word, place in tokenizer.get_vocab().items():
                if word in words and not word.startswith("[unused"):
                    mine[name][place] = value[words[word]]
        elif name in mine and mine[name].shape == value.shape:
            mine[name].copy_(value)
        elif name in mine and mine[name].shape[1:] == value.shape[1:]:  # more queries than it had
            mine[name][: len(value)].copy_(value)


# ---- what it is shown ----


@dataclass
class Target:
    """What the prompt names in an image: ``boxes (N, 4)`` as cx, cy, w, h in 0..1; what does not count."""

    boxes: Tensor
    phrases: Tensor
    ignored: Tensor
    shapes: npt.NDArray[np.int64] = field(repr=False)  # (H, W): index into SHAPE_CLASSES + 1, 0 elsewhere
    colors: npt.NDArray[np.int64] = field(repr=False)  # (H, W): index into COLORS, -100 elsewhere


def make_prompt(rng: Rng, present: list[tuple[str, str]]) -> tuple[list[str], Any]:
    """Phrases, and a function from ``(color, shape)`` to the index of its phrase, -1 where it has none.

    Absent phrases are mostly near misses: the right colour with another shape, or the other way round.
    """
    u = rng.random()
    if u < 0.55:
        named = [o for o in present if o[1] != THING]
        phrases = [f"{c} {s}" for c, s in dict.fromkeys(named) if rng.random() < 0.75]
        phrases = phrases[:MOST_PHRASES]
        for _ in range(int(rng.integers(0 if phrases else 1, 4))):
            color, shape = str(rng.choice(COLORS)), str(rng.choice(NAMES))
            if present and rng.random() < 0.65:
                like = present[int(rng.integers(len(present)))]
                color, shape = (
                    (like[0], shape) if rng.random() < 0.5 or like[1] == THING else (color, like[1])
                )
            phrases.append(f"{color} {shape}")

        def phrase_of(color: str, shape: str) -> list[str]:
            return [f"{color} {shape}"]
    elif u < 0.65:
        near = [s for _, s in present]
        phrases = [s for s in NAMES if rng.random() < (0.75 if s in near else 0.25)]
        phrases = phrases or [str(rng.choice(NAMES))]

        def phrase_of(color: str, shape: str) -> list[str]:
            return [shape]
    elif u < 0.95:
        word = "" if rng.random() < 0.25 else f" {THING}"
        near = [c for c, _ in present]
        phrases = [c + word for c in COLORS if rng.random() < (0.8 if c in near else 0.2)]
        phrases = phrases or [str(rng.choice(COLORS)) + word]

        def phrase_of(color: str, shape: str) -> list[str]:
            return [color + word]
    else:
        phrases = [THING]

        def phrase_of(color: str, shape: str) -> list[str]:
            return [THING]

    phrases = list(dict.fromkeys(phrases))
    phrases = [phrases[i] for i in rng.permutation(len(phrases))]
    places = {phrase: i for i, phrase in enumerate(phrases)}
    return phrases, lambda color, shape: next((places[p] for p in phrase_of(color, shape) if p in places), -1)


def make_batch(rng: Rng, pool: Pool, tokenizer: Any) -> tuple[Tensor, Any, list[Target]]:
    """``float32 (B, 3, H, W)``, tokens, and a target for each image."""
    height, width = CROPS[int(rng.choice(len(CROPS), p=CROP_SHARES))]
    images, texts, targets = [], [], []
    for _ in range(PIXELS // (height * width)):
        view = (
            _mosaic(rng, pool, height, width) if rng.random() < MOSAICS else _view(rng, pool, height, width)
        )
        (image,) = photograph(rng, redecorate(rng, view.image[None], view.ids[None]))
        images.append(image)
        boxes, counts, ignored = [], [], []
        for k, (visibility, whole) in enumerate(zip(view.visibility, view.whole, strict=True)):
            mask = view.ids == k + 1
            area = int(mask.sum())
            if not area:
                continue
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            x1, y1, x2, y2 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
            box = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height]
            if visibility * area / max(whole, 1) >= MIN_VISIBILITY and area >= MIN_AREA:
                boxes.append(box)
                counts.append(k)
            else:
                ignored.append(box)
        labels = view.labels
        phrases, place = make_prompt(rng, [labels[k] for k in counts])
        texts.append(". ".join(phrases) + ".")
        found = [place(*labels[k]) for k in counts]
        shape_of = np.array([0, *(SHAPE_CLASSES.index(s) + 1 for _, s in labels)])
        color_of = np.array([-100, *(COLORS.index(c) for c, _ in labels)])
        targets.append(
            Target(
                torch.tensor([b for b, p in zip(boxes, found, strict=True) if p >= 0]).reshape(-1, 4).float(),
                torch.tensor([p for p in found if p >= 0], dtype=torch.long),
                torch.tensor(ignored).reshape(-1, 4).float(),
                shape_of[view.ids],
                color_of[view.ids],
            )
        )
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return (pixels - MEAN) / STD, tokenizer(texts, padding=True, return_tensors="pt"), targets


class View(NamedTuple):
    """A crop of a frame, ``uint8 (H, W, 3)``, and the ids of its objects, ``(H, W)``.

    Of each object of the frame: what it is, how much of it is seen, and its pixels at this scale.
    """

    image: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.uint8]
    labels: list[tuple[str, str]]
    visibility: list[float]
    whole: list[float]


def _view(rng: Rng, pool: Pool, height: int, width: int, scale: float = 1.0) -> View:
    clip, frame = int(rng.integers(len(pool.labels))), int(rng.integers(pool.frames.shape[1]))
    ids = pool.ids[clip, frame]
    zoom = max(scale * np.exp(rng.uniform(*LOG_ZOOM)), height / ids.shape[0], width / ids.shape[1])
    size = int(height / zoom), int(width / zoom)
    y, x = _place(rng, ids, size)
    part = np.s_[y : y + size[0], x : x + size[1]]
    flip = slice(None, None, -1 if rng.random() < 0.5 else 1)
    whole = np.bincount(ids.ravel(), minlength=len(pool.labels[clip]) + 1)[1:] * zoom**2
    smooth = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    return View(
        cv2.resize(pool.frames[clip, frame][part], (width, height), interpolation=smooth)[:, flip],
        cv2.resize(ids[part], (width, height), interpolation=cv2.INTER_NEAREST)[:, flip],
        pool.labels[clip],
        pool.visibility[clip][frame].tolist(),
        whole.tolist(),
    )


def _mosaic(rng: Rng, pool: Pool, height: int, width: int) -> View:
    """Four crops of half the size: many small things, as YOLOv4 was shown (Bochkovskiy et al. 2020)."""
    views = [_view(rng, pool, height // 2, width // 2, scale=0.5) for _ in range(4)]
    ids, before = [], 0
    for view in views:
        ids.append(np.where(view.ids > 0, view.ids + before, 0).astype(np.uint8))
        before += len(view.labels)
    images = [view.image for view in views]
    return View(
        np.vstack([np.hstack(images[:2]), np.hstack(images[2:])]),
        np.vstack([np.hstack(ids[:2]), np.hstack(ids[2:])]),
        [label for view in views for label in view.labels],
        [share for view in views for share in view.visibility],
        [pixels for view in views for pixels in view.whole],
    )


def _place(rng: Rng, ids: npt.NDArray[np.uint8], view: tuple[int, int]) -> tuple[int, int]:
    """Upper left corner of a crop, mostly of one with an object in it."""
    low, high = np.zeros(2, int), np.subtract(ids.shape, view)
    pixels = np.argwhere(ids)
    if len(pixels) and rng.random() < 0.9:
        inside = pixels[int(rng.integers(len(pixels)))]
        low, high = np.maximum(inside - np.array(view) + 1, low), np.minimum(inside, high)
    y, x = rng.integers(low, high + 1)
    return int(y), int(x)


# ---- what it is told ----


def set_loss(
    logits: Tensor,
    boxes: Tensor,
    label_maps: list[Tensor],
    text_mask: Tensor,
    targets: list[Target],
    repeat: int = 1,
) -> Tensor:
    """DETR's loss: Hungarian matching, then focal 2, L1 5, GIoU 2 (Carion et al. 2020; Zhang et al. 2022).

    Args:
        logits: ``(B, Q, T)``.
        boxes: ``(B, Q, 4)``, cx, cy, w, h in 0..1; NaN where there is no proposal.
        label_maps: Of each image, ``bool (phrases, T)``.
        text_mask: ``bool (B, T)``, the tokens of the prompt.
        targets: ``B``.
        repeat: How many queries each target gets.
    """
    valid = boxes.isfinite().all(-1)
    boxes = boxes.masked_fill(~valid[..., None], 0.5)
    logits = logits.masked_fill(~text_mask[:, None], -20.0)
    wanted, weight = torch.zeros_like(logits), (text_mask[:, None] & valid[..., None]).float()
    probability = logits.detach().sigmoid()
    focal_cost = (
        0.25 * (1 - probability) ** 2 * -(probability + 1e-8).log()
        - 0.75 * probability**2 * -(1 - probability + 1e-8).log()
    )
    pairs, truth = [], []
    for b, target in enumerate(targets):
        found = box_convert(boxes[b].detach(), "cxcywh", "xyxy")
        if len(target.ignored):
            covered = box_iou(found, box_convert(target.ignored.to(found), "cxcywh", "xyxy")).amax(1) > 0.4
            weight[b, covered] = 0
        if not len(target.boxes):
            continue
        words = label_maps[b].to(logits)[target.phrases]
        gold = target.boxes.to(found)
        cost = 2 * focal_cost[b] @ (words / words.sum(-1, keepdim=True)).T + 5 * torch.cdist(
            boxes[b].detach(), gold, p=1
        )
        cost = (
            cost
            - 2 * generalized_box_iou(found, box_convert(gold, "cxcywh", "xyxy"))
            + 1e4 * ~valid[b, :, None]
        )
        rows, columns = linear_sum_assignment(cost.repeat(1, repeat).cpu().numpy())
        columns %= len(gold)
        wanted[b, rows], weight[b, rows] = words[columns], text_mask[b].float()
        pairs += [(b, row) for row in rows]
        truth.append(gold[columns])
    count = max(sum(len(t.boxes) for t in targets), 1) * repeat
    p = logits.sigmoid()
    hit = p * wanted + (1 - p) * (1 - wanted)
    focal = (
        (0.75 - 0.5 * wanted)
        * F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        * (1 - hit) ** 2
    )
    loss = 2 * (focal * weight).sum() / count
    if pairs:
        b, q = np.array(pairs).T
        mine, gold = boxes[b, q], torch.cat(truth)
        giou = torch.diag(
            generalized_box_iou(box_convert(mine, "cxcywh", "xyxy"), box_convert(gold, "cxcywh", "xyxy"))
        )
        loss = loss + (5 * (mine - gold).abs().sum() + 2 * (1 - giou).sum()) / count
    return loss


class DetectorTrainer:
    """Steps of training; see ``train.py``.

    Args:
        pool: What it learns from.
        device: Where.
        start: Folder of a mini model to go on from; None begins with random weights.
    """

    name = "detector"

    def __init__(self, pool: Pool, device: torch.device, start: Path | None = None) -> None:
        self.pool, self.device = pool, device
        self.processor = make_processor()
        self.model = make_model(len(self.processor.tokenizer))
        if start is not None:
            start_from(self.model, self.processor.tokenizer, start)
        # Training only: every cell of the backbone (strides 8 and 16) and of the encoder (8) names the shape
        # and the colour under its middle. Without it shapes are not learned at all.
        classes = len(SHAPE_CLASSES) + 1 + len(COLORS)
        self.heads = nn.ModuleList(nn.Linear(n, classes) for n in (2 * EMBED_DIM, 4 * EMBED_DIM, DIM))
        self._seen: dict[str, Any] = {}
        self.model.loss_function = self._catch
        self.model.model.backbone.conv_encoder.model.register_forward_hook(
            lambda module, inputs, outputs: self._seen.update(maps=outputs.feature_maps)
        )

    def _catch(
        self, logits: Tensor, *args: Any, outputs_class: Tensor, outputs_coord: Tensor, **kwargs: Any
    ) -> Any:
        self._seen.update(logits=outputs_class, boxes=outputs_coord)
        return logits.new_zeros(()), {}, None

    def modules(self) -> nn.ModuleList:
        """All that is trained."""
        return nn.ModuleList([self.model, self.heads])

    def loss(self, rng: Rng, progress: float) -> tuple[Tensor, dict[str, float]]:
        """The loss of a random batch, and what to log."""
        pixels, text, targets = make_batch(rng, self.pool, self.processor.tokenizer)
        labels = [
            {"boxes": t.boxes.to(self.device), "class_labels": t.phrases.to(self.device)} for t in targets
        ]
        out = self.model(pixel_values=pixels.to(self.device), **text.to(self.device), labels=labels)
        maps = build_label_maps(out.logits, text["input_ids"])
        mask = text["attention_mask"].bool()
        mask = F.pad(mask, (0, out.logits.shape[-1] - mask.shape[-1]))
        parts = {
            f"decoder{i}": set_loss(logits, boxes, maps, mask, targets)
            for i, (logits, boxes) in enumerate(zip(self._seen["logits"], self._seen["boxes"], strict=True))
        }
        proposals = out.enc_outputs_coord_logits
        proposals = proposals.masked_fill(~proposals.isfinite(), torch.nan).sigmoid()
        parts["encoder"] = set_loss(out.enc_outputs_class, proposals, maps, mask, targets, repeat=3)
        dense, accuracy = self._dense_loss(out.encoder_last_hidden_state_vision, targets)
        parts["dense"] = 2 * dense
        return sum(parts.values(), torch.zeros((), device=self.device)), {
            **{k: v.item() for k, v in parts.items()},
            "shape_accuracy": accuracy,
        }

    def _dense_loss(self, tokens: Tensor, targets: list[Target]) -> tuple[Tensor, float]:
        shapes = torch.from_numpy(np.stack([t.shapes for t in targets])).to(self.device)
        colors = torch.from_numpy(np.stack([t.colors for t in targets])).to(self.device)
        fine, coarse = (m.permute(0, 2, 3, 1) for m in self._seen["maps"][:2])
        encoded = tokens[:, : fine.shape[1] * fine.shape[2]].reshape(*fine.shape[:3], -1)
        total, accuracy = tokens.new_zeros(()), 0.0
        n = len(SHAPE_CLASSES) + 1
        weight = torch.ones(n, device=self.device)
        weight[0] = 0.2
        for head, cells, stride in zip(self.heads, (fine, coarse, encoded), (8, 16, 8), strict=True):
            middle = np.s_[:, stride // 2 :: stride, stride // 2 :: stride]
            shape, color = shapes[middle].flatten(), colors[middle].flatten()
            out = head(cells).flatten(0, 2)
            total = total + F.cross_entropy(out[:, :n], shape, weight=weight)
            if (color >= 0).any():
                total = total + 0.3 * F.cross_entropy(out[:, n:], color)
                accuracy = (out[:, 1:n].argmax(1) + 1 == shape)[shape > 0].float().mean().item()
        return total, accuracy

    def save(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write what ``--detector-model`` takes, weights in fp16."""
        model = type(self.model)(self.model.config)
        model.load_state_dict({key[2:]: value for key, value in weights.items() if key.startswith("0.")})
        places = self.processor.tokenizer.get_vocab()
        embeddings = model.model.text_backbone.embeddings.word_embeddings.weight.data
        for alias, word in ALIASES.items():
            embeddings[places[alias]] = embeddings[places[word]]
        model.half().save_pretrained(folder / "grounding_dino")
        self.processor.save_pretrained(folder / "grounding_dino")
