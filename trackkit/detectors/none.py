"""No detector: only what the user points out is followed."""

from __future__ import annotations

from collections.abc import Sequence

from trackkit.core.arrays import Image
from trackkit.core.frames import Detections


class NoDetector:
    """Finds nothing, in no time."""

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """One empty ``Detections`` per image."""
        return [Detections.empty() for _ in images]
