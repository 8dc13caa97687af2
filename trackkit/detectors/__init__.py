"""Detectors find what the prompt names in single frames.

A detector is any object with the method of :class:`Detector`. A name is added with::

    @register_detector("my-detector")
    def load(config: TrackConfig, device: str) -> Detector: ...

The loader runs once per worker; the detector that it returns serves one video after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from trackkit.core.errors import ConfigError

if TYPE_CHECKING:
    from trackkit.config import TrackConfig
    from trackkit.core.arrays import Image
    from trackkit.core.frames import Detections


class Detector(Protocol):
    """Finds objects of the prompt's classes in images."""

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Detect in a batch of images.

        Args:
            images: RGB ``uint8 (H, W, 3)``, all of one size.

        Returns:
            One ``Detections`` per image, in order; boxes inside the image, best score first.
        """
        ...


DetectorLoader: TypeAlias = "Callable[[TrackConfig, str], Detector]"

_LOADERS: dict[str, DetectorLoader] = {}


def register_detector(name: str) -> Callable[[DetectorLoader], DetectorLoader]:
    """Make a detector known under ``name`` (``--detector name``)."""

    def register(loader: DetectorLoader) -> DetectorLoader:
        _LOADERS[name] = loader
        return loader

    return register


def detector_names() -> tuple[str, ...]:
    """The known names."""
    return tuple(sorted(_LOADERS))


def load_detector(config: TrackConfig, device: str) -> Detector:
    """Load the detector that ``config`` names onto ``device`` (``"cpu"`` or ``"cuda:0"``).

    Raises:
        ConfigError: No detector has that name.
        CheckpointError: Its weights cannot be loaded.
        PromptError: It does not understand the prompt.
    """
    try:
        loader = _LOADERS[config.detector]
    except KeyError:
        msg = f"detector {config.detector!r} is unknown: choose one of {', '.join(detector_names())}"
        raise ConfigError(msg) from None
    return loader(config, device)


# Built-in loaders import their heavy parts only when they run.
@register_detector("grounding-dino")
def _grounding_dino(config: TrackConfig, device: str) -> Detector:
    from trackkit.detectors.grounding_dino.detector import GroundingDinoDetector

    return GroundingDinoDetector.from_config(config, device)


@register_detector("none")
def _none(config: TrackConfig, device: str) -> Detector:
    from trackkit.detectors.none import NoDetector

    return NoDetector()


@register_detector("color")
def _color(config: TrackConfig, device: str) -> Detector:
    from trackkit.detectors.color import ColorDetector

    return ColorDetector(config.classes, config.box_threshold)
