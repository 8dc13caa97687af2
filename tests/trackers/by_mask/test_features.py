"""Frames are encoded in batches, and only where somebody asks."""

from __future__ import annotations

import pytest
from colored_regions import RegionEngine, paint

from trackkit.core.frames import Frame
from trackkit.trackers.by_mask.features import FeatureSource
from trackkit.trackers.by_mask.window import HeldFrame


def frames(n: int) -> list[Frame]:
    return [Frame(paint(), 3 * i, i / 25) for i in range(n)]


def test_a_frame_is_encoded_with_those_announced_after_it() -> None:
    engine, all_frames = RegionEngine(), frames(6)
    source = FeatureSource(engine, 4)
    source.announce(all_frames)
    assert engine.batches == []
    source.done(all_frames[0])  # nobody asked for it
    features = [source.get(frame) for frame in all_frames[1:5]]
    assert engine.batches == [4]
    assert [each.image for each in features] == [frame.image for frame in all_frames[1:5]]
    assert source.get(all_frames[1]) is features[0]
    source.get(all_frames[5])
    assert engine.batches == [4, 1]


def test_it_holds_one_batch() -> None:
    engine, all_frames = RegionEngine(), frames(40)
    source = FeatureSource(engine, 4)
    for i, frame in enumerate(all_frames):
        if i % 4 == 0:
            source.announce(all_frames[i : i + 4])
        source.get(frame)
        assert len(source) <= 4
        assert len(engine.alive) <= 4
        source.done(frame)
    assert len(source) == 0
    assert engine.batches == [4] * 10


def test_a_frame_that_was_not_announced_is_encoded_alone() -> None:
    engine, (first, second) = RegionEngine(), frames(2)
    source = FeatureSource(engine, 4)
    source.get(second)
    source.announce([first, second])
    source.get(first)
    assert engine.batches == [1, 1]


@pytest.mark.parametrize(("wanted", "batches"), [(5, [2, 1]), (2, [2]), (1, [2])])
def test_held_frames_are_encoded_again_where_their_features_were_dropped(
    wanted: int, batches: list[int]
) -> None:
    engine = RegionEngine()
    held = [HeldFrame(frame, i) for i, frame in enumerate(frames(5))]
    (kept,) = engine.encode([held[2].frame.image])
    (other,) = engine.encode([held[3].frame.image])
    held[2].features, held[3].features = kept, other
    engine.batches.clear()
    pairs = FeatureSource(engine, 3).again(held)
    got = [next(pairs) for _ in range(wanted)]
    assert engine.batches == batches  # no more than the batches that were asked for
    assert [each for each, _ in got] == held[:wanted]
    assert all(features.image is each.frame.image for each, features in got)
    assert wanted < 3 or got[2][1] is kept
    assert held[0].features is None  # they are not held again
