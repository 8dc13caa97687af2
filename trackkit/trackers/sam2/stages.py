"""The SAM 2 model as the engine uses it: cut into four batched stages.

The stock ``sam2`` package (no fork) holds the weights and the layers. Its video predictor runs object by
object; here every stage takes all objects of a frame in one batch, whatever their age:

    images --encode--> features --attend(memory)--> fused --decode--> masks --remember--> new memory
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trackkit.core.errors import ConfigError
from trackkit.trackers.sam2.attention import memory_attention
from trackkit.trackers.sam2.build import SAM2Base, settle_rotary_positions

_OCCLUDED = -1024.0  # sam2_base.NO_OBJ_SCORE


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
        #: conditioning.
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
