"""The mask of an object in one frame, as it is kept and compared: run-length encoded, never dense."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import torch

from trackkit.core.arrays import Boxes
from trackkit.core.clock import StageClock
from trackkit.core.masks import BinaryMasks, encode_masks, rle_areas, rle_iou
from trackkit.trackers.by_mask.propagation import Propagation

Bounds: TypeAlias = npt.NDArray[np.int64]
Matrix: TypeAlias = npt.NDArray[np.float32]


class Outline(NamedTuple):
    """A mask that is not empty.

    Attributes:
        rle: Compressed COCO counts of the full frame.
        xyxy: ``float32 (4,)``, its tight box.
        area: Pixels.
        pred_iou: The IoU that the model predicts for it; NaN for one that is not the model's.
    """

    rle: bytes
    xyxy: npt.NDArray[np.float32]
    area: int
    pred_iou: float = math.nan


def outlines_of(masks: BinaryMasks, bounds: Bounds | None = None) -> list[Outline | None]:
    """Outlines of masks ``(N, H, W)``; None for an empty one.

    Args:
        masks: ``bool`` or ``uint8``.
        bounds: ``(N, 4)``, ``xyxy`` outside of which nothing is set; a full frame is slow to search.
    """
    n, height, width = masks.shape
    if bounds is None:
        bounds = np.tile([0, 0, width, height], (n, 1))
    xyxy = np.zeros((n, 4), np.float32)
    for i, (x1, y1, x2, y2) in enumerate(bounds):
        # An engine's masks lie column by column: OpenCV takes them turned, without a copy.
        y, x, h, w = cv2.boundingRect(masks[i, y1:y2, x1:x2].T.view(np.uint8))
        xyxy[i] = x1 + x, y1 + y, x1 + x + w, y1 + y + h
    rles = encode_masks(masks, xyxy)
    areas = rle_areas(rles, height, width).tolist()
    return [Outline(*o) if o[2] else None for o in zip(rles, xyxy, areas, strict=True)]


def visible_outlines(
    propagation: Propagation,
    clock: StageClock,
    min_pred_iou: float = 0.0,
    vouched_for: Container[int] = (),
) -> dict[int, Outline]:
    """Outlines of the objects that can be seen.

    Args:
        propagation: What the engine gave. Of an object that can be seen, the objectness is above 0, the mask
            is not empty,
        clock: Books the encoding of masks.
        min_pred_iou: and the predicted IoU is at least this;
        vouched_for: or 0 for these objects, which the user points out there.
    """
    with torch.inference_mode():
        inside = propagation.low_res[:, 0] > 0
        side = inside.shape[-1]
        numbers = torch.stack([propagation.obj_scores, propagation.ious], 1)
        found = torch.cat([numbers, inside.any(1), inside.any(2)], 1).cpu().numpy()  # one copy to the host
    scores, ious, facts = found[:, 0], found[:, 1], found[:, 2:] > 0
    limits = [0.0 if obj_id in vouched_for else min_pred_iou for obj_id in propagation.obj_ids]
    least = np.array(limits, np.float32)
    visible = np.flatnonzero((scores > 0) & (ious >= least) & facts.any(1))
    if not len(visible):
        return {}
    keys = [propagation.obj_ids[i] for i in visible]
    facts, pred_ious = facts[visible], ious[visible].tolist()
    bounds = _bounds(facts[:, :side], facts[:, side:], *propagation.video_size)
    with clock("encode"):  # not before: the first copy to the host waits for the model
        outlines = outlines_of(propagation.select(keys).masks(), bounds)
    return {
        key: outline._replace(pred_iou=pred_iou)
        for key, outline, pred_iou in zip(keys, outlines, pred_ious, strict=True)
        if outline is not None
    }


def _bounds(columns: npt.NDArray[np.bool_], rows: npt.NDArray[np.bool_], height: int, width: int) -> Bounds:
    """Where pixels of a bilinearly resized mask can be, from the occupied cells of the small one.

    Args:
        columns: ``bool (N, w)``, at least one of each mask.
        rows: ``bool (N, h)``, likewise.
        height: Of the large masks.
        width: Of the large masks.

    Returns:
        ``xyxy (N, 4)`` in the large masks.
    """
    ends = []
    for cells, size in ((columns, width), (rows, height)):
        n, scale = cells.shape[1], size / cells.shape[1]
        first, last = cells.argmax(1), n - 1 - cells[:, ::-1].argmax(1)
        # A cell reaches one cell further than its centre, and is centred half a cell in.
        low = np.floor((first - 0.5) * scale - 0.5)
        high = np.ceil((last + 1.5) * scale - 0.5) + 1
        ends.append(np.stack([low, high], 1).clip(0, size).astype(np.int64))
    return np.concatenate(ends, 1)[:, [0, 2, 1, 3]]


def outline_iou(a: Sequence[Outline], b: Sequence[Outline], height: int, width: int) -> Matrix:
    """IoU of every mask of ``a`` with every mask of ``b``: ``float32 (N, M)``."""
    return rle_iou([o.rle for o in a], [o.rle for o in b], height, width)


class HasBox(Protocol):
    """An outline, or a detection."""

    @property
    def xyxy(self) -> npt.NDArray[np.float32]:
        """Its box, ``(4,)``."""


def boxes_of(outlines: Sequence[HasBox]) -> Boxes:
    """Their boxes ``float32 (N, 4)``."""
    return np.array([o.xyxy for o in outlines], np.float32).reshape(-1, 4)
