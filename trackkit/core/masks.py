"""Masks and COCO run-length encoding (RLE).

Boxes are ``xyxy`` in pixels, ``x2, y2`` exclusive. RLE is COCO's compressed form: run lengths of the whole
frame in column-major order, zeros first, packed to ASCII as in pycocotools
(https://github.com/cocodataset/cocoapi).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco

from trackkit.core.arrays import Boxes, Masks

BinaryMasks = npt.NDArray[np.bool_] | npt.NDArray[np.uint8]


def boxes_of_masks(masks: BinaryMasks) -> Boxes:
    """The tight box of each mask of ``(N, H, W)``: ``float32 (N, 4)``.

    Raises:
        ValueError: A mask is empty: it has no box. Drop empty masks first.
    """
    boxes = np.zeros((len(masks), 4), np.float32)
    for i, mask in enumerate(masks):
        x, y, w, h = cv2.boundingRect(_as_bytes(mask))
        if w == 0:
            msg = f"mask {i} of {len(masks)} is empty and has no box: drop empty masks first"
            raise ValueError(msg)
        boxes[i] = x, y, x + w, y + h
    return boxes


def encode_masks(masks: BinaryMasks, xyxy: Boxes | None = None) -> list[bytes]:
    """RLE of each mask of ``(N, H, W)``, byte for byte what ``pycocotools.mask.encode`` gives.

    Runs are looked for inside the mask's box only, which makes small objects in large frames cheap.

    Args:
        masks: ``bool`` or ``uint8`` (nonzero is foreground) ``(N, H, W)``. Empty masks are allowed.
        xyxy: Boxes ``(N, 4)`` outside of which the masks are known to be empty; None looks for them.
    """
    height, width = masks.shape[1:]
    runs = []
    for i, mask in enumerate(masks):
        if xyxy is None:
            x1, y1, w, h = cv2.boundingRect(_as_bytes(mask))
            x2, y2 = x1 + w, y1 + h
        else:
            x1, y1 = np.clip(np.floor(xyxy[i, :2]), 0, (width, height)).astype(int)
            x2, y2 = np.clip(np.ceil(xyxy[i, 2:]), 0, (width, height)).astype(int)
        runs.append({"size": [height, width], "counts": _run_lengths(mask, x1, y1, x2, y2)})
    return [rle["counts"] for rle in coco.frPyObjects(runs, height, width)] if runs else []


def _run_lengths(mask: BinaryMasks, x1: int, y1: int, x2: int, y2: int) -> npt.NDArray[np.int64]:
    """Column-major run lengths of ``mask (H, W)``, zeros first, which is empty outside of the given box."""
    height, width = mask.shape
    # One row per image column, a background pixel before and after: runs begin at edges[0::2], end at [1::2].
    padded = np.zeros((max(x2 - x1, 0), max(y2 - y1, 0) + 2), np.bool_)
    padded[:, 1:-1] = mask[y1:y2, x1:x2].T
    column, row = np.nonzero(padded[:, 1:] != padded[:, :-1])
    edges = (column + x1) * height + row + y1
    # A run that reaches the bottom goes on where the next column begins with foreground.
    joined = np.flatnonzero(edges[1:-1:2] == edges[2::2]) * 2 + 1
    if len(joined):
        edges = np.delete(edges, np.concatenate([joined, joined + 1]))
    if not len(edges) or edges[-1] != height * width:  # COCO writes no empty last run
        edges = np.append(edges, height * width)
    return np.asarray(np.diff(edges, prepend=0), np.int64)


def decode_rle(counts: bytes | str, height: int, width: int) -> Masks:
    """The mask ``bool (H, W)`` of compressed RLE counts.

    Raises:
        ValueError: The counts are no RLE of a mask of that size.
    """
    x, y, crop = decode_rle_crop(counts, height, width)
    mask = np.zeros((height, width), np.bool_)
    mask[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    return mask


def decode_rle_crop(counts: bytes | str, height: int, width: int) -> tuple[int, int, Masks]:
    """The part of a mask that is not empty: its left edge, its top edge, and ``bool (h, w)``.

    Raises:
        ValueError: The counts are no RLE of a mask of that size.
    """
    # pycocotools would decode the whole frame, and leave memory as it found it where damaged runs end early.
    runs = rle_runs(counts)
    edges = np.cumsum(runs)
    if edges[-1] != height * width:
        msg = f"RLE of {edges[-1]} pixels, but the frame has {height} x {width}: another size, or damaged"
        raise ValueError(msg)
    if not runs[1::2].any():
        return 0, 0, np.zeros((0, 0), np.bool_)
    x1, x2 = int(edges[0]) // height, (int(edges[1::2][-1]) - 1) // height + 1
    in_columns = np.clip(edges, x1 * height, x2 * height)
    in_columns[1:] -= in_columns[:-1].copy()
    in_columns[0] -= x1 * height
    columns = np.repeat(np.arange(len(runs)) % 2 == 1, in_columns).reshape(x2 - x1, height)
    rows = np.flatnonzero(columns.any(axis=0))
    y1, y2 = int(rows[0]), int(rows[-1]) + 1
    return x1, y1, np.ascontiguousarray(columns[:, y1:y2].T)


def rle_runs(counts: bytes | str) -> npt.NDArray[np.int64]:
    """Run lengths ``int64 (R,)`` of compressed counts: background, foreground, background, ...

    Raises:
        ValueError: These are no compressed counts.
    """
    data = (
        np.frombuffer(counts.encode() if isinstance(counts, str) else counts, np.uint8).astype(np.int64) - 48
    )
    # Six bits a character, 5 of the number, lowest first, and 32 where more follow; 16 at the end is a sign.
    ends = np.flatnonzero((data & 32) == 0)
    if not len(ends) or ends[-1] != len(data) - 1 or data.min() < 0 or data.max() > 63:
        msg = f"{counts[:20]!r} is no compressed RLE: it is damaged, or in another encoding"
        raise ValueError(msg)
    starts = np.concatenate([[0], ends[:-1] + 1])
    shifts = 5 * (np.arange(len(data)) - np.repeat(starts, ends - starts + 1))
    runs = np.add.reduceat((data & 31) << shifts, starts)
    runs -= np.where(data[ends] & 16, np.int64(32) << shifts[ends], 0)
    # From the fourth on, a number is the difference to the run two before: sum up even and odd ones.
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    if runs.min() < 0:
        msg = f"{counts[:20]!r} is no compressed RLE: it has runs of negative length"
        raise ValueError(msg)
    return runs


def rle_areas(counts: Sequence[bytes | str], height: int, width: int) -> npt.NDArray[np.int32]:
    """Foreground pixels of each RLE: ``int32 (N,)``."""
    # pycocotools 2.0.11 holds the number of masks in a uint8 before it counts: at most 255 a call.
    chunks = [counts[k : k + 255] for k in range(0, len(counts), 255)]
    areas = [coco.area([_rle(c, height, width) for c in chunk]) for chunk in chunks]
    return np.concatenate([np.zeros(0), *areas]).astype(np.int32)


def rle_iou(
    a: Sequence[bytes | str], b: Sequence[bytes | str], height: int, width: int
) -> npt.NDArray[np.float32]:
    """IoU of every mask of ``a`` with every mask of ``b``, without decoding them: ``float32 (N, M)``."""
    if not a or not b:
        return np.zeros((len(a), len(b)), np.float32)
    rles_a, rles_b = ([_rle(c, height, width) for c in counts] for counts in (a, b))
    return np.asarray(coco.iou(rles_a, rles_b, [0] * len(b)), np.float32)


def _rle(counts: bytes | str, height: int, width: int) -> dict[str, object]:
    return {"size": [height, width], "counts": counts}


def _as_bytes(mask: BinaryMasks) -> npt.NDArray[np.uint8]:
    return mask.view(np.uint8)
