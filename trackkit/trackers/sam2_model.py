"""The SAM 2 model as the engine uses it: built from the package's own configs, cut into four batched stages.

The stock ``sam2`` package (no fork) holds the weights and the layers. Its video predictor runs object by
object; here every stage takes all objects of a frame in one batch, whatever their age:

    images --encode--> features --attend(memory)--> fused --decode--> masks --remember--> new memory
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trackkit.errors import ConfigError
from trackkit.shipped import SAM2_MINI, shipped_sam2_config

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
    """
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    path = Path(str(files("sam2"))) / SAM2_CONFIGS.get(config_name, config_name)
    if path.suffix != ".yaml" or not path.is_file():
        msg = f"SAM 2 config {config_name!r} is unknown: choose one of {', '.join(SAM2_CONFIGS)}"
        raise ConfigError(msg)
    options = OmegaConf.from_dotlist([option.lstrip("+") for option in overrides])
    config = OmegaConf.merge(OmegaConf.from_dotlist([*_TRACKING_OPTIONS]), OmegaConf.load(path), options)
    OmegaConf.resolve(config)
    model = instantiate(config.model, _recursive_=True).to(device).eval().requires_grad_(False)
    settle_rotary_positions(model)
    return model


def settle_rotary_positions(model: SAM2Base) -> None:
    """Give every rotary attention the positions of the model's image size, on the model's device.

    They are plain attributes, not buffers: ``model.to()`` does not move them, and the package recomputes them
        within
    ``forward`` where the size is another, which torch.compile cannot trace well.
    """
    side = model.image_size // model.backbone_stride
    for layer in model.memory_attention.layers:
        for attention in (layer.self_attn, layer.cross_attn_image):
            if attention.freqs_cis.shape[0] != side * side:
                attention.freqs_cis = attention.compute_cis(end_x=side, end_y=side)
            attention.freqs_cis = attention.freqs_cis.to(model.device)


class FrameFeatures(NamedTuple):
    """What the image encoder gives for one frame, shared by all objects (f = image_size / 16)."""

    top: Tensor  # (1, C, f, f)
    high_res: tuple[Tensor, ...]  # (1, C/8, 4f, 4f), (1, C/4, 2f, 2f), already projected for the mask decoder


class Candidates(NamedTuple):
    """What the mask decoder proposes for ``B`` objects; M = 3, or 1 where the model gives one mask."""

    masks: Tensor  # float32 (B, M, S/4, S/4), logits; -1024 everywhere for an occluded object
    ious: Tensor  # (B, M), predicted
    tokens: Tensor  # (B, M or 1, C), what becomes the object pointer
    scores: Tensor  # (B, 1), objectness logit


class Sam2Stages:
    """A loaded SAM 2 model, cut into its stages. One per worker; it has no state of a video.

    Args:
        model: A ``SAM2Base`` with its weights.
        dtype: Autocast to this type; None computes in the model's own. Weights of linear layers and
            convolutions are then *held* in it (in place), which gives the same results as autocast and spares
            the cast at every call.
        compile: Run the four stages through ``torch.compile(fullgraph=True)``.
        backend: Of ``torch.compile``.

    Raises:
        ConfigError: The model is of a kind that no official config builds (no object pointers, no memory,
            ...).
    """

    def __init__(
        self,
        model: SAM2Base,
        *,
        dtype: torch.dtype | None = None,
        compile: bool = False,
        backend: str = "inductor",
    ) -> None:
        _check_supported(model)
        settle_rotary_positions(model)
        self.model = model
        self.device: torch.device = model.device
        self.dtype = dtype
        self.image_size: int = model.image_size
        self.side: int = model.image_size // model.backbone_stride
        if dtype is not None:
            _hold_weights_in(model, dtype)

        def stage(function: Callable[..., Any]) -> Callable[..., Any]:
            return torch.compile(function, fullgraph=True, backend=backend) if compile else function

        self._encode = stage(self._run_encoder)
        self._attend = stage(memory_attention)
        self._decode = stage(self._run_decoder)
        self._remember = stage(model._encode_new_memory)
        with torch.inference_mode(), self.autocast():
            self._init_constants()

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision in which all stages run."""
        return nullcontext() if self.dtype is None else torch.autocast(self.device.type, dtype=self.dtype)

    def _init_constants(self) -> None:
        """What depends neither on the frame nor on the objects."""
        m, f = self.model, self.side
        blank = torch.zeros(1, 1, f, f, device=self.device)
        image_pos = m.image_encoder.neck.position_encoding(blank)
        self._image_pos = image_pos.flatten(2).transpose(1, 2)  # float32 (1, HW, C)
        map_pos = m.memory_encoder.position_encoding(blank).flatten(2).transpose(1, 2)
        if self.dtype is not None:
            map_pos = map_pos.to(self.dtype)  # the package rounds it to the type of the maps
        #: ``float32 (num_maskmem, HW, C_mem)``: position of a map in space and time; the last is for
        # conditioning.
        self.map_positions = map_pos + m.maskmem_tpos_enc.reshape(-1, 1, m.mem_dim)
        # Tracking gives the decoder no prompt: the encoding of "nothing" is always the same.
        nowhere = torch.zeros(1, 1, 2, device=self.device)
        not_a_point = -torch.ones(1, 1, dtype=torch.int32, device=self.device)
        self._no_points, self._no_mask = m.sam_prompt_encoder((nowhere, not_a_point), None, None)
        self._image_pe = m.sam_prompt_encoder.get_dense_pe()

    # Stages ---------------------------------------------------------------------------------------

    def encode(self, pixels: Tensor) -> list[FrameFeatures]:
        """Image encoder: ``float32 (N, 3, S, S)`` to the features of ``N`` frames."""
        with self.autocast():
            *high_res, top = self._encode(pixels)
        return [
            FrameFeatures(top[i : i + 1], tuple(x[i : i + 1] for x in high_res)) for i in range(len(pixels))
        ]

    def _run_encoder(self, pixels: Tensor) -> list[Tensor]:
        levels: list[Tensor] = self.model.forward_image(pixels)["backbone_fpn"]
        return levels[-self.model.num_feature_levels :]

    def attend(
        self,
        top: Tensor,
        maps: Tensor,
        map_pos: Tensor,
        pointers: Tensor,
        ages: Tensor,
        key_mask: Tensor | None,
    ) -> Tensor:
        """Fuse the frame with what ``B`` objects remember.

        Args:
            top: ``(1, C, f, f)``.
            maps: ``(B, K, HW, C_mem)``.
            map_pos: ``(B, K, HW, C_mem)``.
            pointers: ``(B, P, C)``.
            ages: ``float32 (B, P)``, frames since.
            key_mask: ``bool (B, K + P)``, False hides a memory; None hides nothing.

        Returns:
            ``(B, C, f, f)``.
        """
        b, num_maps, hw, _ = maps.shape
        memory, position, num_pointer_tokens = self._as_keys(maps, map_pos, pointers, ages)
        if key_mask is not None:
            split = num_pointer_tokens // pointers.shape[1]
            parts = key_mask[:, :num_maps], key_mask[:, num_maps:]
            widths = (hw, split)
            tokens = [part.repeat_interleave(n, dim=1) for part, n in zip(parts, widths, strict=True)]
            key_mask = torch.cat(tokens, dim=1)[:, None, None]
        fused: Tensor = self._attend(
            self.model.memory_attention,
            top.flatten(2).transpose(1, 2),
            self._image_pos.to(top.dtype),
            memory,
            position,
            num_pointer_tokens,
            key_mask,
        )
        return fused.transpose(1, 2).reshape(b, -1, self.side, self.side)

    def _as_keys(
        self, maps: Tensor, map_pos: Tensor, pointers: Tensor, ages: Tensor
    ) -> tuple[Tensor, Tensor, int]:
        """Tokens, their positions, and how many of them (the last ones) belong to pointers."""
        m = self.model
        b, num_pointers, dim = pointers.shape
        split = dim // m.mem_dim  # a pointer is wider than a memory token: it becomes several
        tokens = pointers.reshape(b, num_pointers * split, m.mem_dim)
        if m.add_tpos_enc_to_obj_ptrs:
            from sam2.modeling.sam2_utils import get_1d_sine_pe

            width = dim if m.proj_tpos_enc_in_obj_ptrs else m.mem_dim
            position = m.obj_ptr_tpos_proj(get_1d_sine_pe(ages / (m.max_obj_ptrs_in_encoder - 1), dim=width))
        else:
            position = map_pos.new_zeros(b, num_pointers, m.mem_dim)
        position = position.repeat_interleave(split, dim=1)
        memory = torch.cat([maps.flatten(1, 2), tokens], 1)
        return memory, torch.cat([map_pos.flatten(1, 2), position], 1), num_pointers * split

    def decode(self, fused: Tensor, high_res: tuple[Tensor, ...]) -> Candidates:
        """Mask decoder without a prompt, ``(B, C, f, f)`` to candidate masks."""
        return Candidates(*self._decode(fused, high_res))

    def _run_decoder(
        self, fused: Tensor, high_res: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        masks, ious, tokens, scores = self.model.sam_mask_decoder(
            image_embeddings=fused,
            image_pe=self._image_pe,
            sparse_prompt_embeddings=self._no_points.expand(len(fused), -1, -1),
            dense_prompt_embeddings=self._no_mask,
            multimask_output=self.model._use_multimask(False, None),
            repeat_image=False,
            high_res_features=list(high_res) or None,
        )
        visible = scores[..., None, None] > 0
        return torch.where(visible, masks, _OCCLUDED).float(), ious, tokens, scores

    def pick(self, candidates: Candidates, choice: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take candidate ``choice (B,)``: mask ``(B, 1, S/4, S/4)``, IoU ``(B,)``, pointer ``(B, C)``."""
        m = self.model
        rows = torch.arange(len(choice), device=choice.device)
        several = candidates.tokens.shape[1] > 1
        token = candidates.tokens[rows, choice] if several else candidates.tokens[:, 0]
        pointer = m.obj_ptr_proj(token)
        present = candidates.scores.sigmoid() if m.soft_no_obj_ptr else (candidates.scores > 0).float()
        if m.fixed_no_obj_ptr:
            pointer = present * pointer
        pointer = pointer + (1 - present) * m.no_obj_ptr
        return candidates.masks[rows, choice][:, None], candidates.ious[rows, choice], pointer

    def remember(self, top: Tensor, masks: Tensor, scores: Tensor, *, prompted: bool) -> Tensor:
        """Memory encoder.

        Args:
            top: ``(1, C, f, f)``, broadcast over the objects.
            masks: ``float32 (B, 1, S/4, S/4)`` logits.
            scores: ``(B, 1)`` objectness logits.
            prompted: Whether the masks come from a prompt; those are made binary, as the user saw them.

        Returns:
            ``(B, C_mem, f, f)``.
        """
        full = F.interpolate(masks, size=(self.image_size,) * 2, mode="bilinear", align_corners=False)
        flat = top.flatten(2).permute(2, 0, 1)
        memory: Tensor = self._remember([flat], [(self.side,) * 2], full, scores, prompted)[0]
        return memory


_OCCLUDED = -1024.0  # sam2_base.NO_OBJ_SCORE


def memory_attention(
    module: Any,
    current: Tensor,
    current_pos: Tensor,
    memory: Tensor,
    memory_pos: Tensor,
    num_pointer_tokens: int,
    key_mask: Tensor | None,
) -> Tensor:
    """``MemoryAttention.forward`` of the package, for one frame and ``B`` objects of different age.

    Two things differ: keys can be masked, and what all objects share (the frame, the first layer's
        self-attention) is
    computed once.

    Args:
        module: A ``sam2.modeling.memory_attention.MemoryAttention`` of official shape.
        current: ``(1, HW, C)``.
        current_pos: ``(1, HW, C)``.
        memory: ``(B, T, C_mem)``; the last ``num_pointer_tokens`` tokens have no place in the image.
        memory_pos: ``(B, T, C_mem)``.
        num_pointer_tokens: See ``memory``.
        key_mask: ``bool (B, 1, 1, T)`` or None.

    Returns:
        ``(B, HW, C)``.
    """
    from sam2.modeling.position_encoding import apply_rotary_enc

    b = len(memory)
    num_spatial = memory.shape[1] - num_pointer_tokens
    keys = memory + memory_pos
    x = current + 0.1 * current_pos if module.pos_enc_at_input else current
    for layer in module.layers:
        x = layer._forward_sa(x, current_pos)
        attention, heads = layer.cross_attn_image, layer.cross_attn_image.num_heads
        query = layer.norm2(x)
        q = attention.q_proj(query + current_pos if layer.pos_enc_at_cross_attn_queries else query)
        q = attention._separate_heads(q, heads)
        k = attention._separate_heads(
            attention.k_proj(keys if layer.pos_enc_at_cross_attn_keys else memory), heads
        )
        v = attention._separate_heads(attention.v_proj(memory), heads)
        q, k[:, :, :num_spatial] = apply_rotary_enc(
            q, k[:, :, :num_spatial], freqs_cis=attention.freqs_cis, repeat_freqs_k=attention.rope_k_repeat
        )
        fused = F.scaled_dot_product_attention(q.expand(b, -1, -1, -1), k, v, attn_mask=key_mask)
        x = x + attention.out_proj(attention._recombine_heads(fused))
        x = x + layer.linear2(layer.activation(layer.linear1(layer.norm3(x))))
    normed: Tensor = module.norm(x)
    return normed


def _check_supported(model: SAM2Base) -> None:
    """Refuse models whose tracking differs from that of all official configs."""
    needed = {
        "directly_add_no_mem_embed": True,
        "use_obj_ptrs_in_encoder": True,
        "pred_obj_scores": True,
        "use_mask_input_as_output_without_sam": True,
        # The package ignores it (it tracks object by object); in a batch it would tie the objects together.
        "non_overlap_masks_for_mem_enc": False,
    }
    wrong = [
        f"{name}={getattr(model, name)}" for name, value in needed.items() if getattr(model, name) != value
    ]
    if wrong or model.num_maskmem < 2:
        msg = f"SAM 2 model with {', '.join(wrong) or 'no memory'}: expected what the official configs have"
        raise ConfigError(msg)


def _hold_weights_in(model: SAM2Base, dtype: torch.dtype) -> None:
    """Cast what autocast would cast at every call; everything else stays float32."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            module.to(dtype)
