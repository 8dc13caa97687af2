"""Follows new objects back to where they appeared, through the frames that are still held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trackkit.core.clock import StageClock
from trackkit.trackers.by_mask.association import newcomers
from trackkit.trackers.by_mask.engine import Features, MaskEngine
from trackkit.trackers.by_mask.features import FeatureSource
from trackkit.trackers.by_mask.objects import Track
from trackkit.trackers.by_mask.outlines import Outline, outline_iou, visible_outlines
from trackkit.trackers.by_mask.prompts import EnginePrompt
from trackkit.trackers.by_mask.window import HeldFrame, Row

if TYPE_CHECKING:
    from trackkit.config import TrackConfig


def fill_backwards(
    engine: MaskEngine,
    born: Mapping[int, tuple[Track, EnginePrompt]],
    features: Features,
    frames: Sequence[HeldFrame],
    source: FeatureSource,
    config: TrackConfig,
    clock: StageClock,
) -> None:
    """Add the objects to earlier frames, each until it cannot be seen or becomes one that is there already.

    Args:
        engine: A fresh one: it lives through these frames in reverse, and is thrown away.
        born: Key of each object to itself and the prompt that it was born from, best first.
        features: Of the frame of birth.
        frames: Before the frame of birth, newest first; rows are added to them.
        source: Encodes frames whose features were dropped, ``config.batch_size`` at a time.
        config: See ``source``; and ``min_pred_iou``.
        clock: Books the encoding of masks.
    """
    engine.propagate(features)
    engine.condition(features, [prompt for _, prompt in born.values()])
    for start in range(0, len(frames), config.batch_size):
        batch = frames[start : start + config.batch_size]
        for held, held_features in zip(batch, source.get_held(batch), strict=True):
            outlines = visible_outlines(engine.propagate(held_features), clock, config.min_pred_iou)
            tracks = {key: track for key, (track, _) in born.items() if key in outlines}
            still_there = _apart(held, outlines, tracks)
            for key in still_there:
                held.rows[key] = Row(tracks[key], outlines[key], tracks[key].score, detected=False)
            for key in set(engine.obj_ids).difference(still_there):
                engine.remove(key)
            if not still_there:
                return


def _apart(held: HeldFrame, outlines: Mapping[int, Outline], tracks: Mapping[int, Track]) -> list[int]:
    """Keys of those whose masks are none of the objects in that frame, nor of each other."""
    keys = list(tracks)
    found = [outlines[key] for key in keys]
    rows = list(held.rows.values())
    everything = [row.outline for row in rows] + found
    labels = [row.track.label for row in rows] + [track.label for track in tracks.values()]
    height, width = held.frame.image.shape[:2]
    iou = outline_iou(found, everything, height, width)
    return [keys[i] for i in newcomers(iou, [outline.area for outline in everything], labels)]
