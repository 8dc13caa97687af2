"""Objects followed by their masks: the detector says what is there, the engine where it is in every frame.

On a frame where the detector ran, all objects are propagated first; then its detections are matched to them.
What is left over is born there, and followed backwards to where it appeared since the detector ran last. The
latest frames are held back, so that what soon proves wrong never shows: see :class:`MaskTracker`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from itertools import count, groupby
from typing import TYPE_CHECKING

import numpy as np

from trackkit.core.boxes import box_iou
from trackkit.core.frames import Detections, Frame, TrackedObjects, VideoInfo
from trackkit.trackers.by_mask.association import (
    BUFFER,
    COMEBACK_FRAMES,
    RECOVERY_S,
    SAME_IOU,
    SLIPPED_IOU,
    Twins,
    has_come_back,
    newcomers,
    weaker,
)
from trackkit.trackers.by_mask.backfill import fill_backwards
from trackkit.trackers.by_mask.candidates import Candidate, Match, candidates_of, match_candidates
from trackkit.trackers.by_mask.engine import EngineMaker
from trackkit.trackers.by_mask.features import FeatureSource
from trackkit.trackers.by_mask.objects import Track
from trackkit.trackers.by_mask.outlines import Outline, boxes_of, outline_iou, visible_outlines
from trackkit.trackers.by_mask.prompts import EnginePrompt, engine_prompt
from trackkit.trackers.by_mask.propagation import Propagation
from trackkit.trackers.by_mask.scene_cuts import FLASH_FRAMES, SceneCuts
from trackkit.trackers.by_mask.window import HeldFrame, Row, Window

if TYPE_CHECKING:
    from trackkit.config import TrackConfig
    from trackkit.core.clock import StageClock
    from trackkit.core.prompts import Prompt

#: Frames whose image features are kept for filling in; those of older ones are encoded again. With a model of
#: 1024 px 16 of them take 256 MiB, half of it in bf16.
KEPT_FEATURES = 16


class MaskTracker:
    """Follows the objects of one video, and holds frames back to revise them.

    The thresholds are those of :mod:`trackkit.trackers.by_mask.association`.

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
    - **Births**: a detection without an object is segmented; if that is no known object (see
      :func:`~trackkit.trackers.by_mask.association.newcomers`) it is one from here on, and backwards to
      the frame after the detector's last run, or to the scene cut, as long as it can be seen and becomes no
      other object.
    - **Ghosts** were detected once, and never again in ``GHOST_RUNS`` more runs of the detector while they
      were visible (a detection of another class with the same mask counts for them). They end, and those of
      their rows that are still held disappear.
    - **Twins** are objects whose masks were the same for ``TWIN_FRAMES`` frames. If the older one had been
      out of sight, the younger one was born too soon and becomes the older one again. Otherwise the one that
      was detected less often ends, from the first of these frames on.
    - **Prompts** of the user start objects on their frames, under the ids that they name, or correct them.
      Such an object is never a ghost and no twin that ends. Clicks on one that has ended start it anew.
    - **Scene cuts** end all objects; see :mod:`trackkit.trackers.scene_cuts`. New ones are born when the
      detector runs next, and filled in from the cut on.

    A frame is settled when nobody can be filled into it any more and none of its objects may yet be taken
    back; at the latest when ``config.max_frames`` are held. Held are images and run-length encoded masks;
    image features only of frames since the detector's last run, at most ``KEPT_FEATURES`` and a batch.
    Nothing is encoded while there is nothing to follow.

    Args:
        make_engine: Makes the engine of the video, and others that fill in backwards.
        config: ``reanchor``, ``min_pred_iou``, ``patience_s``, ``max_objects``, ``scene_cuts``,
            ``max_frames`` and ``batch_size`` are read.
        video: Its size is that of all frames.
        clock: Books the encoding of masks.
        prompts: Objects that the user points out.
        low_memory: Take one frame at a time, and keep no features for filling in. The results are the
            same, but for rounding in batches of another size.
    """

    def __init__(
        self,
        make_engine: EngineMaker,
        config: TrackConfig,
        video: VideoInfo,
        clock: StageClock,
        prompts: Sequence[Prompt] = (),
        *,
        low_memory: bool = False,
    ) -> None:
        self.warnings: tuple[str, ...] = ()
        self._notes: dict[object, str] = {}  # what the warnings are about
        self._given = {idx: list(each) for idx, each in groupby(prompts, key=lambda prompt: prompt.frame_idx)}
        self._clock = clock
        self._config = config.replace(batch_size=1) if low_memory else config
        self._kept_features = 0 if low_memory else KEPT_FEATURES
        self._size = (video.height, video.width)
        self._make_engine = make_engine
        self._engine = make_engine()
        self._source = FeatureSource(self._engine, self._config.batch_size)
        self._cuts = SceneCuts[tuple[Frame, Detections | None]](min(FLASH_FRAMES, config.max_frames - 1))
        self._window = Window({prompt.obj_id for prompt in prompts})
        self._tracks: dict[int, Track] = {}
        self._places: dict[int, Outline] = {}  # where each of them was last seen,
        self._detected: dict[int, Outline] = {}  # and last detected
        self._twins = Twins()
        self._keys = count(1)
        self._frame_no = -1
        self._open_from = 0  # objects that are born later are filled in from this frame on
        self._forgotten = self._refused = 0

    def prepare(self, frames: Sequence[Frame]) -> None:
        """See :class:`trackkit.trackers.Tracker`."""
        self._source.announce(frames)

    def update(self, frame: Frame, detections: Detections | None) -> list[TrackedObjects]:
        """See :class:`trackkit.trackers.Tracker`."""
        if self._config.scene_cuts:
            for item, is_cut in self._cuts.push((frame, detections), frame.image):
                self._step(*item, is_cut)
        else:
            self._step(frame, detections, False)
        room = self._config.max_frames - len(self._cuts)
        return self._window.release(self._undecided(), self._open_from, room)

    def finish(self) -> list[TrackedObjects]:
        """See :class:`trackkit.trackers.Tracker`."""
        for item, is_cut in self._cuts.flush():
            self._step(*item, is_cut)
        return self._window.release(set(), self._open_from, room=0)

    def _undecided(self) -> set[int]:
        """Objects whose rows may yet be taken back or given to another one."""
        now = self._frame_no
        away = {track.label for track in self._tracks.values() if track.was_away(now)}
        new = {
            key
            for key, track in self._tracks.items()
            if not track.is_confirmed or (now - track.born_no < COMEBACK_FRAMES and track.label in away)
        }
        return new | self._twins.suspects

    # One frame ------------------------------------------------------------------------------------

    def _step(self, frame: Frame, detections: Detections | None, is_cut: bool) -> None:
        self._frame_no += 1
        held = HeldFrame(frame, self._frame_no)
        self._window.append(held)
        if is_cut:
            self._open_from = held.no
            for key in list(self._tracks):
                self._end(key)
        given = self._given.pop(frame.idx, [])
        self._start(held, given, self._follow(held, given))
        if detections is not None:
            with self._clock("encode"):
                found = candidates_of(detections, *self._size)
            self._detect(held, found)
            self._open_from = held.no + 1
        self._end_twins(held)
        self._source.done(frame)
        self._window.keep_features(self._open_from, self._kept_features)

    def _follow(self, held: HeldFrame, given: Sequence[Prompt]) -> set[int]:
        """Propagate all objects, and end those out of sight for too long; returns those that were clicked."""
        if not self._tracks:
            return set()
        now, known = held.frame.time_s, self._given_keys()
        clicks = {known[p.obj_id]: p for p in given if p.is_correction and p.obj_id in known}
        prompts = [engine_prompt(key, each, *self._size) for key, each in clicks.items()]
        for key, outline in self._visible(self._propagate(held, prompts)).items():
            self._see(held, self._tracks[key], outline, detected=key in clicks)
        for key, track in list(self._tracks.items()):
            if now - track.seen_s > self._config.patience_s:
                self._end(key)
        return set(clicks)

    def _given_keys(self) -> dict[int, int]:
        """Id to key of the objects that the user pointed out."""
        tracks = self._tracks.values()
        return {track.given_id: track.key for track in tracks if track.given_id is not None}

    def _start(self, held: HeldFrame, given: Sequence[Prompt], corrected: Set[int]) -> None:
        """Start what the user points out in this frame, or start it anew."""
        if not given:
            return
        known = self._given_keys()
        todo = [each for each in given if each.is_start and known.get(each.obj_id) not in corrected]
        starts = {known.get(each.obj_id) or next(self._keys): each for each in todo}
        if held.features is None:
            self._propagate(held)
        assert held.features is not None
        prompts = [engine_prompt(key, each, *self._size) for key, each in starts.items()]
        for key in set(starts).intersection(self._tracks):
            self._engine.forget_recent(key)  # it was not what the user meant
        outlines = visible_outlines(self._engine.condition(held.features, prompts), self._clock)
        for key, each in starts.items():
            new = Track(key, each.label or "", 1.0, held.no, held.frame.time_s, given_id=each.obj_id)
            self._tracks.setdefault(key, new).score = 1.0
            held.rows.pop(key, None)
            if key in outlines:
                self._see(held, self._tracks[key], outlines[key], detected=True)
        seen = {row.track.obj_id for row in held.rows.values()}
        for each in given:
            if each.obj_id not in seen:
                self._warn(each, f"{each}: nothing of the object is to be seen there")

    def _warn(self, about: object, text: str) -> None:
        self._notes[about] = text
        self.warnings = tuple(self._notes.values())

    def _see(self, held: HeldFrame, track: Track, outline: Outline, *, detected: bool) -> None:
        track.see(held.no, held.frame.time_s)
        self._places[track.key] = outline
        held.rows[track.key] = Row(track, outline, track.score, detected)
        if detected:
            self._detected[track.key] = outline

    def _visible(self, propagation: Propagation) -> dict[int, Outline]:
        return visible_outlines(propagation, self._clock, self._config.min_pred_iou)

    def _propagate(self, held: HeldFrame, clicks: Sequence[EnginePrompt] = ()) -> Propagation:
        held.features = self._source.get(held.frame)
        return self._engine.propagate(held.features, clicks)

    def _detect(self, held: HeldFrame, found: list[Candidate]) -> None:
        """Match detections to objects, let the others be born, and end ghosts."""
        before = list(held.rows)
        pairs, left = self._match(found, held.outlines())
        anchors: dict[int, EnginePrompt] = {}
        for f, key, iou in pairs:
            track = self._tracks[key]
            if track.match(f.score, iou) and self._config.reanchor:
                anchors[key] = f.prompt(key)
            self._see(held, track, held.rows[key].outline, detected=True)
        recovered, left = self._match(left, self._just_lost(held))
        returned, left = self._match_slipped(held, left)
        for f, key, _ in (*recovered, *returned):
            self._tracks[key].match(f.score, 1.0)
            anchors[key] = f.prompt(key)
        known = {key for _, key, _ in pairs} | self._prompt(held, left, anchors)
        for key in set(before).difference(known):
            self._tracks[key].misses += 1
            if self._tracks[key].is_ghost:
                self._window.forget(key)
                self._end(key)

    def _match(
        self, found: list[Candidate], outlines: Mapping[int, Outline], buffer: float = 0.0
    ) -> tuple[list[Match], list[Candidate]]:
        labels = [self._tracks[key].label for key in outlines]
        return match_candidates(found, outlines, labels, *self._size, buffer=buffer)

    def _just_lost(self, held: HeldFrame) -> dict[int, Outline]:
        """Objects that have gone out of sight a moment ago, and where they were last seen."""
        return {
            key: self._places[key]
            for key, track in self._tracks.items()
            if key not in held.rows and held.frame.time_s - track.seen_s <= RECOVERY_S
        }

    def _match_slipped(self, held: HeldFrame, left: list[Candidate]) -> tuple[list[Match], list[Candidate]]:
        """Pair what is left with objects whose mask lies on another object, one that was detected."""
        lost = [key for key, row in held.rows.items() if not row.detected and key in self._detected]
        found = [row.outline for row in held.rows.values() if row.detected]
        iou = outline_iou([held.rows[key].outline for key in lost], found, *self._size).max(1, initial=0)
        places = {k: self._detected[k] for k, most in zip(lost, iou, strict=True) if most >= SLIPPED_IOU}
        pairs, left = self._match(left, places, buffer=BUFFER)
        for _, key, _ in pairs:
            self._engine.forget_recent(key)
            self._window.forget_overlapping(key, self._open_from, SLIPPED_IOU, self._size)
        return pairs, left

    # Births ---------------------------------------------------------------------------------------

    def _prompt(self, held: HeldFrame, left: list[Candidate], anchors: dict[int, EnginePrompt]) -> set[int]:
        """Anchor known objects, and start new ones from detections that belong to none.

        Returns:
            Keys of objects that such detections turned out to be.
        """
        candidates = {next(self._keys): f for f in left[: self._config.max_objects]}
        prompts = {key: f.prompt(key) for key, f in candidates.items()}
        if not prompts and not anchors:
            return set()
        if held.features is None:
            self._propagate(held)
        assert held.features is not None
        prompted = self._engine.condition(held.features, [*anchors.values(), *prompts.values()])
        outlines = self._visible(prompted)
        before = self._window.backwards(self._open_from, held.no)[:1]
        returned = {key for key in anchors if before and key not in before[0].rows}
        for key in anchors:
            held.rows.pop(key, None)
            if key in outlines:
                self._see(held, self._tracks[key], outlines[key], detected=True)
        known = held.outlines()
        new = [key for key in candidates if key in outlines]
        everything = [*known.values(), *(outlines[key] for key in new)]
        labels = [held.rows[key].track.label for key in known] + [candidates[key].label for key in new]
        iou = outline_iou(everything[len(known) :], everything, *self._size)
        accepted = [new[i] for i in newcomers(iou, [outline.area for outline in everything], labels)]
        untried = len(left) - len(candidates)
        born = accepted[: self._make_room(held, len(accepted) + untried)]
        for key in set(candidates).difference(born):
            self._engine.remove(key)
        for key in born:
            track = Track(key, candidates[key].label, candidates[key].score, held.no, held.frame.time_s)
            self._tracks[key] = track
            self._see(held, track, outlines[key], detected=True)
        again = {key: (self._tracks[key], anchors[key]) for key in returned if key in outlines}
        self._fill(held, again | {key: (self._tracks[key], prompts[key]) for key in born})
        same = iou[:, : len(known)].max(axis=0, initial=0)
        return {key for key, most in zip(known, same, strict=True) if most >= SAME_IOU}

    def _make_room(self, held: HeldFrame, wanted: int) -> int:
        """How many objects can be born; those longest out of sight give way."""
        most = self._config.max_objects
        excess = max(len(self._tracks) + wanted - most, 0)
        unseen = sorted(
            (t for key, t in self._tracks.items() if key not in held.rows and t.given_id is None),
            key=lambda t: t.seen_s,
        )
        for track in unseen[:excess]:
            self._end(track.key)
        self._forgotten += len(unseen[:excess])
        self._refused += max(excess - len(unseen), 0)
        if excess:
            note = (
                f"max_objects of {most} was reached: {self._forgotten} objects out of sight were forgotten "
                f"early, {self._refused} detections started no object; raise max_objects to follow more"
            )
            self._warn("max_objects", note)
        return max(most - len(self._tracks), 0)

    def _fill(self, held: HeldFrame, born: dict[int, tuple[Track, EnginePrompt]]) -> None:
        """Follow new objects backwards; there is nothing to do where the detector ran on the frame before."""
        frames = self._window.backwards(self._open_from, held.no)
        if born and frames:
            assert held.features is not None
            engine = self._make_engine(capacity=len(born))
            fill_backwards(engine, born, held.features, frames, self._source, self._config, self._clock)

    # Small parts ----------------------------------------------------------------------------------

    def _end(self, key: int) -> None:
        del self._tracks[key]
        self._places.pop(key, None)
        self._detected.pop(key, None)
        self._engine.remove(key)

    def _end_twins(self, held: HeldFrame) -> None:
        """End one of two objects whose masks have been the same for long."""
        outlines = held.outlines()
        overlap = box_iou(boxes_of(list(outlines.values())), boxes_of(list(outlines.values())))
        np.fill_diagonal(overlap, 0)
        # Masks that are the same have much the same boxes: few have to be compared.
        keys = [key for key, most in zip(outlines, overlap.max(1, initial=0), strict=True) if most >= 0.5]
        near = [outlines[key] for key in keys]
        for a, b, since in self._twins.update(held.no, keys, outline_iou(near, near, *self._size)):
            if a not in self._tracks or b not in self._tracks:
                continue
            older, younger = (self._tracks[key] for key in sorted((a, b)))
            if has_come_back(older, younger, since):
                older.match(younger.score, 1.0)
                self._window.rename(younger.key, older)
                self._end(younger.key)
            else:
                loser = weaker(older, younger)
                if loser.given_id is None:
                    self._window.forget(loser.key, since)
                    self._end(loser.key)
