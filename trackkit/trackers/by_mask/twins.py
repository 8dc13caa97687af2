"""Objects whose masks have fallen together, as when one hides the other and its mask slips over."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from trackkit.core.boxes import box_iou
from trackkit.trackers.by_mask.newcomers import SAME_IOU
from trackkit.trackers.by_mask.objects import TWIN_FRAMES, Track
from trackkit.trackers.by_mask.outlines import boxes_of, outline_iou
from trackkit.trackers.by_mask.window import HeldFrame

# Masks that are the same have much the same boxes: few have to be compared.
_NEAR_IOU = 0.5


class Twins:
    """Finds them; every frame has to be shown.

    Its size is bounded by the pairs that are the same in the last frame.
    """

    def __init__(self) -> None:
        self._since: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        """Pairs that are the same right now."""
        return len(self._since)

    @property
    def suspects(self) -> set[int]:
        """Keys of the objects that are the same as another one right now."""
        return {key for pair in self._since for key in pair}

    def update(self, held: HeldFrame) -> list[tuple[Track, Track, int]]:
        """Look at the next frame.

        Returns:
            Pairs that have been the same for ``TWIN_FRAMES`` frames: the older one, the younger one, and the
            number of the first of these frames.
        """
        rows = list(held.rows.values())
        boxes = boxes_of([row.outline for row in rows])
        overlap = box_iou(boxes, boxes)
        np.fill_diagonal(overlap, 0)
        near = [row for row, most in zip(rows, overlap.max(1, initial=0), strict=True) if most >= _NEAR_IOU]
        outlines = [row.outline for row in near]
        iou = outline_iou(outlines, outlines, *held.size)
        same = [
            (near[i].track.key, near[j].track.key)
            for i, j in combinations(range(len(near)), 2)
            if iou[i, j] >= SAME_IOU
        ]
        self._since = {pair: self._since.get(pair, held.no) for pair in same}
        return [
            (held.rows[min(pair)].track, held.rows[max(pair)].track, since)
            for pair, since in self._since.items()
            if held.no - since + 1 >= TWIN_FRAMES
        ]


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
