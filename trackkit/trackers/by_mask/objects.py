"""The objects that a mask tracker follows: what is known of each, and how many there may be."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from itertools import count

from trackkit.trackers.by_mask.outlines import Outline

#: Frames in a row that two masks have to be the same before one of the objects goes.
TWIN_FRAMES = 10
#: Frames after a birth in which an object of its class that is out of sight may turn out to be the same.
COMEBACK_FRAMES = 20
#: Runs of the detector that see nothing of a visible newcomer before it counts as a ghost.
GHOST_RUNS = 3
#: A matched pair below this IoU has drifted apart,
DRIFT_IOU = 0.6
#: and after so many of them in a row the mask may be anchored anew.
DRIFT_RUNS = 2
#: Seconds for which an object that is out of sight can be found again where it was last seen.
RECOVERY_S = 1.0


@dataclass(slots=True, eq=False)
class Track:
    """What is known of one object.

    Attributes:
        key: Names it inside of the tracker; grows with time, never reused.
        label: Class of the detection that it was born from; it never changes.
        score: Of the last matched detection.
        born_no: Number of the frame in which it was born.
        seen_no: Number of the last frame in which it was visible,
        seen_s: and its time, seconds.
        last_seen: Where it was then; None where it has never been visible.
        last_detected: Where it was when it was last detected, or pointed out; None where it never was.
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
    last_seen: Outline | None = field(init=False, default=None)
    last_detected: Outline | None = field(init=False, default=None)
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

    def see(self, frame_no: int, time_s: float, outline: Outline, *, detected: bool) -> None:
        """It is visible in this frame, maybe detected there."""
        if frame_no > self.seen_no + 1:
            self.lost_no, self.back_no = self.seen_no, frame_no
        self.seen_no, self.seen_s, self.last_seen = frame_no, time_s, outline
        if detected:
            self.last_detected = outline

    def hit(self, score: float, iou: float = 1.0) -> bool:
        """A detection was matched; tells whether the mask has drifted off, and begins to count anew if so."""
        self.score = score
        self.hits += 1
        self.drifts = self.drifts + 1 if iou < DRIFT_IOU else 0
        has_drifted = self.drifts >= DRIFT_RUNS
        if has_drifted:
            self.drifts = 0
        return has_drifted

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


class Objects:
    """The objects that are followed, oldest first, and how many more there is room for.

    Args:
        most: So many are followed at once, those out of sight included.
        on_end: Called with the key of each object that ends.
    """

    def __init__(self, most: int, on_end: Callable[[int], None]) -> None:
        self.most = most
        self.forgotten = 0  #: Objects out of sight that gave way to others,
        self.refused = 0  #: and detections that there was no room for.
        self._on_end = on_end
        self._tracks: dict[int, Track] = {}
        self._keys = count(1)

    def __len__(self) -> int:
        return len(self._tracks)

    def __iter__(self) -> Iterator[Track]:
        return iter(self._tracks.values())

    def __contains__(self, track: Track) -> bool:
        return track.key in self._tracks

    def __getitem__(self, key: int) -> Track:
        return self._tracks[key]

    def new_key(self) -> int:
        """A key that no object had before."""
        return next(self._keys)

    def add(self, track: Track) -> None:
        """Follow one more object; :meth:`make_room` says how many there may be."""
        self._tracks[track.key] = track

    @property
    def given(self) -> dict[int, Track]:
        """Those that the user pointed out, by the ids that they were given."""
        return {track.given_id: track for track in self if track.given_id is not None}

    # How they end ---------------------------------------------------------------------------------

    def end(self, track: Track) -> None:
        """Follow an object no longer."""
        del self._tracks[track.key]
        self._on_end(track.key)

    def end_all(self) -> None:
        """Follow none of them any longer."""
        for track in list(self):
            self.end(track)

    def end_unseen(self, now_s: float, patience_s: float) -> None:
        """End those that have been out of sight for more than ``patience_s`` seconds."""
        for track in list(self):
            if now_s - track.seen_s > patience_s:
                self.end(track)

    def make_room(self, wanted: int, visible: Container[int]) -> int:
        """Make room for new objects: those longest out of sight give way, but for what the user pointed out.

        Args:
            wanted: How many there are.
            visible: Keys of the objects that can be seen.

        Returns:
            How many there is room for; the others are counted as refused, or the ended ones as forgotten.
        """
        excess = max(len(self) + wanted - self.most, 0)
        unseen = [track for track in self if track.key not in visible and track.given_id is None]
        ended = sorted(unseen, key=lambda track: track.seen_s)[:excess]
        for track in ended:
            self.end(track)
        self.forgotten += len(ended)
        self.refused += excess - len(ended)
        return max(self.most - len(self), 0)

    @property
    def note(self) -> str | None:
        """What the user should know, once there was no room."""
        if not self.forgotten + self.refused:
            return None
        return (
            f"max_objects of {self.most} was reached: {self.forgotten} objects out of sight were forgotten "
            f"early, {self.refused} detections started no object; raise max_objects to follow more"
        )

    # Who is in question ---------------------------------------------------------------------------

    def just_lost(self, now_s: float, visible: Container[int]) -> dict[Track, Outline]:
        """Those that have gone out of sight less than ``RECOVERY_S`` ago, and where they were last seen."""
        return {
            track: track.last_seen
            for track in self
            if track.last_seen is not None and track.key not in visible and now_s - track.seen_s <= RECOVERY_S
        }

    def undecided(self, frame_no: int) -> set[int]:
        """Keys of those that may be a ghost, or another object that comes back."""
        away = {track.label for track in self if track.was_away(frame_no)}
        return {
            track.key
            for track in self
            if not track.is_confirmed or (frame_no - track.born_no < COMEBACK_FRAMES and track.label in away)
        }
