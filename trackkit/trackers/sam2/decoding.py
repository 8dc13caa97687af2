"""What SAM 2 makes of prompts on one frame: new objects without memory, clicks on the mask of a known one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from trackkit.trackers.by_mask.prompts import EnginePrompt, MaskPrompt, PointPrompt
from trackkit.trackers.sam2.stages import FrameFeatures, Sam2Stages

_MOST_SURE = 32.0  # what the package clamps the logits of a mask to, before they go into the model again


class Answer(NamedTuple):
    """Of ``B`` objects: masks ``(B, 1, S/4, S/4)``, predicted IoUs ``(B,)``, pointers ``(B, C)``, scores."""

    masks: Tensor
    ious: Tensor
    pointers: Tensor
    scores: Tensor


def decode_prompts(
    stages: Sam2Stages, prompts: Sequence[EnginePrompt], features: FrameFeatures, video_size: tuple[int, int]
) -> Answer:
    """Start ``B`` objects from prompts of one kind, as SAM 2 does on the first frame of an object.

    Args:
        stages: The model.
        prompts: All of them masks, or all of them of the same number of points.
        features: Of the frame.
        video_size: ``(height, width)``, pixels.
    """
    model, b = stages.model, len(prompts)
    if not isinstance(prompts[0], MaskPrompt):
        top = (features.top + model.no_mem_embed.reshape(1, -1, 1, 1)).expand(b, -1, -1, -1)
        points = [prompt for prompt in prompts if not isinstance(prompt, MaskPrompt)]
        return _answer_points(stages, points, features, video_size, top, None)
    masks = torch.cat([_model_mask(stages, p) for p in prompts if isinstance(p, MaskPrompt)])
    top = features.top.expand(b, -1, -1, -1)
    return _answer(model._use_mask_as_output(top, _high_res(features, b), masks))


def refine(
    stages: Sam2Stages,
    clicks: PointPrompt,
    features: FrameFeatures,
    video_size: tuple[int, int],
    fused: Tensor,
    mask: Tensor,
) -> Answer:
    """Correct one object's mask with clicks, as SAM 2 does on a frame that was tracked.

    Args:
        stages: The model.
        clicks: On the object and off it.
        features: Of the frame.
        video_size: ``(height, width)``, pixels.
        fused: ``(1, C, f, f)``, the frame's features with the object's memory.
        mask: ``(1, 1, S/4, S/4)``, logits of what was found with these.
    """
    before = mask.clamp(-_MOST_SURE, _MOST_SURE)
    return _answer_points(stages, [clicks], features, video_size, fused, before)


def _answer_points(
    stages: Sam2Stages,
    prompts: Sequence[PointPrompt],
    features: FrameFeatures,
    video_size: tuple[int, int],
    top: Tensor,
    mask: Tensor | None,
) -> Answer:
    model = stages.model
    points = _model_points(stages, prompts, video_size)
    return _answer(
        model._forward_sam_heads(
            top,
            point_inputs=points,
            mask_inputs=mask,
            high_res_features=_high_res(features, len(prompts)),
            multimask_output=model._use_multimask(mask is None, points),
        )
    )


def _answer(heads: tuple[Tensor, ...]) -> Answer:
    _, _, ious, low_res, _, pointers, scores = heads
    return Answer(low_res.float(), ious.float().amax(-1), pointers, scores)


def _high_res(features: FrameFeatures, b: int) -> list[Tensor] | None:
    return [x.expand(b, -1, -1, -1) for x in features.high_res] or None


def _model_points(
    stages: Sam2Stages, prompts: Sequence[PointPrompt], video_size: tuple[int, int]
) -> dict[str, Tensor]:
    """Points of the prompts in the model's pixels, ``(B, P, 2)``, and their labels, ``int32 (B, P)``."""
    height, width = video_size
    coords = torch.stack([torch.from_numpy(p.points) for p in prompts])
    coords = coords / torch.tensor([width, height]) * stages.image_size
    labels = torch.stack([torch.from_numpy(p.labels) for p in prompts])
    return {"point_coords": coords.to(stages.device), "point_labels": labels.to(stages.device)}


def _model_mask(stages: Sam2Stages, prompt: MaskPrompt) -> Tensor:
    """The mask at the model's size: ``float32 (1, 1, S, S)`` of 0 and 1."""
    size = (stages.image_size,) * 2
    mask = torch.from_numpy(prompt.mask).to(stages.device)[None, None].float()
    if mask.shape[-2:] == size:
        return mask
    return (
        F.interpolate(mask, size=size, mode="bilinear", align_corners=False, antialias=True) >= 0.5
    ).float()
