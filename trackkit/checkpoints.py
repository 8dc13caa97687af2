"""Where weights are, and how they get there.

The client fetches, once, before workers start (:func:`prepare_weights`); workers look and never download.

The weights of SAM 2 are looked for in this order:

1. the file ``config.model_path``, and nowhere else if it is given;
2. ``models/sam2/checkpoints/<name>.pt`` under the current folder;
3. ``sam2/checkpoints/<name>.pt``, then ``<name>.pt``, in the folder ``$TRACKKIT_MODELS``;
4. the Hugging Face cache (``$HF_HOME``), where fetching puts them; for ``sam2.1_hiera_mini``, which is on no
   hub, the file that ships with trackkit.

Those of GroundingDINO are the business of :mod:`trackkit.detector_checkpoints`.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import HTTPError as HubHTTPError  # type: ignore[attr-defined]
from safetensors import safe_open

from trackkit.config import TrackConfig
from trackkit.detector_checkpoints import fetch_detector, find_detector
from trackkit.errors import CheckpointError
from trackkit.hub import FetchProgress, cached, progress_bars, why_not
from trackkit.releases import (
    GROUNDING_DINO_RELEASES,
    SAM2_MODELS,
    SAM2_RELEASES,
    Sam2Release,
    find_sam2_release,
    sam2_release,
)
from trackkit.shipped import DETECTOR_MINI, NO_DOWNLOAD, not_shipped, shipped_sam2

if TYPE_CHECKING:
    from trackkit.trackers.sam2_model import SAM2Base

CHECKPOINT_FOLDER = Path("models/sam2/checkpoints")
MODELS_VARIABLE = "TRACKKIT_MODELS"
SLOW_SECONDS_PER_FRAME = 1.0


# SAM 2 --------------------------------------------------------------------------------------------------


def locate(config: TrackConfig) -> Path:
    """The file of ``config``'s SAM 2 weights; never uses the network.

    Raises:
        ConfigError: ``config.sam_type`` is unknown.
        CheckpointError: There is no such file; the message says where it was looked for, and how to get it.
    """
    release = sam2_release(config.sam_type)
    if config.model_path is not None:
        path = Path(config.model_path).expanduser()
        if path.is_file():
            return path
        problem = "is a folder: name a file in it" if path.is_dir() else "does not exist"
        msg = f"model_path {config.model_path!r} {problem} (seen from {Path.cwd()}); " + _how_to_get(release)
        raise CheckpointError(msg)
    found = _find_sam2(release)
    if found is None:
        raise _not_found(release)
    return found


def load_sam2(config: TrackConfig, device: str) -> SAM2Base:
    """Load the SAM 2 model that ``config`` names; never uses the network.

    Args:
        config: ``sam_type`` is the architecture, ``model_path`` the file where it is given.
        device: ``"cpu"`` or ``"cuda:0"``.

    Returns:
        The ``SAM2Base`` in eval mode, float32, without gradients.

    Raises:
        ConfigError: ``config.sam_type`` is unknown.
        CheckpointError: The file is missing, cut, or not of that architecture.
    """
    from trackkit.trackers.sam2_checkpoint import load_release

    return load_release(sam2_release(config.sam_type), locate(config), device)


def fetch(config: TrackConfig, progress: FetchProgress | None = None) -> Path:
    """As :func:`locate`, but a released checkpoint that is nowhere here is downloaded from the hub.

    Args:
        config: Names the checkpoint.
        progress: Hears how far it is; None shows the hub's own bar.

    Raises:
        ConfigError: ``config.sam_type`` is unknown.
        CheckpointError: It could not be downloaded, or ``config.model_path`` is no file.
    """
    if config.model_path is not None:
        return locate(config)
    return _fetch_sam2(sam2_release(config.sam_type), progress)


def _find_sam2(release: Sam2Release) -> Path | None:
    found = next((path for path in _local_places(release) if path.is_file()), None)
    return found if found or release.shipped else cached(release.repo_id, release.file_name)


def _local_places(release: Sam2Release) -> list[Path]:
    places = [Path.cwd() / CHECKPOINT_FOLDER / release.file_name]
    models = os.environ.get(MODELS_VARIABLE)
    if models:
        folder = Path(models).expanduser()
        places += [folder / "sam2" / "checkpoints" / release.file_name, folder / release.file_name]
    return [*places, shipped_sam2()] if release.shipped else places


def _fetch_sam2(release: Sam2Release, progress: FetchProgress | None) -> Path:
    found = _find_sam2(release)
    if found:
        return found
    if release.shipped:
        raise _not_found(release)
    bars = progress_bars(release.file_name, progress)
    try:
        return Path(hf_hub_download(release.repo_id, release.file_name, tqdm_class=bars))
    except (OSError, HubHTTPError) as error:
        raise _not_found(release, why_not(error)) from error


def _not_found(release: Sam2Release, why: str = "") -> CheckpointError:
    if release.shipped:
        return not_shipped(release.name, shipped_sam2())
    places = [*map(str, _local_places(release)), f"{release.repo_id} in {constants.HF_HUB_CACHE}"]
    unset = "" if os.environ.get(MODELS_VARIABLE) else f" (${MODELS_VARIABLE} is not set)"
    msg = (
        f"the weights {release.file_name} are not here{f', and {why}' if why else ''}. Looked for "
        + ", ".join(places)
        + f"{unset}. "
        + _how_to_get(release)
    )
    return CheckpointError(msg)


def _how_to_get(release: Sam2Release) -> str:
    if release.shipped:
        return f"{release.name} ships with trackkit: leave --model-path out"
    return (
        f"On a machine with network run `trackkit models fetch {release.name}` or `hf download "
        f"{release.repo_id} {release.file_name} --local-dir {CHECKPOINT_FOLDER}` "
        f"({release.megabytes} MB); or name a file with --model-path. {NO_DOWNLOAD}"
    )


# Both ---------------------------------------------------------------------------------------------------


def prepare_weights(config: TrackConfig, progress: FetchProgress | None = None) -> None:
    """Make sure, before any worker starts, that the weights of a run are on this machine.

    Detectors and trackers other than GroundingDINO and SAM 2 need nothing from here.

    Args:
        config: Says which weights.
        progress: Hears how far a download is; None shows the hub's own bar.

    Raises:
        ConfigError: ``config.sam_type`` is unknown.
        CheckpointError: Weights are not here and could not be downloaded.
    """
    if config.tracker == "sam2":
        fetch(config, progress)
    if config.detector == "grounding-dino":
        fetch_detector(config.detector_model, progress)


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
    return _fetch_sam2(release, progress) if release else fetch_detector(name, progress)


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
    models = [(r.name, "SAM 2", r.parameters, _find_sam2(r)) for r in SAM2_MODELS.values()]
    mini = find_detector(DETECTOR_MINI)
    detectors = {r.repo_id: r.parameters for r in GROUNDING_DINO_RELEASES.values()}
    detectors[DETECTOR_MINI] = _count_weights(mini) if mini else 0
    models += [(name, "GroundingDINO", count, find_detector(name)) for name, count in detectors.items()]
    return [
        ModelStatus(*model, _weights_file(model[-1]).stat().st_size if model[-1] else None)
        for model in models
    ]


def cpu_speed_warning(config: TrackConfig, seconds_per_frame: float) -> str | None:
    """What to say where SAM 2 turns out slow on a CPU; None where it is quick enough or not used.

    Args:
        config: What runs.
        seconds_per_frame: Measured on the first frames.
    """
    if config.tracker != "sam2" or seconds_per_frame < SLOW_SECONDS_PER_FRAME:
        return None
    release = sam2_release(config.sam_type)
    version = release.name.partition("_hiera_")[0]
    family = [other for other in SAM2_RELEASES.values() if other.name.startswith(f"{version}_hiera_")]
    smallest = min(family, key=lambda other: other.parameters)
    smaller = f"--sam-type {smallest.name} has {smallest.megabytes / release.megabytes:.0%} of its weights, "
    return (
        f"{release.name} takes {seconds_per_frame:.1f} s a frame on this CPU, "
        f"{seconds_per_frame / 3.6:.1f} hours for 1000 frames: "
        f"{smaller if release.parameters > 2 * smallest.parameters else ''}"
        "--fps takes fewer frames, and --preset color needs no SAM 2"
    )


def _count_weights(folder: Path) -> int:
    # The header alone is read. Its number of words, and with it its size, is the business of its training.
    with safe_open(_weights_file(folder), framework="numpy") as weights:
        return sum(math.prod(weights.get_slice(key).get_shape()) for key in weights.keys())  # noqa: SIM118


def _weights_file(path: Path) -> Path:
    return path / "model.safetensors" if path.is_dir() else path
