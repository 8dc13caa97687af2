"""Which masks are new objects, and which are objects that are known, after SAM2MOT (arXiv 2504.04519).

Overlaps are fractions from 0 to 1, and matrices are in the order of the arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from trackkit.trackers.by_mask.objects import Track
from trackkit.trackers.by_mask.outlines import Matrix, Outline, outline_iou
from trackkit.trackers.by_mask.window import HeldFrame

Flags: TypeAlias = npt.NDArray[np.bool_]

#: What lies inside of known objects of its class by this share of its area is no new object.
COVERED = 0.6
#: From this IoU on two masks are the same thing, whatever their classes; SAM2MOT's value.
SAME_IOU = 0.8


class Verdict(NamedTuple):
    """What masks in a frame turned out to be.

    Attributes:
        new: Keys of those that are new, in their order.
        known: Objects of the frame that one of the masks is, whatever its class.
    """

    new: list[int]
    known: set[Track]


def judge(held: HeldFrame, labels: Mapping[int, str], outlines: Mapping[int, Outline]) -> Verdict:
    """Compare masks with the objects of a frame, and with each other.

    Args:
        held: The frame with what can be seen in it.
        labels: Key of each mask to its class, the best mask first.
        outlines: Key to mask; one that is not there is not looked at.
    """
    keys = [key for key in labels if key in outlines]
    rows = list(held.rows.values())
    found = [outlines[key] for key in keys]
    everything = [row.outline for row in rows] + found
    of_class = [row.track.label for row in rows] + [labels[key] for key in keys]
    iou = outline_iou(found, everything, *held.size)
    new = newcomers(iou, [outline.area for outline in everything], of_class)
    same = iou[:, : len(rows)].max(axis=0, initial=0)
    known = {row.track for row, most in zip(rows, same, strict=True) if most >= SAME_IOU}
    return Verdict([keys[i] for i in new], known)


def newcomers(iou: Matrix, areas: npt.ArrayLike, labels: Sequence[str]) -> list[int]:
    """Candidates that are none of the known objects, nor of the candidates before them.

    One is known if objects of its class together cover ``COVERED`` of it (their shares are added up), or if
    one of any class has an IoU of ``SAME_IOU`` with it. A wheel inside of a car is a newcomer where both are
    classes.

    Args:
        iou: ``(N, K + N)``, candidates by known objects and then candidates; the best candidate first.
        areas: ``(K + N,)``, pixels, above 0.
        labels: ``K + N``.

    Returns:
        Indices of the newcomers among the candidates, in order.
    """
    num_known = iou.shape[1] - len(iou)
    areas = np.asarray(areas)
    inside = coverage(iou, areas[num_known:], areas)
    inside *= same_class(labels[num_known:], labels)
    known, accepted = list(range(num_known)), []
    for i in range(len(iou)):
        if inside[i, known].sum() < COVERED and (iou[i, known] < SAME_IOU).all():
            accepted.append(i)
            known.append(num_known + i)
    return accepted


def coverage(iou: Matrix, areas_a: npt.ArrayLike, areas_b: npt.ArrayLike) -> Matrix:
    """How much of each ``a`` lies inside of each ``b``, from their IoU: ``float32 (N, M)``, 0 to 1.

    Args:
        iou: ``(N, M)``.
        areas_a: ``(N,)``, pixels, above 0.
        areas_b: ``(M,)``, pixels, above 0.
    """
    a, b = np.asarray(areas_a, np.float64)[:, None], np.asarray(areas_b, np.float64)[None, :]
    return (iou / (1 + iou) * (a + b) / a).clip(0, 1).astype(np.float32)


def same_class(a: Sequence[str], b: Sequence[str]) -> Flags:
    """Which of ``N`` labels equals which of ``M``: ``bool (N, M)``."""
    return np.array([[x == y for y in b] for x in a], np.bool_).reshape(len(a), len(b))
