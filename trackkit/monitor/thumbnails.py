"""Small pictures of what the workers see, for whoever watches a run."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic, thread_time

import cv2

from trackkit.core.tasks import Progress
from trackkit.video.draw import draw

INTERVAL_S = 2.0
LARGEST_SHARE = 0.01
LONGER_SIDE = 320
JPEG_QUALITY = 75


class Thumbnails:
    """Adds a picture to the progress of the videos that a process tracks.

    One every ``INTERVAL_S``, or more seldom, so that drawing takes ``LARGEST_SHARE`` of the time at most.
    """

    def __init__(self) -> None:
        self._next = 0.0

    def add(self, progress: Progress) -> Progress:
        """``progress`` without its ``latest``, and with a JPEG of it if it is time for one."""
        if progress.latest is None or monotonic() < self._next:
            return replace(progress, latest=None)
        before = thread_time()  # what it costs, however busy the machine is
        image = draw(progress.latest)
        scale = LONGER_SIDE / max(image.shape)
        size = [max(round(side * scale), 1) for side in image.shape[1::-1]]
        small = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
        jpeg = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
        self._next = monotonic() + max(INTERVAL_S, (thread_time() - before) / LARGEST_SHARE)
        return replace(progress, thumbnail=jpeg, latest=None)
