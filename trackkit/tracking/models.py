"""Models that are loaded once and serve one video after the other."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

from trackkit.config import TrackConfig
from trackkit.core.errors import CheckpointError
from trackkit.core.registry import Entry
from trackkit.detectors import DETECTORS, Detector
from trackkit.trackers import TRACKERS, TrackerModel
from trackkit.weights.hub import FetchProgress


@dataclass(frozen=True, slots=True)
class Methods:
    """The detector and the tracker that a config names, before they are loaded."""

    detector: Entry[Detector]
    tracker: Entry[TrackerModel]


def methods_of(config: TrackConfig) -> Methods:
    """Look up what ``config`` names.

    Raises:
        ConfigError: A name is unknown, or the package that brings it cannot be imported.
    """
    return Methods(DETECTORS.get(config.detector), TRACKERS.get(config.tracker))


@dataclass(frozen=True, slots=True)
class Models:
    """What is loaded once and serves one video after the other."""

    detector: Detector
    tracker: TrackerModel
    device: str
    load_seconds: float


def load_models(config: TrackConfig, device: str, methods: Methods | None = None) -> Models:
    """Load detector and tracker onto ``device`` (``"cpu"`` or ``"cuda:N"``).

    Args:
        config: What to load, and with which options.
        device: Where to.
        methods: Load these; None looks them up by the names in ``config``.

    Raises:
        CheckpointError: Weights are missing or wrong, or there is not enough memory for them.
        ConfigError: A name is unknown, or the detector does not understand the prompt.
    """
    config.check_known()
    started = perf_counter()
    methods = methods or methods_of(config)
    try:
        detector, tracker = methods.detector.load(config, device), methods.tracker.load(config, device)
    except (ImportError, MemoryError, OSError, RuntimeError) as error:  # CUDA's errors are RuntimeErrors
        msg = (
            f"{config.detector} and {config.tracker} cannot be loaded onto {device} "
            f"({type(error).__name__}: {error}): see `trackkit doctor`; where memory is short, use fewer "
            "workers or a smaller --sam-type"
        )
        raise CheckpointError(msg) from error
    return Models(detector, tracker, device, perf_counter() - started)


def prepare_weights(config: TrackConfig, progress: FetchProgress | None = None) -> None:
    """Make sure, before any worker starts, that the weights of a run are on this machine.

    The detector and the tracker know how: see ``prepare`` of :class:`trackkit.core.registry.Entry`.

    Args:
        config: Says which weights.
        progress: Hears how far a download is; None shows the hub's own bar.

    Raises:
        ConfigError: The detector, the tracker, or ``config.sam_type`` is unknown.
        CheckpointError: Weights are not here and could not be downloaded.
    """
    methods = methods_of(config)
    for method in (methods.tracker, methods.detector):
        if method.prepare is not None:
            method.prepare(config, progress)
