"""Detectors find what the prompt names in single frames.

A detector is any object with the method of :class:`Detector`. A name is added with::

    @register_detector("my-detector")
    def load(config: TrackConfig, device: str) -> Detector: ...

or by an installed package, with an entry point of the group ``trackkit.detectors``. The loader runs once per
worker; the detector that it returns serves one video after the other. docs/extending.md has an example.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from trackkit.core.registry import Prepare, Registry

if TYPE_CHECKING:
    from trackkit.config import TrackConfig
    from trackkit.core.arrays import Image
    from trackkit.core.frames import Detections
    from trackkit.weights.hub import FetchProgress


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


@runtime_checkable
class AdjustableDetector(Detector, Protocol):
    """A detector whose lowest score can be changed: ``tk.preview`` then shows what is below it, too."""

    def at_threshold(self, box_threshold: float) -> Detector:
        """The same detector with another lowest score, 0 to 1."""
        ...


DetectorLoader: TypeAlias = "Callable[[TrackConfig, str], Detector]"

DETECTORS: Registry[Detector] = Registry("detector", "trackkit.detectors")


def register_detector(
    name: str, *, prepare: Prepare | None = None
) -> Callable[[DetectorLoader], DetectorLoader]:
    """Make a detector known under ``name`` (``TrackConfig(detector=name)``), on the workers, too.

    Args:
        name: For ``TrackConfig.detector``; a name that is known already gets the new loader.
        prepare: Called once, before workers start on this machine, with the config and with what hears how
            far a download is (or None): brings the weights here.

    Raises:
        ConfigError: ``name`` is no name.
    """
    return DETECTORS.register(name, prepare=prepare)


def detector_names() -> tuple[str, ...]:
    """The known names, those of installed packages included."""
    return DETECTORS.names()


def load_detector(config: TrackConfig, device: str) -> Detector:
    """Load the detector that ``config`` names onto ``device`` (``"cpu"`` or ``"cuda:0"``).

    Raises:
        ConfigError: No detector has that name, or the package that brings it cannot be imported.
        CheckpointError: Its weights cannot be loaded.
        PromptError: It does not understand the prompt.
    """
    return DETECTORS.get(config.detector).load(config, device)


# What is built in imports its heavy parts only when it runs.
def _fetch_grounding_dino(config: TrackConfig, progress: FetchProgress | None) -> None:
    from trackkit.weights.grounding_dino import fetch_detector

    fetch_detector(config.detector_model, progress)


@DETECTORS.register("grounding-dino", prepare=_fetch_grounding_dino, installed=True)
def _grounding_dino(config: TrackConfig, device: str) -> Detector:
    import torchvision  # noqa: F401 - whole, before parts of it, as another thread may be in the middle of it

    from trackkit.detectors.grounding_dino.detector import GroundingDinoDetector

    return GroundingDinoDetector.from_config(config, device)


@DETECTORS.register("none", installed=True)
def _none(config: TrackConfig, device: str) -> Detector:
    from trackkit.detectors.none import NoDetector

    return NoDetector()


@DETECTORS.register("color", installed=True)
def _color(config: TrackConfig, device: str) -> Detector:
    from trackkit.detectors.color import ColorDetector

    return ColorDetector(config.classes, config.box_threshold)
