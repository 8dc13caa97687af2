"""The mini SAM 2.1: how it is trained. Its sizes are in ``sam2.1_hiera_mini.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from augment import photograph, redecorate
from pool import Pool
from torch import Tensor, nn

from trackkit.core.colors import SATURATED
from trackkit.synthetic.scenery import SHAPES
from trackkit.synthetic.scenes import THING
from trackkit.trackers.sam2.build import build_sam2_model
from trackkit.trackers.sam2.preprocess import normalize
from trackkit.weights.files import read_weights

Rng = np.random.Generator

COLORS = list(SATURATED)
SHAPE_CLASSES = [*SHAPES, THING]
IMAGES = 12
"""Frames in a batch."""
DECORATED = 0.4
"""Share of the clips that may get a cloth, a grid or prints."""
CORRECTED = 0.5
"""Share of the clips in which the mask of a frame is corrected with clicks."""


class TrackerTrainer:
    """Steps of training; see ``train.py``.

    Clips of one frame at first, later of up to eight. The first frame is prompted with a box, a point or a
    mask, the others are tracked from the memory, which holds the true masks at first, the model's own later.

    Args:
        pool: What it learns from.
        device: Where.
        start: A checkpoint of the same sizes to go on from; None begins with random weights.
    """

    name = "tracker"

    def __init__(self, pool: Pool, device: torch.device, start: Path | None = None) -> None:
        self.pool, self.device, self.is_new = pool, device, start is None
        self.model = build_sam2_model("sam2.1_hiera_mini", device=device).requires_grad_(True)
        self.size = self.model.image_size
        if start is None:
            self._start_well()
        else:
            self.model.load_state_dict(read_weights(start))
        dim = self.model.hidden_dim
        colors = len(COLORS) + 1
        # Training only. Cells of the image encoder name the colour (strides 4, 8, 16) and the shape (16)
        # under their middle. Tokens of the decoder and of the memory attention say whether they lie on the
        # prompted object: before that, all objects were segmented, whatever the prompt.
        self.heads = nn.ModuleDict(
            {
                "4": nn.Linear(dim // 8, colors),
                "8": nn.Linear(dim // 4, colors),
                "16": nn.Linear(dim, colors + len(SHAPE_CLASSES)),
                **{name: nn.Linear(dim, 1) for name in ("early", "late", "memory")},
            }
        ).to(device)
        self._seen: dict[str, Any] = {}
        decoder = self.model.sam_mask_decoder
        # forward() replaces the masks of absent objects by -1024; the loss needs them as they were.
        decoder.register_forward_hook(
            lambda m, i, out: self._seen.update(masks=out[0], ious=out[1], scores=out[3])
        )
        decoder.transformer.register_forward_hook(lambda m, i, out: self._seen.update(late=out[1]))
        decoder.transformer.layers[0].register_forward_hook(lambda m, i, out: self._seen.update(early=out[1]))

    @torch.no_grad()
    def _start_well(self) -> None:
        self.model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(2.0)  # "visible"
        trunk = self.model.image_encoder.trunk
        for parameter in (trunk.pos_embed, trunk.pos_embed_window):
            nn.init.trunc_normal_(parameter, std=0.02)

    def modules(self) -> nn.ModuleList:
        """All that is trained."""
        return nn.ModuleList([self.model, self.heads])

    # What it is shown -----------------------------------------------------------------------------

    def _length(self, rng: Rng, progress: float) -> int:
        """Frames of the clips of this step."""
        stages = (0.25, 0.4, 0.65) if self.is_new else (0.0, 0.0, 0.1)
        # Single frames stay in: they hold the most prompts, and masks are learned from these.
        lengths, shares = (1, 2, 4, 8), np.array([0.3, 0.1, 0.3, 0.3])
        allowed = 1 + sum(progress >= stage for stage in stages)
        return int(rng.choice(lengths[:allowed], p=shares[:allowed] / shares[:allowed].sum()))

    def _batch(
        self, rng: Rng, length: int
    ) -> tuple[Tensor, Tensor, Tensor, npt.NDArray[np.uint8], list[int]]:
        """A few clips, and one or two objects of each to follow.

        Returns:
            Images ``uint8 (T * C, H, W, 3)``, the frames of all clips one after the other; masks
            ``bool (T, N, H, W)``; clip of each object ``(N,)``; all objects ``uint8 (T * C, H, W)``; indices
            of the clips in the pool.
        """
        frames, maps, masks, owner, clips = [], [], [], [], []
        while len(frames) < max(2, IMAGES // length):
            clip = int(rng.integers(len(self.pool.labels)))
            order = np.arange(length) + int(rng.integers(self.pool.frames.shape[1] - length + 1))
            order = order[:: int(rng.choice([-1, 1]))]
            ids, images = self.pool.ids[clip][order], self.pool.frames[clip][order]
            seen = [k for k in range(len(self.pool.labels[clip])) if (ids[0] == k + 1).sum() >= 100]
            if not seen or (len(seen) < 2 and rng.random() < 0.8):
                continue
            chosen = rng.permutation(seen)
            # Objects are lost where they are hidden for a while: these come first.
            least = self.pool.visibility[clip][order][:, chosen].min(0)
            if length > 1 and rng.random() < 0.7:
                if least.min() > 0.7 and rng.random() < 0.7:
                    continue
                chosen = chosen[np.argsort(least)]
            chosen = chosen[: 4 if length == 1 else 2].tolist()
            flips = tuple(slice(None, None, int(rng.choice([-1, 1]))) for _ in range(2))
            ids, images = ids[(slice(None), *flips)].copy(), images[(slice(None), *flips)].copy()
            if length >= 4 and rng.random() < 0.3:
                _draw_curtain(rng, images, ids, chosen[0] + 1)
            of_clip = np.random.default_rng(int(rng.integers(2**31)))
            if rng.random() < DECORATED:
                images = redecorate(of_clip, images, ids)
            frames.append(photograph(of_clip, images))
            maps.append(ids)
            masks += [ids == k + 1 for k in chosen]
            owner += [len(clips)] * len(chosen)
            clips.append(clip)
        images = torch.from_numpy(np.stack(frames, 1).reshape(-1, *frames[0][0].shape))
        together = np.stack(maps, 1).reshape(-1, *maps[0].shape[1:])
        return images, torch.from_numpy(np.stack(masks, 1)), torch.tensor(owner), together, clips

    def _prompt(self, rng: Rng, masks: Tensor, kind: str) -> tuple[dict[str, Tensor] | None, Tensor | None]:
        """The prompts of ``masks (N, H, W)``: a box with a little error, a point inside, or the mask."""
        if kind == "mask":
            return None, F.interpolate(
                masks[:, None].float(), size=(self.size, self.size), mode="nearest"
            ).to(self.device)
        height, width = masks.shape[1:]
        points = []
        for mask in masks.numpy():
            rows, columns = np.nonzero(mask)
            if kind == "point":
                i = int(rng.integers(len(rows)))
                points.append([[columns[i] + 0.5, rows[i] + 0.5]])
                continue
            box = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]])
            points.append(box + rng.normal(0, 0.05, (2, 2)) * (box[1] - box[0]))
        labels = np.array([[2, 3] if kind == "box" else [1]] * len(masks))
        return self._points(np.array(points), labels, width, height), None

    def _clicks(self, rng: Rng, low: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """One to three clicks of each object on what is wrong with its mask, well inside of the error."""
        height, width = masks.shape[1:]
        found = F.interpolate(low.detach(), size=(height, width), mode="bilinear")[:, 0].cpu() > 0
        n = int(rng.integers(1, 4))
        points, labels = np.zeros((len(masks), n, 2)), np.full((len(masks), n), -1)
        for i, (mine, mask) in enumerate(zip(found.numpy(), masks.numpy(), strict=True)):
            wrong = mine ^ mask if (mine ^ mask).any() else mask
            depth = cv2.distanceTransform(wrong.astype(np.uint8), cv2.DIST_L2, 3).ravel() ** 2
            if not depth.any():
                continue  # nothing to see and nothing found
            picked = rng.choice(depth.size, n, p=depth / depth.sum())
            points[i] = np.stack([picked % width, picked // width], 1) + 0.5
            labels[i] = mask.ravel()[picked]
        return self._points(points, labels, width, height)

    def _points(
        self, points: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], width: int, height: int
    ) -> dict[str, Tensor]:
        """Points ``(N, P, 2)`` in such a frame and their labels ``(N, P)``, as the model takes them."""
        coordinates = torch.from_numpy(points).float() * self.size / torch.tensor([width, height])
        return {
            "point_coords": coordinates.to(self.device),
            "point_labels": torch.from_numpy(labels).int().to(self.device),
        }

    # What it is told ------------------------------------------------------------------------------

    def loss(self, rng: Rng, progress: float) -> tuple[Tensor, dict[str, float]]:
        """The loss of a random batch, and what to log."""
        model, length = self.model, self._length(rng, progress)
        u = rng.random()
        kind = "box" if u < 0.8 else "point" if u < 0.88 or length == 1 else "mask"
        images, masks, owner, together, clips = self._batch(rng, length)
        resized = F.interpolate(
            images.permute(0, 3, 1, 2).float(),
            size=(self.size, self.size),
            mode="bicubic",
            antialias=True,
            align_corners=False,
        )
        pixels = normalize(resized.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).to(self.device))
        backbone = model.forward_image(pixels)
        _, features, positions, sizes = model._prepare_backbone_features(backbone)
        log: dict[str, list[float]] = {"prompted_j": [], "tracked_j": [], "visible": []}
        total = 0.5 * length * self._dense_loss(features, together, clips)
        outputs: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
        gap = int(rng.integers(0, 24)) if length >= 4 and rng.random() < 0.3 else 0  # as after a long absence
        teaching = 0.8 * max(0.0, 1 - progress / 0.5) if self.is_new else 0.3 * max(0.0, 1 - progress / 0.3)
        truth = F.interpolate(masks.float(), size=(self.size // 2, self.size // 2), mode="area").to(
            self.device
        )
        for t in range(length):
            place = t + gap if t else 0
            index = t * len(clips) + owner
            prompt, mask = self._prompt(rng, masks[0], kind) if t == 0 else (None, None)
            current, sam, high_res, fused = model._track_step(
                place,
                t == 0,
                [x[:, index] for x in features],
                [x[:, index] for x in positions],
                sizes,
                prompt,
                mask,
                outputs,
                1000,
                False,
                None,
            )
            if mask is None:
                total = total + self._frame_loss(truth[t], fused if t else None)
                self._judge(log, sam[3], truth[t], prompted=t == 0)
                if rng.random() < CORRECTED / length:
                    sam = model._forward_sam_heads(
                        fused, self._clicks(rng, sam[3], masks[t]), sam[3].detach().clamp(-32, 32), high_res
                    )
                    total = total + self._frame_loss(truth[t], None)
            low, high, pointer, score = sam[3:]
            current["pred_masks"], current["obj_ptr"] = low, pointer
            if rng.random() < teaching and mask is None:
                gold = masks[t][:, None].float().to(self.device)
                high = 20 * F.interpolate(gold, size=(self.size, self.size), mode="nearest") - 10
                score = 20 * gold.amax((2, 3)) - 10
            model._encode_memory_in_output(
                [x[:, index] for x in features], sizes, prompt, True, high, score, current
            )
            outputs["cond_frame_outputs" if t == 0 else "non_cond_frame_outputs"][place] = current
        return total / length, {k: float(np.mean(v)) for k, v in log.items() if v}

    def _frame_loss(self, truth: Tensor, fused: Tensor | None) -> Tensor:
        """Of one frame: ``truth (N, S/2, S/2)``, shares of pixels; ``fused``, image and memory."""
        masks, scores = self._seen["masks"], self._seen["scores"][:, 0]
        area = truth.sum((1, 2))
        logits = F.interpolate(masks, size=truth.shape[1:], mode="bilinear", align_corners=False)
        gold = truth[:, None].expand_as(logits)
        # Cross entropy where it matters, around the object; elsewhere enough to keep specks away.
        near = F.max_pool2d((truth[:, None] > 0).float(), 17, 1, 8)
        weight = near + 0.4 * (1 - near)
        bce = F.binary_cross_entropy_with_logits(logits, gold, reduction="none")
        bce = (bce * weight).sum((2, 3)) / near.sum((2, 3)).clamp(min=150)
        p = logits.sigmoid()
        dice = 1 - (2 * (p * gold).sum((2, 3)) + 1) / (p.sum((2, 3)) + gold.sum((2, 3)) + 1)
        with torch.no_grad():
            a, b = logits > 0, gold > 0.5
            iou = (a & b).sum((2, 3)) / (a | b).sum((2, 3)).clamp(min=1)
        best = (bce + dice).argmin(1, keepdim=True)
        visible = (area >= 5).float()
        count = visible.sum().clamp(min=1)
        loss = ((bce + dice).gather(1, best)[:, 0] * visible).sum() / count
        loss = loss + ((self._seen["ious"] - iou).abs().mean(1) * visible).sum() / count
        clear = ((area == 0) | (area >= 12)).float()
        loss = (
            loss
            + (
                F.binary_cross_entropy_with_logits(scores, (area > 0).float(), reduction="none") * clear
            ).mean()
        )
        return loss + self._gate_loss(truth, fused)

    def _gate_loss(self, truth: Tensor, fused: Tensor | None) -> Tensor:
        side = self.size // 16
        on = (F.adaptive_avg_pool2d(truth[:, None], side) * 2).clamp(max=1).flatten(1)
        weight = 1 + 3 * (on > 0.1).float()
        tokens = {"early": self._seen["early"], "late": self._seen["late"]}
        if fused is not None:
            tokens["memory"] = fused.flatten(2).transpose(1, 2)
        losses = [
            (
                F.binary_cross_entropy_with_logits(self.heads[name](x)[..., 0], on, reduction="none") * weight
            ).mean()
            for name, x in tokens.items()
        ]
        return torch.stack(losses).sum()

    def _dense_loss(
        self, features: list[Tensor], together: npt.NDArray[np.uint8], clips: list[int]
    ) -> Tensor:
        total = torch.zeros((), device=self.device)
        n = len(COLORS) + 1
        weight = torch.ones(n, device=self.device)
        weight[0] = 0.25
        colors = np.stack([_table([COLORS.index(c) + 1 for c, _ in self.pool.labels[i]], 0) for i in clips])
        shapes = np.stack(
            [_table([SHAPE_CLASSES.index(s) for _, s in self.pool.labels[i]], -100) for i in clips]
        )
        owner = np.arange(len(together)) % len(clips)
        height, width = together.shape[1:]
        for stride, cells in zip((4, 8, 16), features, strict=True):
            side = self.size // stride
            y, x = (((np.arange(side) + 0.5) * n_px / side).astype(int) for n_px in (height, width))
            ids = together[:, y[:, None], x[None]]
            color = torch.from_numpy(colors[owner[:, None, None], ids]).flatten().to(self.device)
            out = self.heads[str(stride)](cells).transpose(0, 1).flatten(0, 1)
            total = total + F.cross_entropy(out[:, :n], color, weight=weight)
            if stride == 16:
                shape = torch.from_numpy(shapes[owner[:, None, None], ids]).flatten().to(self.device)
                if (shape >= 0).any():
                    total = total + 0.5 * F.cross_entropy(out[:, n:], shape)
        return total

    @torch.no_grad()
    def _judge(self, log: dict[str, list[float]], low: Tensor, truth: Tensor, *, prompted: bool) -> None:
        found = F.interpolate(low, size=truth.shape[1:], mode="bilinear", align_corners=False)[:, 0] > 0
        gold = truth > 0.5
        j = (found & gold).sum((1, 2)) / (found | gold).sum((1, 2)).clamp(min=1)
        large = truth.sum((1, 2)) >= 12
        if large.any():
            log["prompted_j" if prompted else "tracked_j"].append(j[large].mean().item())
        log["visible"].append(
            ((self._seen["scores"][:, 0] > 0) == (truth.sum((1, 2)) > 0)).float().mean().item()
        )

    def save(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write what ``--model-path`` takes, weights in fp16."""
        model = {key[2:]: value.half().cpu() for key, value in weights.items() if key.startswith("0.")}
        torch.save({"model": model}, folder / "sam2.1_hiera_mini.pt")


def _table(values: list[int], background: int) -> npt.NDArray[np.int64]:
    """From the ids of a clip to what they mean, padded so that clips can be stacked."""
    return np.array([background, *values, *[background] * (16 - len(values))], np.int64)


def _draw_curtain(rng: Rng, images: npt.NDArray[np.uint8], ids: npt.NDArray[np.uint8], hidden: int) -> None:
    """Hide one object behind a plain curtain for a few frames, in place."""
    color = rng.uniform(20, 200, 3)
    first = int(rng.integers(1, len(images)))
    for t in range(first, min(len(images), first + int(rng.integers(1, 4)))):
        rows, columns = np.nonzero(ids[t] == hidden)
        if len(rows):
            margin = rng.integers(3, 20, 4)
            part = np.s_[
                max(0, rows.min() - margin[0]) : rows.max() + margin[1],
                max(0, columns.min() - margin[2]) : columns.max() + margin[3],
            ]
            images[t][part] = (color + rng.normal(0, 6, images[t][part].shape)).clip(0, 255)
            ids[t][part] = 0
