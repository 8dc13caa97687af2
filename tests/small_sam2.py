"""Small SAM 2.1 models with random weights, a synthetic clip, and the stock predictor as the reference."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

torch.set_num_threads(1)

WIDTH, HEIGHT = 160, 120


def overrides(size: str = "nano", image_size: int = 128) -> list[str]:
    """Hydra overrides that turn sam2.1_hiera_tiny into a small model; "tiny" changes the resolution alone."""
    f = image_size // 16
    options = [
        f"++model.image_size={image_size}",
        f"++model.memory_attention.layer.self_attention.feat_sizes=[{f},{f}]",
        f"++model.memory_attention.layer.cross_attention.feat_sizes=[{f},{f}]",
    ]
    if (
        size == "nano"
    ):  # d_model 64, mem_dim 16, Hiera dim 16, 5 blocks, 2 memory attention layers: 1.4 M weights
        options += [
            "++model.image_encoder.trunk.embed_dim=16",
            "++model.image_encoder.trunk.stages=[1,1,2,1]",
            "++model.image_encoder.trunk.global_att_blocks=[3]",
            "++model.image_encoder.neck.d_model=64",
            "++model.image_encoder.neck.backbone_channel_list=[128,64,32,16]",
            "++model.image_encoder.neck.position_encoding.num_pos_feats=64",
            "++model.memory_attention.d_model=64",
            "++model.memory_attention.num_layers=2",
            "++model.memory_attention.layer.d_model=64",
            "++model.memory_attention.layer.dim_feedforward=128",
            "++model.memory_attention.layer.self_attention.embedding_dim=64",
            "++model.memory_attention.layer.cross_attention.embedding_dim=64",
            "++model.memory_attention.layer.cross_attention.kv_in_dim=16",
            "++model.memory_encoder.out_dim=16",
            "++model.memory_encoder.in_dim=64",  # not in the yaml
            "++model.memory_encoder.position_encoding.num_pos_feats=16",
            "++model.memory_encoder.mask_downsampler.embed_dim=64",  # not in the yaml
            "++model.memory_encoder.fuser.layer.dim=64",
        ]
    return options


def build_stock(size: str = "nano", image_size: int = 128, seed: int = 0, object_bias: float = 30.0) -> Any:
    """The package's own video predictor, small, random, and made lively."""
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from sam2.build_sam import build_sam2_video_predictor

    if not GlobalHydra.instance().is_initialized():
        initialize_config_module("sam2", version_base="1.2")
    torch.manual_seed(seed)
    model = build_sam2_video_predictor(
        "configs/sam2.1/sam2.1_hiera_t.yaml", device="cpu", hydra_overrides_extra=overrides(size, image_size)
    )
    model.fill_hole_area = (
        0  # the builder appends its own 8 behind the overrides, and 8 needs a CUDA extension
    )
    enliven(model, seed, object_bias)
    return model.requires_grad_(False)


@torch.no_grad()
def enliven(model: Any, seed: int = 0, object_bias: float = 30.0) -> None:
    """Make random weights exercise the memory: visible temporal positions, the fuser on, larger logits.

    Raw random weights give -1024 everywhere, and a comparison of those says nothing. ``object_bias`` keeps
    the objects visible: near objectness 0 a rounding error flips to -1024.
    """
    g = torch.Generator().manual_seed(seed + 1)
    model.maskmem_tpos_enc.copy_(torch.randn(model.maskmem_tpos_enc.shape, generator=g))
    for p in (model.no_mem_embed, model.no_mem_pos_enc, model.no_obj_ptr, model.no_obj_embed_spatial):
        p.copy_(torch.randn(p.shape, generator=g) * 0.5)
    for layer in model.memory_encoder.fuser.layers:
        layer.gamma.fill_(1.0)
    for layer in model.memory_attention.layers:
        attention = layer.cross_attn_image
        attention.q_proj.weight.mul_(4)
        attention.k_proj.weight.mul_(4)
        attention.v_proj.weight.mul_(2)
        attention.out_proj.weight.mul_(8)
    for head in model.sam_mask_decoder.output_hypernetworks_mlps:
        head.layers[-1].weight.mul_(30)
        head.layers[-1].bias.mul_(10)
    for layer in model.sam_mask_decoder.iou_prediction_head.layers:
        layer.weight.mul_(2)
    for layer in model.sam_mask_decoder.pred_obj_score_head.layers:
        layer.weight.mul_(3)
    model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(object_bias)


def circle(k: int, t: int) -> tuple[float, float, int]:
    """Centre and radius of disc ``k`` on frame ``t``."""
    x = WIDTH * (0.2 + 0.2 * k) + 12 * np.sin(t / 7 + k)
    return x, HEIGHT * 0.5 + 30 * np.cos(t / 9 + 2 * k), 7 + 2 * k


def box(k: int, t: int) -> list[float]:
    """Box ``xyxy`` of disc ``k`` on frame ``t``."""
    x, y, r = circle(k, t)
    return [x - r, y - r, x + r, y + r]


def mask(k: int, t: int) -> np.ndarray:
    """Mask ``bool (HEIGHT, WIDTH)`` of disc ``k`` on frame ``t``."""
    x, y, r = circle(k, t)
    yy, xx = np.mgrid[:HEIGHT, :WIDTH]
    return (xx - x) ** 2 + (yy - y) ** 2 < r * r


def write_clip(folder: Path, num_frames: int) -> list[np.ndarray]:
    """Four discs before a moving background, as JPEG files for the stock predictor; gives them as decoded."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    background = np.array(Image.fromarray(small).resize((WIDTH, HEIGHT)))
    frames = []
    for t in range(num_frames):
        frame = np.roll(background, 2 * t, axis=1).astype(int)
        for k in range(4):
            frame[mask(k, t)] = [(40 + 60 * k) % 255, (200 - 50 * k) % 255, (90 * k) % 255]
        frame = np.clip(frame + rng.integers(-12, 12, frame.shape), 0, 255).astype(np.uint8)
        path = folder / f"{t:05d}.jpg"
        Image.fromarray(frame).save(path, quality=95)
        frames.append(np.array(Image.open(path).convert("RGB")))
    return frames


@contextlib.contextmanager
def fp32_store() -> Iterator[None]:
    """Let the stock predictor keep its memory in float32; it has ``.to(torch.bfloat16)`` written into it.

    Parity is tested in float32: in bfloat16 the noise of batching flips roundings (about 2e-3 on the logits).
    """
    import sam2.sam2_video_predictor as module

    class Proxy(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            return torch.float32 if name == "bfloat16" else getattr(torch, name)

    module.torch = Proxy("torch")
    try:
        yield
    finally:
        module.torch = torch


@contextlib.contextmanager
def no_progress_bars() -> Iterator[None]:
    """Keep the package's tqdm quiet."""
    import sam2.sam2_video_predictor as predictor
    from sam2.utils import misc

    bars = predictor.tqdm, misc.tqdm
    predictor.tqdm = misc.tqdm = lambda items, **_: items
    try:
        yield
    finally:
        predictor.tqdm, misc.tqdm = bars


def run_stock(
    model: Any, folder: Path, num_frames: int, prompts: list[tuple[int, Any]]
) -> dict[int, torch.Tensor]:
    """The stock predictor on one object alone.

    Args:
        model: From :func:`build_stock`.
        folder: The JPEG files.
        num_frames: Frames in it; at least 16, fewer change the positions of the object pointers.
        prompts: ``(frame, prompt of the engine)``, in order of frames. Stock propagates up to the frame
            before each prompt: added beforehand, a late prompt would be tracked from the future.

    Returns:
        Frame to logits ``(H, W)`` at the video's size.
    """
    from trackkit.trackers.by_mask.prompts import MaskPrompt

    out = {}
    with no_progress_bars():
        state = model.init_state(str(folder))
        for i, (frame, prompt) in enumerate(prompts):
            if isinstance(prompt, MaskPrompt):
                model.add_new_mask(state, frame, prompt.obj_id, prompt.mask)
            elif prompt.labels[0] == 2:
                model.add_new_points_or_box(state, frame, prompt.obj_id, box=prompt.points.reshape(4))
            else:
                model.add_new_points_or_box(
                    state, frame, prompt.obj_id, points=prompt.points, labels=prompt.labels
                )
            last = prompts[i + 1][0] - 1 if i + 1 < len(prompts) else num_frames - 1
            # The range of propagate_in_video includes its end.
            steps = model.propagate_in_video(
                state, start_frame_idx=frame, max_frame_num_to_track=last - frame
            )
            for t, _, logits in steps:
                out[t] = logits[0, 0].clone()
    return out


def run_engine(
    engine: Any,
    frames: list[np.ndarray],
    prompts: list[tuple[int, Any]],
    removals: dict[int, int] | None = None,
) -> dict[tuple[int, int], torch.Tensor]:
    """The engine on all objects at once.

    Args:
        engine: A fresh ``Sam2Engine``.
        frames: The clip.
        prompts: ``(frame, prompt)``.
        removals: Object to the frame at whose start it goes.

    Returns:
        (object, frame) to logits ``(H, W)`` at the video's size.
    """
    out = {}
    for t, frame in enumerate(frames):
        for obj_id in [i for i, when in (removals or {}).items() if when == t]:
            engine.remove(obj_id)
        features = engine.encode([frame])[0]
        result = engine.propagate(features)
        result = result.updated(engine.condition(features, [p for when, p in prompts if when == t]))
        for i, logits in zip(result.obj_ids, result.logits()[:, 0], strict=True):
            out[i, t] = logits.clone()
    return out
