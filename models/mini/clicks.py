"""Teaches the mini SAM 2.1 to take clicks that correct a mask.

Only weights are trained that nothing else uses: the embedding of a click off the object, and what reads the
mask that is to be corrected. So all else stays as it was, and what comes before is computed only once::

    python models/mini/clicks.py --output clicks.pt
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trackkit.datasets import Scene, iter_frames, make_natural_scene, make_scene
from trackkit.shipped import shipped_sam2
from trackkit.structures import Masks
from trackkit.trackers.propagation import Propagation
from trackkit.trackers.sam2_engine import FrameFeatures, MaskPrompt, PointPrompt, Sam2Engine, Sam2Stages
from trackkit.trackers.sam2_model import build_sam2_model
from trackkit.weight_files import read_weights

Rng = np.random.Generator
FIRST_SEED = 2_000_000  # tests and benchmarks use lower ones
BATCH = 32


class Case(NamedTuple):
    """A mask that was found on a frame, and what it should have been."""

    frame: int
    fused: Tensor
    found: Tensor
    truth: Tensor


class Eavesdropper(Sam2Engine):
    """Gives what a correction would begin with, in place of correcting."""

    heard: list[tuple[int, Tensor, Tensor]]

    def _correct(
        self, clicks: PointPrompt, features: FrameFeatures, fused: Tensor, before: Tensor | None
    ) -> Propagation:
        if before is not None:
            self.heard.append((clicks.obj_id, fused, before))
        return self._nothing()


def spoil(rng: Rng, masks: Masks, k: int) -> Masks:
    """A mask that is wrong as masks go wrong: a part is missing, or what lies beside it is in."""
    mask = masks[k].copy()
    rows, columns = np.nonzero(mask)
    kind = rng.choice(["whole", "less", "more", "both"], p=[0.1, 0.3, 0.3, 0.3])
    if kind == "less":
        axis, values = (0, rows) if rng.random() < 0.5 else (1, columns)
        cut = int(np.quantile(values, rng.uniform(0.3, 0.7)))
        side = slice(None, cut) if rng.random() < 0.5 else slice(cut, None)
        mask[(slice(None),) * axis + (side,)] = False
    elif kind == "more":
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        y, x = rows.min() + int(rng.uniform(-1, 1) * height), columns.min() + int(rng.uniform(-1, 1) * width)
        mask[max(y, 0) : max(y + height, 1), max(x, 0) : max(x + width, 1)] = True
    elif kind == "both" and len(masks) > 1:
        mask |= masks[int(rng.choice([i for i in range(len(masks)) if i != k]))]
    return mask


@torch.inference_mode()
def cases_of(
    stages: Sam2Stages, scene: Scene, rng: Rng, first: int
) -> tuple[list[FrameFeatures], list[Case]]:
    """Objects of a scene begun with masks that are wrong, and what was made of them later."""
    engine = Eavesdropper(stages, (scene.height, scene.width), capacity=32)
    owners: dict[int, int] = {}
    frames: list[FrameFeatures] = []
    cases: list[Case] = []
    for image, truth in iter_frames(scene):
        (features,) = engine.encode([image])
        engine.heard = []
        asked = [PointPrompt(key, [[0, 0]], [1]) for key in owners] if truth.idx in (1, 4) else []
        engine.propagate(features, asked)
        if truth.idx == 0:
            large = [k for k in range(len(truth.labels)) if truth.masks[k].sum() >= 80]
            begun = [(k, spoil(rng, truth.masks, k)) for k in large for _ in range(4)]
            begun = [(k, mask) for k, mask in begun if mask.any()]
            owners = {key: int(truth.obj_ids[k]) for key, (k, _) in enumerate(begun)}
            engine.condition(features, [MaskPrompt(key, mask) for key, (_, mask) in enumerate(begun)])
        gold = {int(i): torch.from_numpy(mask) for i, mask in zip(truth.obj_ids, truth.masks, strict=True)}
        for key, fused, found in engine.heard:
            if owners[key] in gold:
                small = F.interpolate(gold[owners[key]][None, None].float(), size=(96, 96), mode="area")[0]
                cases.append(Case(first + len(frames), fused.clone(), found.clone(), small))
        frames.append(features)
    return frames, cases


def clicks_for(rng: Rng, case: Case) -> tuple[Tensor, Tensor] | None:
    """One to three clicks where the mask is wrong: points of the model's pixels, ``(P, 2)``, and labels."""
    found = F.interpolate(case.found, size=(96, 96), mode="bilinear")[0, 0] > 0
    truth = case.truth[0] > 0.5
    points, labels = [], []
    for _ in range(int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15]))):
        wrong = (found != truth).nonzero()
        if len(wrong) < 8:  # right already: a click that agrees
            wrong = truth.nonzero() if rng.random() < 0.6 else (~truth).nonzero()
        if not len(wrong):
            return None
        y, x = wrong[int(rng.integers(len(wrong)))].tolist()
        points.append([2 * x + 1.0, 2 * y + 1.0])
        labels.append(int(truth[y, x]))
    return torch.tensor(points), torch.tensor(labels, dtype=torch.int32)


def batches(rng: Rng, cases: list[Case]) -> Iterator[tuple[list[Case], Tensor, Tensor]]:
    """Cases with the same number of clicks."""
    waiting: dict[int, list[tuple[Case, Tensor, Tensor]]] = {}
    while True:
        case = cases[int(rng.integers(len(cases)))]
        clicks = clicks_for(rng, case)
        if clicks is None:
            continue
        group = waiting.setdefault(len(clicks[0]), [])
        group.append((case, *clicks))
        if len(group) == BATCH:
            some, points, labels = zip(*group, strict=True)
            yield list(some), torch.stack(points), torch.stack(labels)
            group.clear()


def loss_of(
    model: Any,
    seen: dict[str, Tensor],
    frames: list[FrameFeatures],
    some: list[Case],
    points: Tensor,
    labels: Tensor,
) -> tuple[Tensor, float, float]:
    """The loss of a batch; J before and after."""
    found = torch.cat([case.found for case in some])
    levels = zip(*(frames[case.frame].high_res for case in some), strict=True)
    high_res = [torch.cat(level) for level in levels]
    model._forward_sam_heads(
        torch.cat([case.fused for case in some]),
        point_inputs={"point_coords": points, "point_labels": labels},
        mask_inputs=found.clamp(-32, 32),
        high_res_features=high_res,
        multimask_output=False,
    )
    logits = F.interpolate(seen["masks"], size=(96, 96), mode="bilinear", align_corners=False)
    gold = torch.stack([case.truth for case in some])
    near = F.max_pool2d(gold, 25, 1, 12) + 0.1
    cross = (F.binary_cross_entropy_with_logits(logits, gold, reduction="none") * near).sum((1, 2, 3))
    cross = cross / near.sum((1, 2, 3))
    p = logits.sigmoid()
    dice = 1 - (2 * (p * gold).sum((1, 2, 3)) + 1) / (p.sum((1, 2, 3)) + gold.sum((1, 2, 3)) + 1)
    visible = F.softplus(-seen["scores"]).mean()
    old = F.interpolate(found, size=(96, 96), mode="bilinear", align_corners=False)
    return (2 * cross + dice).mean() + visible, overlap(old, gold), overlap(logits, gold)


def overlap(logits: Tensor, gold: Tensor) -> float:
    """Mean J of a batch."""
    a, b = logits > 0, gold > 0.5
    return float(((a & b).sum((1, 2, 3)) / (a | b).sum((1, 2, 3)).clamp(min=1)).mean())


def trained(model: Any) -> dict[str, torch.nn.Parameter]:
    """The weights that are trained, by name."""
    names = ("sam_prompt_encoder.mask_downscaling.", "sam_prompt_encoder.point_embeddings.0.")
    return {name: weight for name, weight in model.named_parameters() if name.startswith(names)}


def main() -> None:
    """Train, and write the checkpoint every hundred steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="the whole checkpoint, fp16")
    parser.add_argument("--scenes", type=int, default=160)
    parser.add_argument("--steps", type=int, default=3000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rng, started = np.random.default_rng(0), perf_counter()
    weights = read_weights(shipped_sam2())
    model = build_sam2_model("sam2.1_hiera_mini")
    model.load_state_dict(weights)
    stages = Sam2Stages(model)
    frames: list[FrameFeatures] = []
    cases: list[Case] = []
    for seed in range(FIRST_SEED, FIRST_SEED + options.scenes):
        make = make_natural_scene if seed % 3 else make_scene
        some_frames, some_cases = cases_of(stages, make(seed, num_frames=5), rng, len(frames))
        frames, cases = frames + some_frames, cases + some_cases
    print(f"{len(cases)} cases, {perf_counter() - started:.0f} s", flush=True)
    cases = [Case(c.frame, *(x.clone() for x in c[1:])) for c in cases]
    frames = [FrameFeatures(f.top.clone(), tuple(x.clone() for x in f.high_res)) for f in frames]
    seen: dict[str, Tensor] = {}
    model.sam_mask_decoder.register_forward_hook(lambda m, i, out: seen.update(masks=out[0], scores=out[3]))
    learned = trained(model)
    model.requires_grad_(False)
    for weight in learned.values():
        weight.requires_grad_(True)
    optimizer = torch.optim.AdamW(learned.values(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, options.steps, pct_start=0.05)
    log: list[tuple[float, float, float]] = []
    for step, (some, points, labels) in zip(range(options.steps), batches(rng, cases), strict=False):
        loss, before, after = loss_of(model, seen, frames, some, points, labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned.values(), 1.0)
        optimizer.step()
        schedule.step()
        log.append((loss.item(), before, after))
        if step % 100 == 99:
            means = " ".join(f"{x:.3f}" for x in np.mean(log[-100:], 0))
            print(step + 1, means, f"{perf_counter() - started:.0f} s", flush=True)
            weights |= {name: weight.detach().half() for name, weight in learned.items()}
            torch.save({"model": weights}, options.output)


if __name__ == "__main__":
    main()
