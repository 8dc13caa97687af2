"""Weights are here before a run begins, and slow models are said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from weight_files import TINY, hide_all_weights, in_cache, touch

from trackkit.config import TrackConfig
from trackkit.core.errors import CheckpointError
from trackkit.tracking.models import cpu_speed_warning, prepare_weights
from trackkit.weights.catalog import fetch_model


@pytest.fixture(autouse=True)
def empty_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return hide_all_weights(monkeypatch, tmp_path)


def config(sam_type: str = TINY, **options: Any) -> TrackConfig:
    return TrackConfig("object", sam_type=sam_type, **options)


def test_prepare_weights_needs_nothing_for_other_models(tmp_path: Path) -> None:
    prepare_weights(TrackConfig.from_preset("color", "red"))
    assert list(tmp_path.iterdir()) == []


def test_prepare_weights_is_content_with_what_is_here(tmp_path: Path, empty_machine: Path) -> None:
    tracker = touch(tmp_path / "models/sam2/checkpoints" / f"{TINY}.pt")
    files = ("config.json", "model.safetensors", "preprocessor_config.json", "vocab.txt")
    in_cache(empty_machine, TrackConfig.detector_model, *files)
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    prepare_weights(config())
    prepare_weights(config(detector_model="folder"))
    assert sorted(tmp_path.rglob("*")) == before
    tracker.unlink()  # it was this file, and no other, that was enough
    with pytest.raises(CheckpointError, match=TINY):
        prepare_weights(config())


def test_without_network_both_models_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"HF_HUB_OFFLINE is set.*trackkit models fetch sam2\.1_hiera_tiny"
    ):
        prepare_weights(config())
    touch(tmp_path / "models/sam2/checkpoints" / f"{TINY}.pt")
    with pytest.raises(
        CheckpointError, match=r"HF_HUB_OFFLINE is set.*hf download IDEA-Research/grounding-dino"
    ):
        prepare_weights(config())
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE is set"):
        fetch_model("IDEA-Research/grounding-dino-tiny")


def test_cpu_speed_warning() -> None:
    message = cpu_speed_warning(config("large"), 7.2)
    assert message
    for part in ("sam2.1_hiera_large takes 7.2 s a frame", "2.0 hours for 1000 frames", "17% of its weights"):
        assert part in message
    assert "--preset color" in message
    assert "of its weights" not in (cpu_speed_warning(config("tiny"), 7.2) or "of its weights")
    assert cpu_speed_warning(config("large"), 0.1) is None
    assert cpu_speed_warning(TrackConfig.from_preset("color", "red"), 9.0) is None
