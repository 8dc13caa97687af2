"""Follows new objects back to where they appeared, through the frames that are still held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trackkit.trackers.by_mask.newcomers import judge
from trackkit.trackers.by_mask.objects import Track
from trackkit.trackers.by_mask.prompts import EnginePrompt
from trackkit.trackers.by_mask.segmenter import Segmenter
from trackkit.trackers.by_mask.window import HeldFrame, Row


def fill_backwards(
    segmenter: Segmenter,
    born: Mapping[Track, EnginePrompt],
    held: HeldFrame,
    frames: Sequence[HeldFrame],
) -> None:
    """Add objects to earlier frames, each until it cannot be seen or becomes one that is there already.

    Args:
        segmenter: Gives an engine that lives through these frames in reverse, and is thrown away.
        born: The objects and the prompts that they were born from. Of several that are the same thing, the
            first stays.
        held: The frame of birth.
        frames: Those before it, newest first; rows are added to them.
    """
    tracks = {track.key: track for track in born}
    labels = {key: track.label for key, track in tracks.items()}
    engine = segmenter.fresh_engine(len(born))
    engine.propagate(held.features)
    engine.condition(held.features, list(born.values()))
    for earlier, features in segmenter.features.again(frames):
        outlines = segmenter.visible(engine.propagate(features))
        still_there = judge(earlier, labels, outlines).new
        for key in still_there:
            earlier.rows[key] = Row(tracks[key], outlines[key], tracks[key].score, detected=False)
        for key in set(engine.obj_ids).difference(still_there):
            engine.remove(key)
        if not still_there:
            return
