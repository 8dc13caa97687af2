"""SAM 2 built from the configs of its package, with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias

import torch

from trackkit.core.errors import ConfigError
from trackkit.weights.shipped import SAM2_MINI, shipped_sam2_config

SAM2Base: TypeAlias = Any  # sam2.modeling.sam2_base.SAM2Base; importing sam2 starts Hydra, so it is done late

# Name of a model -> config in the sam2 package, or a path of its own.
SAM2_CONFIGS = {
    f"{family}_hiera_{size}": f"configs/{family}/{family}_hiera_{short}.yaml"
    for family in ("sam2", "sam2.1")
    for size, short in (("tiny", "t"), ("small", "s"), ("base_plus", "b+"), ("large", "l"))
} | {SAM2_MINI: str(shipped_sam2_config())}

# What build_sam2_video_predictor adds, where a config does not say otherwise, but for the filling of holes
# (it needs a CUDA extension that the package on PyPI does not have).
_TRACKING_OPTIONS = (
    "model.sam_mask_decoder_extra_args.dynamic_multimask_via_stability=true",
    "model.sam_mask_decoder_extra_args.dynamic_multimask_stability_delta=0.05",
    "model.sam_mask_decoder_extra_args.dynamic_multimask_stability_thresh=0.98",
    "model.binarize_mask_from_pts_for_mem_enc=true",
)


def build_sam2_model(
    config_name: str, *, overrides: Sequence[str] = (), device: torch.device | str = "cpu"
) -> SAM2Base:
    """Build a SAM 2 model with random weights; load a checkpoint with ``load_state_dict``.

    The package's YAML is read and instantiated without Hydra's global state, which other code in the process
    may have cleared or claimed.

    Args:
        config_name: A name of ``SAM2_CONFIGS`` (``"sam2.1_hiera_large"``) or the path of a config, absolute
            or within the ``sam2`` package (``"configs/sam2.1/sam2.1_hiera_l.yaml"``).
        overrides: Hydra style, ``"++model.image_size=512"``; the leading ``+`` may be left out. The rotary
            positions follow ``image_size`` by themselves.
        device: Where the model goes.

    Returns:
        The ``SAM2Base`` in eval mode, without gradients.

    Raises:
        ConfigError: No config has that name.
        RuntimeError: There is not enough memory.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    path = Path(str(files("sam2"))) / SAM2_CONFIGS.get(config_name, config_name)
    if path.suffix != ".yaml" or not path.is_file():
        msg = f"SAM 2 config {config_name!r} is unknown: choose one of {', '.join(SAM2_CONFIGS)}"
        raise ConfigError(msg)
    options = OmegaConf.from_dotlist([option.lstrip("+") for option in overrides])
    config = OmegaConf.merge(OmegaConf.from_dotlist([*_TRACKING_OPTIONS]), OmegaConf.load(path), options)
    OmegaConf.resolve(config)
    try:
        model = instantiate(config.model, _recursive_=True).to(device).eval().requires_grad_(False)
    except InstantiationException as error:  # Hydra's, of whatever torch raised
        raise RuntimeError(*error.args) from error
    settle_rotary_positions(model)
    return model


def settle_rotary_positions(model: SAM2Base) -> None:
    """Give every rotary attention the positions of the model's image size, on the model's device.

    They are plain attributes, not buffers: ``model.to()`` does not move them, and the package
    recomputes them within ``forward`` if the size is another, which torch.compile cannot trace well.
    """
    side = model.image_size // model.backbone_stride
    for layer in model.memory_attention.layers:
        for attention in (layer.self_attn, layer.cross_attn_image):
            if attention.freqs_cis.shape[0] != side * side:
                attention.freqs_cis = attention.compute_cis(end_x=side, end_y=side)
            attention.freqs_cis = attention.freqs_cis.to(model.device)
