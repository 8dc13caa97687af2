"""All models that have a name: which are here, and how to fetch the others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from trackkit.weights.grounding_dino import fetch_detector, find_detector
from trackkit.weights.hub import FetchProgress
from trackkit.weights.releases import GROUNDING_DINO_RELEASES, SAM2_MODELS, find_sam2_release
from trackkit.weights.sam2 import fetch_release, find_release
from trackkit.weights.shipped import DETECTOR_MINI


def fetch_model(name: str, progress: FetchProgress | None = None) -> Path:
    """Fetch by name what is not here yet: a checkpoint of SAM 2, or a GroundingDINO on the hub.

    Args:
        name: ``"sam2.1_hiera_large"`` and its short forms, or ``"IDEA-Research/grounding-dino-base"``; a
            model that ships with trackkit is here already.
        progress: Hears how far it is; None shows the hub's own bar.

    Returns:
        The file, or the folder.

    Raises:
        CheckpointError: There is no such model, or it could not be downloaded.
    """
    release = find_sam2_release(name)
    return fetch_release(release, progress) if release else fetch_detector(name, progress)


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """A model that was released or ships with trackkit, and whether it is here.

    Attributes:
        name: What ``fetch_model``, ``--sam-type`` or ``--detector-model`` takes.
        kind: ``"SAM 2"`` or ``"GroundingDINO"``.
        parameters: Number of weights.
        path: The file or folder, None where it is not here.
        size_bytes: Size on disk of its weights, None where it is not here.
    """

    name: str
    kind: str
    parameters: int
    path: Path | None
    size_bytes: int | None


def list_models() -> list[ModelStatus]:
    """All models that have a name; looks at names and sizes only, never at the network (see ``verify``)."""
    models = [(r.name, "SAM 2", r.parameters, find_release(r)) for r in SAM2_MODELS.values()]
    mini = find_detector(DETECTOR_MINI)
    detectors = {r.repo_id: r.parameters for r in GROUNDING_DINO_RELEASES.values()}
    detectors[DETECTOR_MINI] = _count_weights(mini) if mini else 0
    models += [(name, "GroundingDINO", count, find_detector(name)) for name, count in detectors.items()]
    return [
        ModelStatus(*model, _weights_file(model[-1]).stat().st_size if model[-1] else None)
        for model in models
    ]


def _count_weights(folder: Path) -> int:
    # The header alone is read. Its number of words, and with it its size, is the business of its training.
    with safe_open(_weights_file(folder), framework="numpy") as weights:
        return sum(math.prod(weights.get_slice(key).get_shape()) for key in weights.keys())  # noqa: SIM118


def _weights_file(path: Path) -> Path:
    return path / "model.safetensors" if path.is_dir() else path
