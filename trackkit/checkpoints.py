"""Where weights are, and how they get there.

The client fetches, once, before workers start (:func:`prepare_weights`); workers look and never download.

The weights of SAM 2 are looked for in this order:

1. the file ``config.model_path``, and nowhere else if it is given;
2. ``models/sam2/checkpoints/<name>.pt`` under the current folder;
3. ``sam2/checkpoints/<name>.pt``, then ``<name>.pt``, in the folder ``$TRACKKIT_MODELS``;
4. the Hugging Face cache (``$HF_HOME``), where fetching puts them.

The weights of GroundingDINO are a folder in the format of ``transformers``, a ``.pth`` of the reference
repository, or a name on the hub, which is looked for in the Hugging Face cache.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from huggingface_hub import constants, hf_hub_download, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from huggingface_hub.errors import HTTPError as HubHTTPError  # type: ignore[attr-defined]
from huggingface_hub.utils.tqdm import tqdm as hub_tqdm

from trackkit.config import TrackConfig
from trackkit.errors import CheckpointError
from trackkit.releases import (
    GROUNDING_DINO_RELEASES,
    SAM2_RELEASES,
    Sam2Release,
    find_sam2_release,
    sam2_release,
)

if TYPE_CHECKING:
    from trackkit.trackers.sam2_model import SAM2Base

FetchProgress: TypeAlias = Callable[[str, int, int], None]
"""Called with what is fetched, bytes so far, and bytes in all (0 where that is not known yet)."""

CHECKPOINT_FOLDER = Path("models/sam2/checkpoints")
MODELS_VARIABLE = "TRACKKIT_MODELS"
SLOW_SECONDS_PER_FRAME = 1.0


# All that loading needs; the hub also has the same weights as pickles, which are never read.
_DETECTOR_FILES = ["*.json", "*.txt", "*.safetensors"]
_TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "vocab.txt"]
_TOKENIZER = "google-bert/bert-base-uncased"


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
    return next((path for path in _local_places(release) if path.is_file()), None) or _cached(
        release.repo_id, release.file_name
    )


def _local_places(release: Sam2Release) -> list[Path]:
    places = [Path.cwd() / CHECKPOINT_FOLDER / release.file_name]
    models = os.environ.get(MODELS_VARIABLE)
    if models:
        folder = Path(models).expanduser()
        places += [folder / "sam2" / "checkpoints" / release.file_name, folder / release.file_name]
    return places


def _cached(repo_id: str, file_name: str) -> Path | None:
    found = try_to_load_from_cache(repo_id, file_name)
    return Path(found) if isinstance(found, str) else None


def _fetch_sam2(release: Sam2Release, progress: FetchProgress | None) -> Path:
    found = _find_sam2(release)
    if found:
        return found
    bars = _progress_bars(release.file_name, progress)
    try:
        return Path(hf_hub_download(release.repo_id, release.file_name, tqdm_class=bars))
    except (OSError, HubHTTPError) as error:
        raise _not_found(release, _why(error)) from error


def _not_found(release: Sam2Release, why: str = "") -> CheckpointError:
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
    return (
        f"On a machine with network run `trackkit models fetch {release.name}` or `hf download "
        f"{release.repo_id} {release.file_name} --local-dir {CHECKPOINT_FOLDER}` "
        f"({release.megabytes} MB); or name a file with --model-path. "
        "--preset color needs no weights"
    )


# GroundingDINO ------------------------------------------------------------------------------------------


def find_detector(name: str) -> Path | None:
    """The folder or ``.pth`` file of a GroundingDINO model if it is here; never uses the network.

    Args:
        name: A folder, a ``.pth`` of the reference repository, or a name on the hub.
    """
    path = Path(name).expanduser()
    if path.is_dir() or (path.is_file() and path.suffix in (".pth", ".pt")):
        return path
    try:
        config = _cached(name, "config.json")
    except HFValidationError:
        return None
    needed = (("model.safetensors",), ("preprocessor_config.json", "processor_config.json"), _TOKENIZER_FILES)
    if config and all(any((config.parent / file).is_file() for file in files) for files in needed):
        return config.parent
    return None


def fetch_detector(name: str, progress: FetchProgress | None = None) -> Path:
    """As :func:`find_detector`, but what is not here is downloaded: no pickles, only what loading reads.

    A ``.pth`` of the reference repository has no tokenizer in it, so that is fetched where it is not here.

    Args:
        name: A folder, a ``.pth`` of the reference repository, or a name on the hub.
        progress: Hears how far it is; None shows the hub's own bar.

    Raises:
        CheckpointError: There is no such model, or it could not be downloaded.
    """
    found = find_detector(name)
    if found:
        if found.is_file() and not find_tokenizer(found):
            _fetch_tokenizer(found, progress)
        return found
    if Path(name).suffix in (".pth", ".pt"):
        msg = f"detector_model {name!r} does not exist (seen from {Path.cwd()}): correct the path"
        raise CheckpointError(msg)
    try:
        bars = _progress_bars(name, progress)
        return Path(snapshot_download(name, allow_patterns=_DETECTOR_FILES, tqdm_class=bars))
    except HFValidationError as error:
        msg = (
            f"detector_model {name!r} is no folder, nor a hub name such as {TrackConfig.detector_model!r}: "
            "give one of the two, or a .pth of the reference repository; --detector color needs no weights"
        )
        raise CheckpointError(msg) from error
    except RepositoryNotFoundError as error:
        msg = (
            f"detector_model {name!r} is no folder here, and the Hugging Face hub has no such model or wants "
            "a login: correct the name, or run `hf auth login`"
        )
        raise CheckpointError(msg) from error
    except (OSError, HubHTTPError) as error:
        msg = (
            f"detector_model {name!r} is no folder here and not in the Hugging Face cache, and {_why(error)}"
            f": on a machine with network run `{how_to_get_detector(name)}`, copy that folder here and give "
            "its path as --detector-model; --detector color needs no weights"
        )
        raise CheckpointError(msg) from error


def how_to_get_detector(name: str) -> str:
    """The command that downloads a GroundingDINO model into a folder."""
    return f"hf download {name} --exclude '*.bin' --local-dir {Path(name).name}"


def find_tokenizer(checkpoint: Path) -> Path | None:
    """The folder with BERT's tokenizer that a ``.pth`` of GroundingDINO needs; never uses the network.

    Looked for beside the file, in the folder ``bert-base-uncased`` beside it, and in the Hugging Face cache,
    where every released GroundingDINO has the same one.
    """
    folders = [checkpoint.parent, checkpoint.parent / "bert-base-uncased"]
    for repo_id in (_TOKENIZER, "bert-base-uncased", *GROUNDING_DINO_RELEASES):
        folders += [file.parent for name in _TOKENIZER_FILES if (file := _cached(repo_id, name))]
    vocabularies = ("tokenizer.json", "vocab.txt")
    return next((f for f in folders if any((f / name).is_file() for name in vocabularies)), None)


def no_tokenizer(checkpoint: Path, why: str = "") -> CheckpointError:
    """What to say where :func:`find_tokenizer` finds nothing."""
    folder = checkpoint.parent / "bert-base-uncased"
    msg = (
        f"{checkpoint.name} needs the tokenizer bert-base-uncased, which is neither beside it ({folder}) nor "
        f"in {constants.HF_HUB_CACHE}{f', and {why}' if why else ''}: on a machine with network run "
        f"`hf download {_TOKENIZER} {' '.join(_TOKENIZER_FILES)} --local-dir {folder}`"
    )
    return CheckpointError(msg)


def _fetch_tokenizer(checkpoint: Path, progress: FetchProgress | None) -> None:
    bars = _progress_bars(_TOKENIZER, progress)
    try:
        snapshot_download(_TOKENIZER, allow_patterns=_TOKENIZER_FILES, tqdm_class=bars)
    except (OSError, HubHTTPError) as error:
        raise no_tokenizer(checkpoint, _why(error)) from error


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
        name: ``"sam2.1_hiera_large"`` and its short forms, or ``"IDEA-Research/grounding-dino-base"``.
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
    """A released model, and whether it is here.

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
    """All released models; looks at names and sizes only, never at the network (see ``verify``)."""
    models = [(r.name, "SAM 2", r.parameters, _find_sam2(r)) for r in SAM2_RELEASES.values()]
    models += [
        (r.repo_id, "GroundingDINO", r.parameters, find_detector(r.repo_id))
        for r in GROUNDING_DINO_RELEASES.values()
    ]
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


def _weights_file(path: Path) -> Path:
    return path / "model.safetensors" if path.is_dir() else path


def _progress_bars(what: str, progress: FetchProgress | None) -> Any:
    """A class for ``tqdm_class`` of the hub's functions; None keeps their own bars."""
    if progress is None:
        return None
    report = progress

    class Bar(hub_tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "file": io.StringIO(), "disable": False})

        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            if self.unit == "B":  # others count files
                report(what, int(self.n), int(self.total or 0))
            return shown

    return Bar


def _why(error: Exception) -> str:
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    return f"fetching failed ({type(error.__cause__ or error).__name__})"
