"""Objects followed by their masks: the detector says what is there, the engine where it is in every frame.

On a frame where the detector ran, all objects are propagated first; then its detections are matched to them.
What is left over is born there, and followed backwards to where it appeared since the detector ran last. The
latest frames are held back, so that what soon proves wrong never shows: see :class:`MaskTracker`.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from itertools import groupby
from typing import TYPE_CHECKING

from trackkit.core.frames import Detections, Frame, TrackedObjects
from trackkit.trackers.by_mask.births import Births
from trackkit.trackers.by_mask.engine import EngineMaker
from trackkit.trackers.by_mask.matching import SLIPPED_IOU, Candidate, candidates_of, match_frame
from trackkit.trackers.by_mask.objects import Objects, Track
from trackkit.trackers.by_mask.prompts import engine_prompt
from trackkit.trackers.by_mask.scene_cuts import FLASH_FRAMES, SceneCuts
from trackkit.trackers.by_mask.segmenter import Segmenter
from trackkit.trackers.by_mask.twins import Twins, has_come_back, weaker
from trackkit.trackers.by_mask.window import HeldFrame, Window

if TYPE_CHECKING:
    from trackkit.config import TrackConfig
    from trackkit.core.clock import StageClock
    from trackkit.core.prompts import Prompt

#: Frames whose image features are kept for filling in; those of older ones are encoded again. With a model of
#: 1024 px 16 of them take 256 MiB, half of it in bf16.
KEPT_FEATURES = 16


class MaskTracker:
    """Follows the objects of one video, and holds frames back to revise them.

    The rules and their thresholds are in modules of their own: ``objects``, ``matching``, ``births`` and
    ``newcomers``, ``twins``, ``scene_cuts``.

    - **Visible** is an object whose objectness logit is above 0 and whose mask is not empty, with a predicted
      IoU of at least ``config.min_pred_iou``; only then has it a row. One that is out of sight is remembered
      for ``config.patience_s`` and comes back under its id.
    - **Matching** is by IoU, of masks where the detector gives them, else of the boxes of the masks, within
      each class. A match refreshes the score. With ``config.reanchor``, an object is prompted anew with its
      detection, and keeps its memory, when the IoU was below ``DRIFT_IOU`` in ``DRIFT_RUNS`` matches in a
      row. So it is, always, with a detection where the object was lost less than ``RECOVERY_S`` ago; and
      where it has *slipped*: it was not detected, its mask lies on another object that was, and the detection
      is near where it was detected last. What it remembers beside its prompts is dropped then, and so are
      its rows on the other object, as far as they are held. Where it was out of sight, it is filled in.
    - **Births**: a detection without an object is segmented. If the mask is no known object, a new one
      begins here. It is followed backwards to the frame after the detector's last run, or to the scene cut,
      as long as it is seen and becomes no other object.
    - **Ghosts** were detected once, and never again in ``GHOST_RUNS`` more runs of the detector while they
      were visible (a detection of another class with the same mask counts for them). They end, and those of
      their rows that are still held disappear.
    - **Twins** are objects whose masks were the same for ``TWIN_FRAMES`` frames. If the older one had been
      out of sight, the younger one was born too soon and becomes the older one again. Otherwise the one that
      was detected less often ends, from the first of these frames on.
    - **Prompts** of the user start objects on their frames, under the ids that they name, or correct them;
      ``config.min_pred_iou`` is no limit there. Such an object is never a ghost and no twin that ends. Clicks
      on one that has ended start it anew.
    - **Scene cuts** end all objects. New ones are born when the detector runs next, and filled in from the
      cut on.

    A frame is settled when nobody can be filled into it any more and none of its objects may yet be taken
    back; at the latest when ``config.max_frames`` are held. Held are images and run-length encoded masks;
    image features only of frames since the detector's last run, at most ``KEPT_FEATURES`` and a batch.
    Nothing is encoded while there is nothing to follow.

    Args:
        make_engine: Makes the engine of the video, and others that fill in backwards.
        config: ``reanchor``, ``min_pred_iou``, ``patience_s``, ``max_objects``, ``scene_cuts``,
            ``max_frames`` and ``batch_size`` are read.
        clock: Books the encoding of masks.
        prompts: Objects that the user points out.
        low_memory: Take one frame at a time, and keep no features for filling in. The results are the
            same, but for rounding in batches of another size.
    """

    def __init__(
        self,
        make_engine: EngineMaker,
        config: TrackConfig,
        clock: StageClock,
        prompts: Sequence[Prompt] = (),
        *,
        low_memory: bool = False,
    ) -> None:
        self.warnings: tuple[str, ...] = ()
        self._notes: dict[object, str] = {}  # what the warnings are about
        self._given = {idx: list(each) for idx, each in groupby(prompts, key=lambda prompt: prompt.frame_idx)}
        self._clock = clock
        self._config = config
        self._kept_features = 0 if low_memory else KEPT_FEATURES
        self._segmenter = Segmenter(
            make_engine,
            clock,
            batch_size=1 if low_memory else config.batch_size,
            min_pred_iou=config.min_pred_iou,
        )
        self._objects = Objects(config.max_objects, on_end=self._segmenter.engine.remove)
        self._window = Window({prompt.obj_id for prompt in prompts})
        self._births = Births(self._segmenter, self._objects, self._window)
        self._twins = Twins()
        self._cuts = SceneCuts[tuple[Frame, Detections | None]](min(FLASH_FRAMES, config.max_frames - 1))

    def prepare(self, frames: Sequence[Frame]) -> None:
        """See :class:`trackkit.trackers.Tracker`."""
        self._segmenter.features.announce(frames)

    def update(self, frame: Frame, detections: Detections | None) -> list[TrackedObjects]:
        """See :class:`trackkit.trackers.Tracker`."""
        if self._config.scene_cuts:
            for item, is_cut in self._cuts.push((frame, detections), frame.image):
                self._step(*item, is_cut=is_cut)
        else:
            self._step(frame, detections, is_cut=False)
        undecided = self._objects.undecided(self._window.newest_no) | self._twins.suspects
        return self._window.release(undecided, room=self._config.max_frames - len(self._cuts))

    def finish(self) -> list[TrackedObjects]:
        """See :class:`trackkit.trackers.Tracker`."""
        for item, is_cut in self._cuts.flush():
            self._step(*item, is_cut=is_cut)
        return self._window.release(set(), room=0)

    def _step(self, frame: Frame, detections: Detections | None, *, is_cut: bool) -> None:
        """Everything that happens in one frame."""
        held = self._window.hold(frame)
        if is_cut:
            self._window.open_from = held.no
            self._objects.end_all()
        given = self._given.pop(frame.idx, [])
        corrected = self._follow(held, given)
        for prompt in self._births.point_out(held, given, corrected):
            self._warn(prompt, f"{prompt}: nothing of the object is to be seen there")
        if detections is not None:
            with self._clock("encode"):
                found = candidates_of(detections, *held.size)
            self._detect(held, found)
            self._window.open_from = held.no + 1
        self._end_twins(held)
        self._segmenter.features.done(frame)
        self._window.keep_features(self._kept_features)

    def _follow(self, held: HeldFrame, given: Sequence[Prompt]) -> Set[Track]:
        """Follow all objects, and end those out of sight for too long; returns those that were clicked."""
        if not self._objects:
            return set()
        known = self._objects.given
        clicks = {known[each.obj_id]: each for each in given if each.is_correction and each.obj_id in known}
        prompts = [engine_prompt(track.key, each, *held.size) for track, each in clicks.items()]
        for key, outline in self._segmenter.follow(held, prompts).items():
            track = self._objects[key]
            held.see(track, outline, detected=track in clicks)
        self._objects.end_unseen(held.frame.time_s, self._config.patience_s)
        return clicks.keys()

    def _detect(self, held: HeldFrame, found: Sequence[Candidate]) -> None:
        """Match detections to objects, let the others be born, and end ghosts."""
        visible = held.places()
        lost = self._objects.just_lost(held.frame.time_s, held.rows)
        matches = match_frame(found, held, lost)
        anchors: dict[Track, Candidate] = {}
        for candidate, track, iou in matches.seen:
            if track.hit(candidate.score, iou) and self._config.reanchor:
                anchors[track] = candidate
            held.see(track, visible[track], detected=True)
        for _, track, _ in matches.returned:  # what it remembers is the other object
            self._segmenter.engine.forget_recent(track.key)
            self._window.forget_overlapping(track, SLIPPED_IOU)
        for candidate, track, _ in (*matches.recovered, *matches.returned):
            track.hit(candidate.score)
            anchors[track] = candidate
        known = {track for _, track, _ in matches.seen}
        known |= self._births.detect(held, matches.left, anchors)
        if self._objects.note:
            self._warn("max_objects", self._objects.note)
        for track in [each for each in visible if each not in known]:
            track.misses += 1
            if track.is_ghost:
                self._window.forget(track)
                self._objects.end(track)

    def _end_twins(self, held: HeldFrame) -> None:
        """End one of two objects whose masks have been the same for long."""
        for older, younger, since in self._twins.update(held):
            if older not in self._objects or younger not in self._objects:
                continue  # it was the twin of two
            if has_come_back(older, younger, since):
                older.hit(younger.score)
                self._window.rename(younger, to=older)
                self._objects.end(younger)
            elif (loser := weaker(older, younger)).given_id is None:
                self._window.forget(loser, since)
                self._objects.end(loser)

    def _warn(self, about: object, text: str) -> None:
        self._notes[about] = text
        self.warnings = tuple(self._notes.values())
