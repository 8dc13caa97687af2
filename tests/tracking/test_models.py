"""What is loaded once, and what is done before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import trackkit as tk
from trackkit.detectors import DETECTORS
from trackkit.detectors.color import ColorDetector
from trackkit.detectors.none import NoDetector
from trackkit.trackers import TRACKERS, check_promptable
from trackkit.trackers.bytetrack import ByteTrackModel
from trackkit.tracking.models import Methods, load_models, methods_of, prepare_weights

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
            assert entry.installed == entry.load.__module__.startswith("trackkit."), name


def test_only_some_trackers_take_prompts(prepared: list[tuple[Any, ...]]) -> None:
    with pytest.raises(tk.PromptError, match="'watched' joins detections and cannot take prompts"):
        check_promptable(CONFIG)
    tk.register_tracker("watched", takes_prompts=True)(lambda config, device: ByteTrackModel(config))
    check_promptable(CONFIG)
    with pytest.raises(tk.ConfigError, match="tracker 'missing' is unknown"):
        check_promptable(CONFIG.replace(tracker="missing"))
