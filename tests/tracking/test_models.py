"""What is loaded once, and what is done before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from weight_files import TINY, hide_all_weights, in_cache, touch

import trackkit as tk
from trackkit.config import TrackConfig
from trackkit.core.errors import CheckpointError
from trackkit.detectors import DETECTORS
from trackkit.detectors.color import ColorDetector
from trackkit.detectors.none import NoDetector
from trackkit.trackers import TRACKERS, check_promptable
from trackkit.trackers.bytetrack import ByteTrackModel
from trackkit.tracking.models import Methods, load_models, methods_of, prepare_weights
from trackkit.tracking.reporter import cpu_speed_warning
from trackkit.weights.catalog import fetch_model

CONFIG = tk.TrackConfig("red", detector="watched", tracker="watched")


@pytest.fixture
def prepared() -> Iterator[list[tuple[Any, ...]]]:
    """A detector and a tracker that note how they are prepared."""
    calls: list[tuple[Any, ...]] = []

    def note(kind: str) -> Any:
        return lambda config, progress: calls.append((kind, config, progress))

    tk.register_detector("watched", prepare=note("detector"))(lambda config, device: NoDetector())
    tk.register_tracker("watched", prepare=note("tracker"))(lambda config, device: ByteTrackModel(config))
    yield calls


def test_the_methods_of_a_run_are_prepared(prepared: list[tuple[Any, ...]]) -> None:
    prepare_weights(CONFIG)
    assert prepared == [("tracker", CONFIG, None), ("detector", CONFIG, None)]
    prepare_weights(CONFIG.replace(tracker="bytetrack"), print)
    assert prepared[2:] == [("detector", CONFIG.replace(tracker="bytetrack"), print)]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_session_prepares_once(prepared: list[tuple[Any, ...]], workers: int) -> None:
    with tk.Session(CONFIG, num_workers=workers, device="cpu"):
        assert [kind for kind, *_ in prepared] == ["tracker", "detector"]


@pytest.mark.parametrize("kind", ["detector", "tracker"])
def test_an_unknown_name_is_told_before_anything_starts(kind: str) -> None:
    with pytest.raises(tk.ConfigError, match=f"^{kind} 'missing' is unknown: choose one of "):
        tk.Session(tk.TrackConfig.from_preset("color", "red", **{kind: "missing"}), device="cpu")


def test_other_methods_may_be_loaded_than_those_that_are_known(prepared: list[tuple[Any, ...]]) -> None:
    assert isinstance(load_models(CONFIG, "cpu").detector, NoDetector)
    other = methods_of(tk.TrackConfig.from_preset("color", "red"))
    models = load_models(CONFIG, "cpu", Methods(other.detector, other.tracker))
    assert isinstance(models.detector, ColorDetector)
    assert prepared == []


def test_what_is_built_in_is_installed_everywhere(prepared: list[tuple[Any, ...]]) -> None:
    for registry in (DETECTORS, TRACKERS):
        for name, entry in registry.entries().items():
            assert entry.installed == entry.loader.__module__.startswith("trackkit."), name


def test_only_some_trackers_take_prompts(prepared: list[tuple[Any, ...]]) -> None:
    with pytest.raises(tk.PromptError, match="'watched' joins detections and cannot take prompts"):
        check_promptable(CONFIG)
    tk.register_tracker("watched", takes_prompts=True)(lambda config, device: ByteTrackModel(config))
    check_promptable(CONFIG)
    with pytest.raises(tk.ConfigError, match="tracker 'missing' is unknown"):
        check_promptable(CONFIG.replace(tracker="missing"))


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
    for part in ("sam2.1_hiera_large takes 7.2 s a frame", "2.0 h for 1000 frames", "17% of its weights"):
        assert part in message
    assert "--preset color" in message
    assert "of its weights" not in (cpu_speed_warning(config("tiny"), 7.2) or "of its weights")
    assert cpu_speed_warning(config("large"), 0.1) is None
    assert cpu_speed_warning(TrackConfig.from_preset("color", "red"), 9.0) is None
