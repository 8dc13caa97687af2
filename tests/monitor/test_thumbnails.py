"""Small pictures of what is tracked."""

from __future__ import annotations

import dataclasses

import numpy as np
from reports import progress
from samples import sample_objects

import trackkit as tk


def test_thumbnails_are_small_and_seldom() -> None:
    import cv2

    from trackkit.monitor.thumbnails import Thumbnails

    objects = sample_objects(3, [1, 2])
    large = dataclasses.replace(
        objects, frame=tk.Frame(np.full((1200, 900, 3), 200, np.uint8), 3, 0.1), rles=None
    )
    thumbnails = Thumbnails()
    first = thumbnails.add(progress("a.mp4", latest=large))
    second = thumbnails.add(progress("a.mp4", latest=large))
    assert first.thumbnail is not None
    assert len(first.thumbnail) < 20_000
    assert cv2.imdecode(np.frombuffer(first.thumbnail, np.uint8), cv2.IMREAD_COLOR).shape == (320, 240, 3)
    assert second.thumbnail is first.latest is second.latest is None
