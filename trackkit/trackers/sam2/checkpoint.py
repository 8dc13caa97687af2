"""SAM 2 checkpoints in the official format, ``{"model": state_dict}``, loaded strictly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from trackkit.core.errors import CheckpointError
from trackkit.core.loading import one_at_a_time
from trackkit.trackers.sam2.build import SAM2Base, build_sam2_model
from trackkit.weights.files import differences, first, read_weights
from trackkit.weights.releases import SAM2_MODELS, Sam2Release, sam2_release
from trackkit.weights.sam2 import find_sam2

_PATCH_EMBEDDING = "image_encoder.trunk.patch_embed.proj.weight"
_BLOCK = "image_encoder.trunk.blocks."
# SAM 2.1 has an embedding for "occluded" and positions in time for object pointers; SAM 2.0 has neither.
_ONLY_IN_2_1 = ("no_obj_embed_spatial", "obj_ptr_tpos_proj.weight")


@one_at_a_time
def load_release(release: Sam2Release, path: Path, device: str = "cpu") -> SAM2Base:
    """Load a file as the given release.

    Args:
        release: The architecture.
        path: A checkpoint in the official format.
        device: ``"cpu"`` or ``"cuda:0"``.

    Returns:
        The ``SAM2Base`` in eval mode, float32 whatever the file has, without gradients.

    Raises:
        CheckpointError: The file is missing, cut, or not of that architecture.
    """
    weights = read_weights(path)
    model = build_sam2_model(release.name, device=device)
    problem = differences(weights, model.state_dict())
    if problem:
        msg = f"checkpoint {str(path)!r} is not {release.name}: {problem}. {_advice(release, weights)}"
        raise CheckpointError(msg)
    model.load_state_dict(weights)
    return model


def identify(weights: Mapping[str, Tensor]) -> Sam2Release | None:
    """The model that weights look like, by the size of their image encoder; None where they are others."""
    embedding = weights.get(_PATCH_EMBEDDING)
    if embedding is None:
        return None
    embed_dim = embedding.shape[0]
    blocks = len({key.removeprefix(_BLOCK).partition(".")[0] for key in weights if key.startswith(_BLOCK)})
    family = "sam2.1_" if any(key in weights for key in _ONLY_IN_2_1) else "sam2_"
    same = (r for r in SAM2_MODELS.values() if (r.embed_dim, r.blocks) == (embed_dim, blocks))
    return next((release for release in same if release.name.startswith(family)), None)


def _advice(release: Sam2Release, weights: Mapping[str, Tensor]) -> str:
    looks_like = identify(weights)
    if looks_like == release and release.shipped:
        return (
            "It was changed or is damaged: leave --model-path out to load the file that ships with trackkit; "
            "where this is that file, install trackkit again"
        )
    if looks_like == release:
        return (
            "It was changed or is damaged: get the released file with "
            f"`trackkit models fetch {release.name}`, and leave --model-path out"
        )
    if looks_like:
        return f"This looks like {looks_like.name}: pass --sam-type {looks_like.name}, or another file"
    if _PATCH_EMBEDDING in weights:
        return "This looks like a SAM 2 of a size that was not released: only released sizes can be loaded"
    return f"This is no SAM 2 checkpoint (its weights are {first(weights)}): name another file"


def load_sam2(sam_type: str, model_path: str | None = None, device: str = "cpu") -> SAM2Base:
    """Load a SAM 2 model; never uses the network.

    Args:
        sam_type: The architecture.
        model_path: The file, where the user names one.
        device: ``"cpu"`` or ``"cuda:0"``.

    Returns:
        The ``SAM2Base`` in eval mode, float32, without gradients.

    Raises:
        ConfigError: ``sam_type`` is unknown.
        CheckpointError: The file is missing, cut, or not of that architecture.
    """
    return load_release(sam2_release(sam_type), find_sam2(sam_type, model_path), device)
