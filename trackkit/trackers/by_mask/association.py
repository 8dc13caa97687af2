"""Which detection is which object: matching, births, ghosts and twins. Pure NumPy and SciPy.

Matching is the assignment of SORT (Bewley et al., arXiv 1602.00763): the Hungarian method on IoU. Births,
drifting masks and masks that fall together are judged by overlaps of masks, after SAM2MOT (Jiang et al.,
arXiv 2504.04519). What has slipped is found by widened boxes, after C-BIoU (Yang et al., arXiv 2211.14317).
Matrices are in the order of the arguments; overlaps are fractions from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from trackkit.trackers.by_mask.objects import TWIN_FRAMES, Track

Matrix: TypeAlias = npt.NDArray[np.float32]
Flags: TypeAlias = npt.NDArray[np.bool_]

#: A detection can be an object from this IoU on; SORT's value.
MATCH_IOU = 0.3
#: What lies inside of known objects of its class by this share of its area is no new object.
COVERED = 0.6
#: From this IoU on two masks are the same thing, whatever their classes; SAM2MOT's value.
SAME_IOU = 0.8


#: Frames after a birth in which an object of its class that is out of sight may turn out to be the same.
COMEBACK_FRAMES = 20


#: Seconds for which an object that is out of sight can be found again where it was last seen.
RECOVERY_S = 1.0
#: From this IoU on with an object that was detected, one that was not has slipped onto it.
SLIPPED_IOU = 0.3
#: Boxes grow by this share of their size on each side where what has slipped is looked for; C-BIoU's value.
BUFFER = 0.5


def same_class(a: Sequence[str], b: Sequence[str]) -> Flags:
    """Which of ``N`` labels equals which of ``M``: ``bool (N, M)``."""
    return np.array([[x == y for y in b] for x in a], np.bool_).reshape(len(a), len(b))


def match(iou: Matrix, allowed: Flags, min_iou: float = MATCH_IOU) -> list[tuple[int, int]]:
    """Pair detections with objects so that the sum of their IoUs is the highest (the Hungarian method).

    Args:
        iou: ``(N, M)``, detections by objects.
        allowed: ``bool (N, M)``, for instance :func:`same_class`.
        min_iou: Pairs below it do not take part; nor do those that do not overlap at all.

    Returns:
        Pairs of row and column in the order of the rows; each row and each column at most once.
    """
    admissible = allowed & (iou >= min_iou) & (iou > 0)
    rows, columns = linear_sum_assignment(np.where(admissible, iou, 0), maximize=True)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if admissible[i, j]]


def coverage(iou: Matrix, areas_a: npt.ArrayLike, areas_b: npt.ArrayLike) -> Matrix:
    """How much of each ``a`` lies inside of each ``b``, from their IoU: ``float32 (N, M)``, 0 to 1.

    Args:
        iou: ``(N, M)``.
        areas_a: ``(N,)``, pixels, above 0.
        areas_b: ``(M,)``, pixels, above 0.
    """
    a, b = np.asarray(areas_a, np.float64)[:, None], np.asarray(areas_b, np.float64)[None, :]
    return (iou / (1 + iou) * (a + b) / a).clip(0, 1).astype(np.float32)


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


class Twins:
    """Finds objects whose masks have fallen together, as when one hides the other and its mask slips over.

    Its size is bounded by the pairs that are the same in the last frame.
    """

    def __init__(self) -> None:
        self._since: dict[tuple[int, int], int] = {}

    @property
    def suspects(self) -> set[int]:
        """Keys of the objects that are the same as another one right now."""
        return {key for pair in self._since for key in pair}

    def update(self, frame_no: int, keys: Sequence[int], iou: Matrix) -> list[tuple[int, int, int]]:
        """Look at one frame; every frame has to be shown.

        Args:
            frame_no: Counts up by one.
            keys: ``N`` visible objects.
            iou: ``(N, N)`` of their masks.

        Returns:
            Pairs that have been the same for ``TWIN_FRAMES`` frames: two keys and the first of these frames.
        """
        same = [(keys[i], keys[j]) for i, j in combinations(range(len(keys)), 2) if iou[i, j] >= SAME_IOU]
        self._since = {pair: self._since.get(pair, frame_no) for pair in same}
        return [(*pair, since) for pair, since in self._since.items() if frame_no - since + 1 >= TWIN_FRAMES]


def has_come_back(older: Track, younger: Track, since: int) -> bool:
    """Whether twins are one object: born anew from a detection before the model had found it again.

    So it is if the older one was out of sight when the younger one was born, and came into sight at the place
    of the younger one: their masks were the same soon after.

    Args:
        older: The twin with the lower key.
        younger: The other one.
        since: The first frame in which they were the same.
    """
    if younger.given_id is not None:
        return False
    was_away = older.lost_no < younger.born_no <= older.back_no
    return was_away and older.label == younger.label and since - older.back_no <= TWIN_FRAMES


def weaker(a: Track, b: Track) -> Track:
    """The one of two twins that goes: it was detected less often, or else is the younger one.

    What the user pointed out goes last; of two such ones neither should.
    """
    return min(a, b, key=lambda track: (track.given_id is not None, track.hits, -track.key))
