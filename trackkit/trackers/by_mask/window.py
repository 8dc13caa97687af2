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

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, pixels."""
        height, width = self.frame.image.shape[:2]
        return height, width

    def see(self, track: Track, outline: Outline, *, detected: bool) -> None:
        """An object is visible here, maybe detected; any row that it had before is replaced."""
        track.see(self.no, self.frame.time_s, outline, detected=detected)
        self.rows[track.key] = Row(track, outline, track.score, detected)

    def places(self) -> dict[Track, Outline]:
        """The visible objects, and where they are."""
        return {row.track: row.outline for row in self.rows.values()}


class Window:
    """Frames in order, oldest first. Objects get their ids when they leave, in the order of appearance.

    Args:
        taken: Ids that no object gets here.

    Attributes:
        newest_no: Number of the frame that is held last; -1 where none ever was.
        open_from: Objects that are born later are filled in from the frame of this number on.
    """

    def __init__(self, taken: Set[int] = frozenset()) -> None:
        self.newest_no = -1
        self.open_from = 0
        self._frames: deque[HeldFrame] = deque()
        self._ids = (obj_id for obj_id in count(1) if obj_id not in taken)

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[HeldFrame]:
        return iter(self._frames)

    def hold(self, frame: Frame) -> HeldFrame:
        """Hold the next frame."""
        self.newest_no += 1
        held = HeldFrame(frame, self.newest_no)
        self._frames.append(held)
        return held

    def open_before(self, held: HeldFrame) -> list[HeldFrame]:
        """The frames before a held one in which objects may be filled in, newest first."""
        return [each for each in reversed(self._frames) if self.open_from <= each.no < held.no]

    def forget(self, track: Track, first_no: int = 0) -> None:
        """Take back the rows of an object from frame ``first_no`` on."""
        for held in self._frames:
            if held.no >= first_no:
                held.rows.pop(track.key, None)

    def forget_overlapping(self, track: Track, iou: float) -> None:
        """Take back the newest rows of an object in which its mask lies on another one with this IoU or more.

        Only those of frames in which objects may be filled in; older ones stay as they are.
        """
        for held in reversed(self._frames):
            others = [row.outline for key, row in held.rows.items() if key != track.key]
            mine = [held.rows[track.key].outline] if track.key in held.rows else []
            if held.no < self.open_from or outline_iou(mine, others, *held.size).max(initial=0) < iou:
                return
            del held.rows[track.key]

    def rename(self, track: Track, to: Track) -> None:
        """Give the rows of an object to another one, in frames in which that has none of its own."""
        for held in self._frames:
            row = held.rows.pop(track.key, None)
            if row is not None:
                held.rows.setdefault(to.key, row._replace(track=to))

    def keep_features(self, at_most: int) -> None:
        """Drop features of frames in which nothing can be filled in, and all but the newest ``at_most``."""
        for k, held in enumerate(reversed(self._frames)):
            if held.no < self.open_from or k >= at_most:
                held.features = None

    def release(self, undecided: Set[int], room: int) -> list[TrackedObjects]:
        """Let go of frames that are settled: nothing is filled in there, and none of their rows taken back.

        Args:
            undecided: Keys of objects whose rows may yet be taken back.
            room: Most frames that may stay, settled or not.
        """
        settled = []
        while self._frames:
            oldest = self._frames[0]
            is_open = oldest.no >= self.open_from or not undecided.isdisjoint(oldest.rows)
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
