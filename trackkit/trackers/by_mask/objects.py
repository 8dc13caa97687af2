"""The objects of a mask tracker."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Frames in a row that two masks have to be the same before one of the objects goes.
TWIN_FRAMES = 10


#: Runs of the detector that see nothing of a visible newcomer before it counts as a ghost.
GHOST_RUNS = 3


#: A matched pair below this IoU has drifted apart,
DRIFT_IOU = 0.6
#: and after so many of them in a row the mask may be anchored anew.
DRIFT_RUNS = 2


@dataclass(slots=True, eq=False)
class Track:
    """What is known of one object, beside its masks.

    Attributes:
        key: Names it inside of the tracker; grows with time, never reused.
        label: Class of the detection that it was born from; it never changes.
        score: Of the last matched detection.
        born_no: Number of the frame in which it was born.
        seen_no: Number of the last frame in which it was visible,
        seen_s: and its time, seconds.
        back_no: Number of the frame in which it came into sight last,
        lost_no: and of the one before in which it had gone out of sight; ``born_no`` where it never did.
        hits: Detections that were matched to it; the one that it was born from is the first.
        misses: Runs of the detector that did not see it although it was visible.
        drifts: Matches in a row with an IoU below ``DRIFT_IOU``.
        obj_id: What the user sees, from 1 up; None until its first frame leaves the tracker.
        given_id: The same from the start, where the user pointed it out: such an object is no ghost, and of
            two twins the one that stays.
    """

    key: int
    label: str
    score: float
    born_no: int
    seen_no: int = field(init=False)
    seen_s: float
    back_no: int = field(init=False)
    lost_no: int = field(init=False)
    hits: int = 1
    misses: int = 0
    drifts: int = 0
    obj_id: int | None = field(init=False)
    given_id: int | None = None

    def __post_init__(self) -> None:
        self.obj_id = self.given_id
        self.seen_no = self.back_no = self.lost_no = self.born_no

    def see(self, frame_no: int, time_s: float) -> None:
        """It is visible in this frame."""
        if frame_no > self.seen_no + 1:
            self.lost_no, self.back_no = self.seen_no, frame_no
        self.seen_no, self.seen_s = frame_no, time_s

    @property
    def is_confirmed(self) -> bool:
        """Whether a second detection, or the user, has seen it."""
        return self.given_id is not None or self.hits > 1

    @property
    def is_ghost(self) -> bool:
        """Whether the detector had its chances, and only ever saw it once."""
        return not self.is_confirmed and self.misses >= GHOST_RUNS

    def was_away(self, frame_no: int) -> bool:
        """Whether it is out of sight, or came back a moment ago."""
        came_back = self.back_no > self.lost_no and frame_no - self.back_no <= TWIN_FRAMES
        return self.seen_no < frame_no or came_back

    def match(self, score: float, iou: float) -> bool:
        """A detection was matched; tells whether the mask has drifted off, and begins to count anew if so."""
        self.score = score
        self.hits += 1
        self.drifts = self.drifts + 1 if iou < DRIFT_IOU else 0
        has_drifted = self.drifts >= DRIFT_RUNS
        if has_drifted:
            self.drifts = 0
        return has_drifted
