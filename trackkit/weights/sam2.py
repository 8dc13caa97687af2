"""Where the weights of SAM 2 are, and how they get there.

The client fetches, once, before workers start; workers look and never download. The weights are looked for in
this order:

1. the file ``model_path``, and nowhere else if it is given;
2. ``models/sam2/checkpoints/<name>.pt`` under the current folder;
3. ``sam2/checkpoints/<name>.pt``, then ``<name>.pt``, in the folder ``$TRACKKIT_MODELS``;
4. the Hugging Face cache (``$HF_HOME``), where fetching puts them; for ``sam2.1_hiera_mini``, which is on no
   hub, the file that ships with trackkit.
"""

from __future__ import annotations

import os
from pathlib import Path

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import HTTPError as HubHTTPError  # type: ignore[attr-defined]

from trackkit.core.errors import CheckpointError
from trackkit.weights.hub import FetchProgress, cached, progress_bars, why_not
from trackkit.weights.releases import Sam2Release, sam2_release
from trackkit.weights.shipped import NO_DOWNLOAD, not_shipped, shipped_sam2

CHECKPOINT_FOLDER = Path("models/sam2/checkpoints")
MODELS_VARIABLE = "TRACKKIT_MODELS"


def find_sam2(sam_type: str, model_path: str | None = None) -> Path:
    """The file of the weights of SAM 2; never uses the network.

    Args:
        sam_type: A name that :func:`trackkit.weights.releases.sam2_release` knows.
        model_path: The file, where the user names one.

    Raises:
        ConfigError: ``sam_type`` is unknown.
        CheckpointError: There is no such file; the message says where it was looked for, and how to get it.
    """
    release = sam2_release(sam_type)
    if model_path is not None:
        path = Path(model_path).expanduser()
        if path.is_file():
            return path
        problem = "is a folder: name a file in it" if path.is_dir() else "does not exist"
        msg = f"model_path {model_path!r} {problem} (seen from {Path.cwd()}). " + _how_to_get(release)
        raise CheckpointError(msg)
    found = find_release(release)
    if found is None:
        raise _not_found(release)
    return found


def fetch_sam2(sam_type: str, model_path: str | None = None, progress: FetchProgress | None = None) -> Path:
    """As :func:`find_sam2`, but a released checkpoint that is nowhere here is downloaded from the hub.

    Args:
        sam_type: A name that :func:`trackkit.weights.releases.sam2_release` knows.
        model_path: The file, where the user names one.
        progress: Hears how far it is; None shows the hub's own bar.

    Raises:
        ConfigError: ``sam_type`` is unknown.
        CheckpointError: It could not be downloaded, or ``model_path`` is no file.
    """
    if model_path is not None:
        return find_sam2(sam_type, model_path)
    return fetch_release(sam2_release(sam_type), progress)


def find_release(release: Sam2Release) -> Path | None:
    """The file of a checkpoint, None where it is not here."""
    found = next((path for path in _local_places(release) if path.is_file()), None)
    return found if found or release.shipped else cached(release.repo_id, release.file_name)


def _local_places(release: Sam2Release) -> list[Path]:
    places = [Path.cwd() / CHECKPOINT_FOLDER / release.file_name]
    models = os.environ.get(MODELS_VARIABLE)
    if models:
        folder = Path(models).expanduser()
        places += [folder / "sam2" / "checkpoints" / release.file_name, folder / release.file_name]
    return [*places, shipped_sam2()] if release.shipped else places


def fetch_release(release: Sam2Release, progress: FetchProgress | None = None) -> Path:
    """The file of a checkpoint, which is downloaded where it is not here.

    Raises:
        CheckpointError: It could not be downloaded.
    """
    found = find_release(release)
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
