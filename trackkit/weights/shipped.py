"""The models that ship with trackkit: a few million weights, trained on synthetic video (``models/mini``)."""

from __future__ import annotations

from pathlib import Path

from trackkit.core.errors import CheckpointError

SAM2_MINI = "sam2.1_hiera_mini"
DETECTOR_MINI = "grounding-dino-mini"
DETECTOR_NAMES = ("mini", DETECTOR_MINI)
NO_DOWNLOAD = "--preset color (coloured regions) and --preset mini (coloured shapes) need no download"


def shipped_folder() -> Path:
    """Where their weights and configs are: within the package of a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "models" / "mini"
    return inside if inside.is_dir() else package.parent / "models" / "mini"


def shipped_sam2() -> Path:
    """The checkpoint of ``sam2.1_hiera_mini``, in the official format."""
    return shipped_folder() / f"{SAM2_MINI}.pt"


def shipped_sam2_config() -> Path:
    """Its architecture, in the form of the sam2 package's own configs."""
    return shipped_folder() / f"{SAM2_MINI}.yaml"


def shipped_detector() -> Path:
    """The folder of ``grounding-dino-mini``, in the format of ``transformers``."""
    return shipped_folder() / "grounding_dino"


def is_shipped(path: Path) -> bool:
    """Whether a file or folder of weights is one of these."""
    return path.resolve().is_relative_to(shipped_folder())


def not_shipped(name: str, place: Path) -> CheckpointError:
    """What to say where a model that ships with trackkit is not in its place."""
    msg = (
        f"the weights of {name} ship with trackkit, but {place} is absent: this installation is not whole, "
        "install trackkit again (in a clone: `git checkout models/mini`). --preset color needs no weights"
    )
    return CheckpointError(msg)
