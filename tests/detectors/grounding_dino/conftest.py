"""A small GroundingDINO of random weights, and images for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dino_detectors import Make
from huggingface_hub import constants
from small_models import small_grounding_dino

from trackkit.config import TrackConfig
from trackkit.core.arrays import Image
from trackkit.detectors.grounding_dino.detector import GroundingDinoDetector
from trackkit.detectors.grounding_dino.loading import load_model


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No test looks at the hub; the cache is empty."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_grounding_dino(tmp_path_factory.mktemp("gd"))


@pytest.fixture(scope="module")
def loaded(folder: Path) -> tuple[Any, Any]:
    return load_model(str(folder))


@pytest.fixture(scope="module")
def make(loaded: tuple[Any, Any]) -> Make:
    """Detectors in float32 that share one model."""

    def make(*classes: str, **options: Any) -> GroundingDinoDetector:
        return GroundingDinoDetector(*loaded, TrackConfig(". ".join(classes), **options))

    return make


@pytest.fixture(scope="module")
def images() -> list[Image]:
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 255, (3, 9, 16, 3), dtype=np.uint8)
    return [np.kron(image, np.ones((20, 20, 1), np.uint8)) for image in blocks]
