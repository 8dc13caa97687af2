"""Where the weights of GroundingDINO are, and how they get there.

They are a folder in the format of ``transformers``, a ``.pth`` of the reference repository, a name on the
hub, which is looked for in the Hugging Face cache, or ``mini``, which ships with trackkit.
"""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from huggingface_hub.errors import HTTPError as HubHTTPError  # type: ignore[attr-defined]

from trackkit.core.errors import CheckpointError
from trackkit.weights.hub import FetchProgress, cached, progress_bars, why_not
from trackkit.weights.releases import DEFAULT_DETECTOR, GROUNDING_DINO_RELEASES, detector_name
from trackkit.weights.shipped import DETECTOR_MINI, NO_DOWNLOAD, not_shipped, shipped_detector

# All that loading needs; the hub also has the same weights as pickles, which are never read.
_DETECTOR_FILES = ["*.json", "*.txt", "*.safetensors"]
_TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "vocab.txt"]
_TOKENIZER = "google-bert/bert-base-uncased"


def find_detector(name: str) -> Path | None:
    """The folder or ``.pth`` file of a GroundingDINO model if it is here; never uses the network.

    Args:
        name: A folder, a ``.pth`` of the reference repository, a name on the hub, or ``"mini"``, which means
            what ships with trackkit even where a folder has that name (``"./mini"``).
    """
    if _is_mini(name):
        folder = shipped_detector()
        return folder if (folder / "model.safetensors").is_file() else None
    path = Path(name).expanduser()
    if path.is_dir() or (path.is_file() and path.suffix in (".pth", ".pt")):
        return path
    try:
        config = cached(name, "config.json")
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
    if _is_mini(name):
        raise not_shipped(DETECTOR_MINI, shipped_detector())
    if Path(name).suffix in (".pth", ".pt"):
        msg = f"detector_model {name!r} does not exist (seen from {Path.cwd()}): correct the path"
        raise CheckpointError(msg)
    try:
        bars = progress_bars(name, progress)
        return Path(snapshot_download(name, allow_patterns=_DETECTOR_FILES, tqdm_class=bars))
    except HFValidationError as error:
        msg = (
            f"detector_model {name!r} is no folder, nor a hub name such as {DEFAULT_DETECTOR!r}: "
            f"give one of the two, or a .pth of the reference repository. {NO_DOWNLOAD}"
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
            f"detector_model {name!r} is no folder here and not in the Hugging Face cache, and "
            f"{why_not(error)}: on a machine with network run `{how_to_get_detector(name)}`, copy that "
            f"folder here and give its path as --detector-model. {NO_DOWNLOAD}"
        )
        raise CheckpointError(msg) from error


def _is_mini(name: str) -> bool:
    return detector_name(name) == DETECTOR_MINI


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
        folders += [file.parent for name in _TOKENIZER_FILES if (file := cached(repo_id, name))]
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
    bars = progress_bars(_TOKENIZER, progress)
    try:
        snapshot_download(_TOKENIZER, allow_patterns=_TOKENIZER_FILES, tqdm_class=bars)
    except (OSError, HubHTTPError) as error:
        raise no_tokenizer(checkpoint, why_not(error)) from error
