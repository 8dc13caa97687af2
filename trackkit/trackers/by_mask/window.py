"""The frames that a tracker holds back, so that it can revise them before they leave."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

import numpy as np

from trackkit.core.frames import Frame, TrackedObjects
from trackkit.trackers.by_mask.engine import Features
from trackkit.trackers.by_mask.objects import Track
from trackkit.trackers.by_mask.outlines import Outline, boxes_of, outline_iou


class Row(NamedTuple):
    """One visible object in one frame; the score is that of the last match then."""

    track: Track
    outline: Outline
    score: float
    detected: bool


@dataclass(slots=True, eq=False)
class HeldFrame:
    """A frame that may still change.

    Attributes:
        frame: The frame.
        no: Number of the processed frame, from 0.
        rows: Key of the object to its row.
        features: What the image encoder gave, for as long as it may be needed.
    """

    frame: Frame
    no: int
    rows: dict[int, Row] = field(default_factory=dict)
    features: Features | None = None

    def outlines(self) -> dict[int, Outline]:
        """Key of each object to its mask."""
        return {key: row.outline for key, row in self.rows.items()}


class Window:
    """Frames in order, oldest first. Objects get their ids when they leave, in the order of appearance.

    Args:
        taken: Ids that no object gets here.
    """

    def __init__(self, taken: Set[int] = frozenset()) -> None:
        self._frames: deque[HeldFrame] = deque()
        self._ids = (obj_id for obj_id in count(1) if obj_id not in taken)

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[HeldFrame]:
        return iter(self._frames)

    def append(self, held: HeldFrame) -> None:
        """Hold one more frame."""
        self._frames.append(held)

    def backwards(self, first_no: int, end_no: int) -> list[HeldFrame]:
        """The frames from the one before number ``end_no`` back to ``first_no``."""
        return [held for held in reversed(self._frames) if first_no <= held.no < end_no]

    def forget(self, key: int, first_no: int = 0) -> None:
        """Take back the rows of an object from frame ``first_no`` on."""
        for held in self._frames:
            if held.no >= first_no:
                held.rows.pop(key, None)

    def forget_overlapping(self, key: int, first_no: int, iou: float, size: tuple[int, int]) -> None:
        """Take back the newest rows of an object in which its mask lies on another one with this IoU or more.

        Args:
            key: The object.
            first_no: Older frames stay as they are.
            iou: 0 to 1.
            size: Height and width of the frames.
        """
        for held in reversed(self._frames):
            others = [row.outline for other, row in held.rows.items() if other != key]
            mine = [held.rows[key].outline] if key in held.rows else []
            if held.no < first_no or outline_iou(mine, others, *size).max(initial=0) < iou:
                return
            del held.rows[key]

    def rename(self, key: int, track: Track) -> None:
        """Give the rows of object ``key`` to another one, where that has none of its own."""
        for held in self._frames:
            row = held.rows.pop(key, None)
            if row is not None:
                held.rows.setdefault(track.key, row._replace(track=track))

    def keep_features(self, first_no: int, at_most: int) -> None:
        """Drop features of frames before ``first_no``, and all but the newest ``at_most``."""
        for k, held in enumerate(reversed(self._frames)):
            if held.no < first_no or k >= at_most:
                held.features = None

    def release(self, open_keys: Set[int], open_from: int, room: int) -> list[TrackedObjects]:
        """Let go of frames that are settled.

        Args:
            open_keys: Objects that may yet be dropped.
            open_from: From this frame number on, objects may yet be filled in.
            room: Most frames that may stay, settled or not.
        """
        settled = []
        while self._frames:
            oldest = self._frames[0]
            is_open = oldest.no >= open_from or not open_keys.isdisjoint(oldest.rows)
            if is_open and len(self._frames) <= room:
                break
            settled.append(self._settle(self._frames.popleft()))
        return settled

    def _settle(self, held: HeldFrame) -> TrackedObjects:
        rows: dict[int, Row] = {}
        for _, row in sorted(held.rows.items(), key=lambda item: item[0]):
            if row.track.obj_id is None:
                row.track.obj_id = next(self._ids)
            rows[row.track.obj_id] = row
        ids = sorted(rows)
        outlines = [rows[i].outline for i in ids]
        return TrackedObjects(
            frame=held.frame,
            obj_ids=np.array(ids, np.int32),
            xyxy=boxes_of(outlines),
            scores=np.array([rows[i].score for i in ids], np.float32),
            labels=tuple(rows[i].track.label for i in ids),
            detected=np.array([rows[i].detected for i in ids], np.bool_),
            areas=np.array([outline.area for outline in outlines], np.int32),
            rles=tuple(outline.rle for outline in outlines),
            pred_ious=np.array([outline.pred_iou for outline in outlines], np.float32),
        )
