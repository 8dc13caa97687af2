"""Image features, encoded in batches and only where they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trackkit.core.frames import Frame
from trackkit.trackers.by_mask.engine import Features, MaskEngine
from trackkit.trackers.by_mask.window import HeldFrame


class FeatureSource:
    """Encodes a frame when its features are asked for, together with those announced after it.

    What nobody asks for is never encoded: a video in which there is nothing to follow costs no encoding.
    Holds the features of one batch.

    Args:
        engine: Encodes.
        batch_size: Frames that are encoded at once.
    """

    def __init__(self, engine: MaskEngine, batch_size: int) -> None:
        self._engine = engine
        self._batch_size = batch_size
        self._announced: dict[int, Frame] = {}
        self._ready: dict[int, Features] = {}

    def __len__(self) -> int:
        return len(self._ready)

    def announce(self, frames: Sequence[Frame]) -> None:
        """These come next."""
        self._announced.update((frame.idx, frame) for frame in frames)

    def done(self, frame: Frame) -> None:
        """Nobody will ask for ``frame`` any more."""
        self._announced.pop(frame.idx, None)
        self._ready.pop(frame.idx, None)

    def get(self, frame: Frame) -> Features:
        """Features of a frame."""
        if frame.idx not in self._ready:
            later = [f for f in self._announced.values() if f.idx > frame.idx and f.idx not in self._ready]
            batch = [frame, *later][: self._batch_size]
            features = self._engine.encode([f.image for f in batch])
            self._ready.update(zip((f.idx for f in batch), features, strict=True))
        return self._ready[frame.idx]

    def again(self, frames: Sequence[HeldFrame]) -> Iterator[tuple[HeldFrame, Features]]:
        """Frames that are held back with their features, encoded again in batches where they were dropped."""
        for start in range(0, len(frames), self._batch_size):
            batch = frames[start : start + self._batch_size]
            missing = [held.frame.image for held in batch if held.features is None]
            encoded = iter(self._engine.encode(missing))
            for held in batch:
                yield held, next(encoded) if held.features is None else held.features
