"""Boxes: ``xyxy`` in pixels, ``x2, y2`` exclusive."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trackkit.core.arrays import Boxes


def box_iou(a: Boxes, b: Boxes) -> npt.NDArray[np.float32]:
    """Intersection over union of all boxes of ``a (N, 4)`` with all of ``b (M, 4)``: ``float32 (N, M)``.

    Boxes without area have IoU 0 with everything.
    """
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    intersection = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    union = box_areas(a)[:, None] + box_areas(b)[None, :] - intersection
    iou = np.zeros(union.shape, np.float32)
    np.divide(intersection, union, out=iou, where=union > 0)
    return iou


def paired_box_iou(a: Boxes, b: Boxes) -> npt.NDArray[np.float32]:
    """IoU of each box of ``a (N, 4)`` with the one of ``b (N, 4)`` in its place: ``float32 (N,)``."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    shared = sides.clip(0).prod(axis=1)
    union = box_areas(a) + box_areas(b) - shared
    iou = np.zeros(len(a), np.float32)
    np.divide(shared, union, out=iou, where=union > 0)
    return iou


def box_areas(boxes: Boxes) -> npt.NDArray[np.float32]:
    """Areas ``float32 (N,)`` of boxes ``(N, 4)``; an inverted box has none."""
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    return np.asarray(sides[:, 0] * sides[:, 1], np.float32)


def clip_boxes(boxes: Boxes, width: int, height: int) -> Boxes:
    """The part of each box of ``(N, 4)`` that lies in the frame, without area if none: ``float32 (N, 4)``."""
    return np.clip(boxes, 0, np.array([width, height, width, height], np.float32)).astype(np.float32)


def widen_boxes(boxes: Boxes, share: float) -> Boxes:
    """Boxes ``(N, 4)`` that reach further by ``share`` of their width, or height, on each side."""
    margin = share * (boxes[:, 2:] - boxes[:, :2])
    return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], 1)
