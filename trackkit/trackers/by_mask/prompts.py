"""Prompts that start an object in an engine: a box, points or a mask. Coordinates are pixels of the video."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from trackkit.core.arrays import Masks
from trackkit.core.boxes import clip_boxes
from trackkit.core.prompts import Prompt

Points: TypeAlias = npt.NDArray[np.float32]
Labels: TypeAlias = npt.NDArray[np.int32]

#: Labels of the two points that are the corners of a box.
TOP_LEFT, BOTTOM_RIGHT = 2, 3


@dataclass(frozen=True, eq=False)
class PointPrompt:
    """Clicks on one object.

    Attributes:
        obj_id: The object, new or known.
        points: ``float32 (P, 2)`` of x, y; any sequence of that shape is taken.
        labels: ``int32 (P,)``, 1 on the object, 0 off it. A box is two points before the clicks, labelled
            ``TOP_LEFT`` and ``BOTTOM_RIGHT``.

    Raises:
        ValueError: Shapes do not fit, or a coordinate is not finite.
    """

    obj_id: int
    points: Points
    labels: Labels

    def __post_init__(self) -> None:
        points, labels = np.array(self.points, np.float32), np.array(self.labels, np.int32)
        if points.ndim != 2 or points.shape[1] != 2 or labels.shape != points.shape[:1] or not len(points):
            msg = f"points {points.shape} and labels {labels.shape}: expected (P, 2) and (P,), P at least 1"
            raise ValueError(msg)
        if not np.isfinite(points).all():
            msg = f"points {points.tolist()}: expected finite numbers"
            raise ValueError(msg)
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "labels", labels)

    @property
    def num_points(self) -> int:
        """Points that the prompt encoder gets."""
        return len(self.points)


class BoxPrompt(PointPrompt):
    """A box around one object; for the model, two points of a kind of their own.

    Args:
        obj_id: The object, new or known.
        xyxy: Four numbers.

    Raises:
        ValueError: Not four finite numbers.
    """

    def __init__(self, obj_id: int, xyxy: Sequence[float] | npt.NDArray[np.floating]) -> None:
        corners = np.asarray(xyxy, np.float32)
        if corners.shape != (4,):
            msg = f"box {np.asarray(xyxy).tolist()}: expected four numbers x1, y1, x2, y2"
            raise ValueError(msg)
        super().__init__(obj_id, corners.reshape(2, 2), np.array([TOP_LEFT, BOTTOM_RIGHT], np.int32))


@dataclass(frozen=True, eq=False)
class MaskPrompt:
    """The mask of one object, taken as it is.

    Attributes:
        obj_id: The object, new or known.
        mask: ``bool (H, W)`` of the video's size.

    Raises:
        ValueError: The mask is not two-dimensional.
    """

    obj_id: int
    mask: Masks

    def __post_init__(self) -> None:
        mask = np.array(self.mask, bool)  # a copy: C-contiguous and ours
        if mask.ndim != 2:
            msg = f"mask has shape {mask.shape}, expected (H, W)"
            raise ValueError(msg)
        object.__setattr__(self, "mask", mask)

    @property
    def num_points(self) -> int:
        """None: a mask does not go through the prompt encoder as points."""
        return 0


EnginePrompt: TypeAlias = PointPrompt | MaskPrompt


def engine_prompt(key: int, given: Prompt, height: int, width: int) -> EnginePrompt:
    """What the user pointed out, for object ``key`` of an engine; a box is cut off at the frame's edges."""
    if given.mask_rle is not None:
        return MaskPrompt(key, given.decode_mask())
    points, labels = list(given.points), list(given.point_labels)
    if given.box is not None:  # before the clicks, as in the package
        box = clip_boxes(np.array([given.box], np.float32), width, height)
        points[:0] = [(x, y) for x, y in box.reshape(2, 2).tolist()]
        labels[:0] = [TOP_LEFT, BOTTOM_RIGHT]
    return PointPrompt(key, np.array(points, np.float32), np.array(labels, np.int32))


def check_prompts(prompts: Sequence[EnginePrompt], video_size: tuple[int, int]) -> None:
    """Check that they can be given together, on one frame of this ``(height, width)``.

    Raises:
        ValueError: Two prompts for one object, or a mask of another size.
    """
    ids = [prompt.obj_id for prompt in prompts]
    if len(set(ids)) < len(ids):
        msg = f"prompts for objects {ids}: expected at most one per object and frame"
        raise ValueError(msg)
    for prompt in prompts:
        if isinstance(prompt, MaskPrompt) and prompt.mask.shape != video_size:
            msg = f"mask has shape {prompt.mask.shape}, expected {video_size}, the size of the video"
            raise ValueError(msg)
