"""Loads GroundingDINO and its processor, and refuses what is not whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForZeroShotObjectDetection, AutoProcessor
from transformers.utils.logging import disable_progress_bar

from trackkit.core.errors import CheckpointError
from trackkit.core.loading import check_tied, one_at_a_time
from trackkit.detectors.grounding_dino.token_prompts import CLS, PERIOD, SEP
from trackkit.weights.files import is_of_the_machine, machine_error
from trackkit.weights.grounding_dino import fetch_detector, how_to_get_detector
from trackkit.weights.releases import DEFAULT_DETECTOR, detector_name
from trackkit.weights.shipped import DETECTOR_MINI

MODEL_TYPES = ("grounding-dino", "mm-grounding-dino")


# What transformers was seen to raise over files that are missing, cut, or edited by hand.
_LOADING_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    TypeError,
    AttributeError,
    LookupError,
    SafetensorError,
    StrictDataclassError,
)


@one_at_a_time
def load_model(name: str) -> tuple[Any, Any]:
    """Load the model (float32 whatever the file has, on the CPU) and its processor.

    Args:
        name: A folder, a ``.pth`` of the reference repository, a name on the Hugging Face hub, which is
            fetched unless it is in the cache, or ``"mini"``, which ships with trackkit.

    Raises:
        CheckpointError: The weights are missing, cut, or of another model.
    """
    disable_progress_bar()  # of every worker, all over each other
    path = fetch_detector(name)
    model, processor = _load_reference(path) if path.is_file() else _load_folder(name, path)
    if processor.tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]", "."]) != [CLS, SEP, PERIOD]:
        raise _broken(name, "its tokenizer files are missing or of another model")
    return model, processor


def _load_reference(path: Path) -> tuple[Any, Any]:
    from trackkit.detectors.grounding_dino.reference_checkpoint import (
        load_reference_checkpoint,
        load_reference_processor,
    )

    return load_reference_checkpoint(path), load_reference_processor(path)


def _load_folder(name: str, folder: Path) -> tuple[Any, Any]:
    what = f"detector_model {name!r}"
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        if config.model_type not in MODEL_TYPES:
            msg = f"it holds a {config.model_type!r} model, expected one of {', '.join(MODEL_TYPES)}"
            raise _broken(name, msg)
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=False)
        model, report = AutoModelForZeroShotObjectDetection.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # refused below, with a message that names them
            output_loading_info=True,
        )
    except _LOADING_ERRORS as error:
        if is_of_the_machine(error):
            raise machine_error(what, error) from error
        raise _broken(name, f"{type(error).__name__}: {error}".partition("\n")[0]) from error
    # transformers fills with random numbers what it does not find, and goes on with an empty vocabulary.
    bad = sorted({*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])})
    if bad:
        check_tied(what, bad, model.all_tied_weights_keys)
        msg = f"{len(bad)} weights are missing or of another size, the first is {bad[0]}"
        raise _broken(name, msg)
    return model, processor


def _broken(name: str, reason: str) -> CheckpointError:
    again = f"fetch the whole folder again, for instance with `{how_to_get_detector(DEFAULT_DETECTOR)}`"
    if detector_name(name) == DETECTOR_MINI:
        again = "it ships with trackkit, install that again"
    msg = (
        f"detector_model {name!r} cannot be loaded: {reason}. Expected config.json, model.safetensors "
        f"(pickled .bin weights are not read), tokenizer and processor files: {again}"
    )
    return CheckpointError(msg)
