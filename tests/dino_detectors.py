"""Detectors with a small GroundingDINO."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trackkit.config import TrackConfig
from trackkit.core.frames import Detections
from trackkit.detectors.grounding_dino.detector import GroundingDinoDetector

CLASSES = ("Red Cup", "dog", "blue ball", "PERSON")
DELIMITERS = (101, 102, 1012)
Make = Callable[..., GroundingDinoDetector]


def load(folder: Path | str, *classes: str, **options: Any) -> GroundingDinoDetector:
    config = TrackConfig(". ".join(classes), detector_model=str(folder), **options)
    return GroundingDinoDetector.from_config(config, "cpu")


def phrases(input_ids: Sequence[int]) -> list[list[int]]:
    """The places of the tokens between the delimiters."""
    found: list[list[int]] = [[]]
    for place, token in enumerate(input_ids):
        if token in DELIMITERS:
            found.append([])
        else:
            found[-1].append(place)
    return [places for places in found if places]


def deviations(exact: Sequence[Detections], others: Sequence[Detections]) -> Any:
    """``(N, 2)``: how far score and box (pixels) are from those of the nearest box of the same label."""
    found = []
    for a, b in zip(exact, others, strict=True):
        for box, score, label in zip(a.xyxy, a.scores, a.labels, strict=True):
            same = np.array([name == label for name in b.labels])
            pixels = np.abs(b.xyxy[same] - box).max(1)
            found.append((abs(b.scores[same][pixels.argmin()] - score), pixels.min()))
    return np.array(found)
