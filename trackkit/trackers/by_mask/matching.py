"""Which detection is which object.

Matching is the assignment of SORT (Bewley et al., arXiv 1602.00763): the Hungarian method on IoU, within each
class. What has slipped is found by widened boxes, after C-BIoU (Yang et al., arXiv 2211.14317). Overlaps are
fractions from 0 to 1, and matrices are in the order of the arguments.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from trackkit.core.arrays import Masks
from trackkit.core.boxes import box_areas, box_iou, clip_boxes, widen_boxes
from trackkit.core.frames import Detections
from trackkit.trackers.by_mask.newcomers import Flags, same_class
from trackkit.trackers.by_mask.objects import Track
from trackkit.trackers.by_mask.outlines import Matrix, Outline, boxes_of, outline_iou, outlines_of
from trackkit.trackers.by_mask.prompts import BoxPrompt, EnginePrompt, MaskPrompt
from trackkit.trackers.by_mask.window import HeldFrame

#: A detection can be an object from this IoU on; SORT's value.
MATCH_IOU = 0.3
#: From this IoU on with an object that was detected, one that was not has slipped onto it.
SLIPPED_IOU = 0.3
#: Boxes grow by this share of their size on each side where what has slipped is looked for; C-BIoU's value.
BUFFER = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One detection with an area inside of the frame.

    Attributes:
        label: Its class.
        score: 0 to 1.
        xyxy: ``float32 (4,)``, inside of the frame.
        mask: ``bool (H, W)``; None if the detector gives boxes only.
        outline: The mask, run-length encoded; None without one.
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


class Match(NamedTuple):
    """A detection, the object that it is, and their IoU."""

    candidate: Candidate
    track: Track
    iou: float


class Matches(NamedTuple):
    """What the detections of one frame are.

    Attributes:
        seen: Objects that are visible there.
        recovered: Objects that were lost a moment ago, where they were last seen.
        returned: Objects whose masks have slipped onto others, near where they were last detected.
        left: Detections that belong to no object.
    """

    seen: list[Match]
    recovered: list[Match]
    returned: list[Match]
    left: list[Candidate]


def match_frame(found: Sequence[Candidate], held: HeldFrame, lost: Mapping[Track, Outline]) -> Matches:
    """Pair the detections of a frame with its objects, then with lost ones, then with those that slipped.

    Args:
        found: The detections.
        held: The frame with what can be seen in it.
        lost: Objects that have gone out of sight a moment ago, and where they were last seen.
    """
    seen, left = match(found, held.places(), held.size)
    recovered, left = match(left, lost, held.size)
    slipped = slipped_from(held, {track for _, track, _ in seen})
    returned, left = match(left, slipped, held.size, buffer=BUFFER)
    return Matches(seen, recovered, returned, left)


def match(
    found: Sequence[Candidate],
    places: Mapping[Track, Outline],
    size: tuple[int, int],
    *,
    buffer: float = 0.0,
) -> tuple[list[Match], list[Candidate]]:
    """Pair detections with objects of their class.

    Args:
        found: The detections.
        places: Where each object is.
        size: Height and width of the frame.
        buffer: Where it is not 0, it is enough that boxes widened by this share of their size overlap.

    Returns:
        The pairs, and the detections that are left.
    """
    tracks, outlines = list(places), list(places.values())
    if buffer:
        iou = box_iou(widen_boxes(boxes_of(found), buffer), widen_boxes(boxes_of(outlines), buffer))
    else:
        iou = overlaps(found, outlines, size)
    allowed = same_class([each.label for each in found], [track.label for track in tracks])
    pairs = assign(iou, allowed, 0.0 if buffer else MATCH_IOU)
    matched = {i for i, _ in pairs}
    left = [each for i, each in enumerate(found) if i not in matched]
    return [Match(found[i], tracks[j], float(iou[i, j])) for i, j in pairs], left


def overlaps(found: Sequence[Candidate], outlines: Sequence[Outline], size: tuple[int, int]) -> Matrix:
    """IoU of detections with objects, ``float32 (N, M)``: of masks if detections have them, else of boxes."""
    masks = [each.outline for each in found if each.outline is not None]
    return outline_iou(masks, outlines, *size) if masks else box_iou(boxes_of(found), boxes_of(outlines))


def assign(iou: Matrix, allowed: Flags, min_iou: float = MATCH_IOU) -> list[tuple[int, int]]:
    """Pair rows with columns so that the sum of their IoUs is the highest (the Hungarian method).

    Args:
        iou: ``(N, M)``.
        allowed: ``bool (N, M)``, for instance :func:`~trackkit.trackers.by_mask.newcomers.same_class`.
        min_iou: Pairs below it do not take part; nor do those that do not overlap at all.

    Returns:
        Pairs of row and column in the order of the rows; each row and each column at most once.
    """
    admissible = allowed & (iou >= min_iou) & (iou > 0)
    rows, columns = linear_sum_assignment(np.where(admissible, iou, 0), maximize=True)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if admissible[i, j]]


def slipped_from(held: HeldFrame, seen: Container[Track]) -> dict[Track, Outline]:
    """Objects that were not detected, with masks on objects that were; and where they were last detected.

    Args:
        held: The frame with what can be seen in it.
        seen: Objects that a detection of this frame was matched to.
    """
    detected = {row.track for row in held.rows.values() if row.detected or row.track in seen}
    places = held.places()
    there = [places[track] for track in places if track in detected]
    undetected = {track: places[track] for track in places if track not in detected}
    most = outline_iou(list(undetected.values()), there, *held.size).max(1, initial=0)
    return {
        track: track.last_detected
        for track, iou in zip(undetected, most, strict=True)
        if track.last_detected is not None and iou >= SLIPPED_IOU
    }
