"""How objects begin: the user points them out, or a detection belongs to none that is known."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence

from trackkit.core.prompts import Prompt
from trackkit.trackers.by_mask.backfill import fill_backwards
from trackkit.trackers.by_mask.matching import Candidate
from trackkit.trackers.by_mask.newcomers import judge
from trackkit.trackers.by_mask.objects import Objects, Track
from trackkit.trackers.by_mask.outlines import Outline
from trackkit.trackers.by_mask.prompts import EnginePrompt, engine_prompt
from trackkit.trackers.by_mask.segmenter import Segmenter
from trackkit.trackers.by_mask.window import HeldFrame, Window


class Births:
    """Starts objects in the frame that was followed last, anchors known ones anew, and fills both in.

    Args:
        segmenter: Turns prompts into masks.
        objects: Those that are followed; new ones are added.
        window: The frames in which they are filled in.
    """

    def __init__(self, segmenter: Segmenter, objects: Objects, window: Window) -> None:
        self._segmenter = segmenter
        self._objects = objects
        self._window = window

    def point_out(
        self, held: HeldFrame, given: Sequence[Prompt], corrected: Container[Track] = ()
    ) -> list[Prompt]:
        """Start what the user points out, or start it anew.

        Args:
            held: The frame that was followed last.
            given: The prompts of this frame.
            corrected: Objects whose masks were refined with their prompts already.

        Returns:
            Prompts whose objects cannot be seen there.
        """
        known = self._objects.given
        starts: dict[Track, Prompt] = {}
        for each in given:
            track = known.get(each.obj_id)
            if not each.is_start or track in corrected:
                continue
            if track is None:
                key, time_s = self._objects.new_key(), held.frame.time_s
                track = Track(key, each.label or "", 1.0, held.no, time_s, given_id=each.obj_id)
            else:
                self._segmenter.engine.forget_recent(track.key)  # it was not what the user meant
            starts[track] = each
        if starts:
            self._begin(held, starts)
        seen = {row.track.obj_id for row in held.rows.values()}
        return [each for each in given if each.obj_id not in seen]

    def _begin(self, held: HeldFrame, starts: Mapping[Track, Prompt]) -> None:
        prompts = [engine_prompt(track.key, each, *held.size) for track, each in starts.items()]
        outlines = self._segmenter.start(held, prompts, by_user=True)
        for track in starts:
            track.score = 1.0
            self._objects.add(track)
        self._place(held, starts, outlines)

    def detect(
        self, held: HeldFrame, left: Sequence[Candidate], anchors: Mapping[Track, Candidate]
    ) -> set[Track]:
        """Anchor known objects, and start new ones from detections that belong to none.

        Args:
            held: The frame that was followed last.
            left: The detections, best first.
            anchors: Known objects, and the detections that they are.

        Returns:
            Objects that such detections turned out to be.
        """
        candidates = {self._objects.new_key(): each for each in left[: self._objects.most]}
        again = {track: each.prompt(track.key) for track, each in anchors.items()}
        prompts = {key: each.prompt(key) for key, each in candidates.items()}
        if not again and not prompts:
            return set()
        outlines = self._segmenter.start(held, [*again.values(), *prompts.values()])
        self._place(held, again, outlines)
        verdict = judge(held, {key: each.label for key, each in candidates.items()}, outlines)
        untried = len(left) - len(candidates)
        accepted = verdict.new[: self._objects.make_room(len(verdict.new) + untried, held.rows)]
        for key in [key for key in candidates if key not in accepted]:
            self._segmenter.engine.remove(key)
        born = {}
        for key in accepted:
            track = Track(key, candidates[key].label, candidates[key].score, held.no, held.frame.time_s)
            self._objects.add(track)
            born[track] = prompts[key]
        self._place(held, born, outlines)
        self._fill_in(held, {track: again[track] for track in again if track.key in outlines} | born)
        return verdict.known

    def _place(self, held: HeldFrame, tracks: Iterable[Track], outlines: Mapping[int, Outline]) -> None:
        """Put objects where their prompts found them; one that was found nowhere has no row."""
        for track in tracks:
            held.rows.pop(track.key, None)
            if track.key in outlines:
                held.see(track, outlines[track.key], detected=True)

    def _fill_in(self, held: HeldFrame, started: Mapping[Track, EnginePrompt]) -> None:
        """Follow objects back that are not in the frame before; none where the detector ran on that."""
        frames = self._window.open_before(held)
        if not frames:
            return
        oldest_first = sorted(started, key=lambda track: track.key)
        unseen = {track: started[track] for track in oldest_first if track.key not in frames[0].rows}
        if unseen:
            fill_backwards(self._segmenter, unseen, held, frames)
