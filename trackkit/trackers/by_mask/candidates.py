"""What the detector found in one frame, ready to be matched to objects or to become one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trackkit.core.arrays import Masks
from trackkit.core.boxes import box_areas, box_iou, clip_boxes, widen_boxes
from trackkit.core.frames import Detections
from trackkit.trackers.by_mask.association import MATCH_IOU, match, same_class
from trackkit.trackers.by_mask.outlines import Outline, boxes_of, outline_iou, outlines_of
from trackkit.trackers.by_mask.prompts import BoxPrompt, EnginePrompt, MaskPrompt


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One detection with an area inside of the frame.

    Attributes:
        label: Its class.
        score: 0 to 1.
        xyxy: ``float32 (4,)``, inside of the frame.
        mask: ``bool (H, W)``; None where the detector gives boxes only, and
        outline: the same run-length encoded.
    """

    label: str
    score: float
    xyxy: npt.NDArray[np.float32]
    mask: Masks | None = None
    outline: Outline | None = None

    def prompt(self, key: int) -> EnginePrompt:
        """What starts object ``key`` here."""
        return BoxPrompt(key, self.xyxy) if self.mask is None else MaskPrompt(key, self.mask)


def candidates_of(detections: Detections, height: int, width: int) -> list[Candidate]:
    """The detections, best first, without those that have no area inside of the frame or an empty mask."""
    xyxy = clip_boxes(detections.xyxy, width, height)
    best_first = np.argsort(-detections.scores, kind="stable")
    scores, labels = detections.scores.tolist(), detections.labels
    if detections.masks is None:
        return [
            Candidate(labels[i], scores[i], xyxy[i]) for i in best_first if box_areas(xyxy[i : i + 1])[0] > 0
        ]
    outlines = outlines_of(detections.masks)
    return [
        Candidate(labels[i], scores[i], xyxy[i], detections.masks[i], outlines[i])
        for i in best_first
        if outlines[i] is not None
    ]


def overlaps(
    candidates: Sequence[Candidate], outlines: Sequence[Outline], height: int, width: int
) -> npt.NDArray[np.float32]:
    """IoU of detections with objects, ``float32 (N, M)``: of masks if detections have them, else of boxes."""
    masks = [c.outline for c in candidates if c.outline is not None]
    if masks:
        return outline_iou(masks, outlines, height, width)
    return box_iou(boxes_of(candidates), boxes_of(outlines))


class Match(NamedTuple):
    """A detection, the key of the object that it is, and their IoU."""

    candidate: Candidate
    key: int
    iou: float


def match_candidates(
    found: Sequence[Candidate],
    outlines: Mapping[int, Outline],
    labels: Sequence[str],
    height: int,
    width: int,
    *,
    buffer: float = 0.0,
) -> tuple[list[Match], list[Candidate]]:
    """Pair detections with objects of their class.

    Args:
        found: The detections.
        outlines: Key of each object to where it is.
        labels: Of these objects, in order.
        height: Of the frame.
        width: Of the frame.
        buffer: Where it is not 0, it is enough that boxes widened by this share of their size overlap.

    Returns:
        The pairs, and the detections that are left.
    """
    keys, places = list(outlines), list(outlines.values())
    if buffer:
        iou = box_iou(widen_boxes(boxes_of(found), buffer), widen_boxes(boxes_of(places), buffer))
    else:
        iou = overlaps(found, places, height, width)
    pairs = match(iou, same_class([f.label for f in found], labels), 0.0 if buffer else MATCH_IOU)
    matched = {i for i, _ in pairs}
    left = [f for i, f in enumerate(found) if i not in matched]
    return [Match(found[i], keys[j], float(iou[i, j])) for i, j in pairs], left
