"""Objects that the user points out: boxes, clicks and masks on frames of a video."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import InitVar, dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from trackkit.core.arrays import Masks
from trackkit.core.errors import PromptError
from trackkit.core.masks import decode_rle, encode_masks
from trackkit.core.whole_numbers import INT32_MAX

ON, OFF = 1, 0


@dataclass(frozen=True, slots=True)
class Prompt:
    """One object on one frame, as a box, as clicks, as both, or as a mask.

    The first prompt of an ``obj_id`` starts the object there; it is followed from that frame on, not before.
    A later one corrects it: clicks refine the mask that was found, a box or a mask takes its place. Plain
    values inside, so that prompts can be compared, pickled and written as JSON.

    Args:
        frame_idx: 0-based index of the frame in the source video.
        obj_id: The object, from 1 up; its id in the results.
        label: Its class, one of those of the text prompt; may be left out where that has only one, and in
            corrections.
        box: ``x1, y1, x2, y2`` in pixels of the source video; what lies outside of the frame is cut off.
        points: Clicks ``(P, 2)`` of x, y in pixels of the source video.
        point_labels: ``P`` of them, 1 on the object, 0 off it; all 1 by default.
        mask: ``(H, W)`` of the video's size, true on the object; kept as ``mask_rle`` (compressed COCO
            counts) and ``mask_size`` (height, width).

    Raises:
        PromptError: It is empty, or its parts do not fit together.

    Example:
        >>> Prompt(0, 1, "car", box=(10, 20, 60, 50))
        Prompt(frame 0, object 1 'car', box 10 20 60 50)
    """

    frame_idx: int
    obj_id: int
    label: str | None = None
    box: tuple[float, ...] | None = None
    points: tuple[tuple[float, float], ...] = ()
    point_labels: tuple[int, ...] = ()
    mask: InitVar[npt.ArrayLike | None] = None
    mask_rle: str | None = None
    mask_size: tuple[int, int] | None = None

    def __post_init__(self, mask: npt.ArrayLike | None) -> None:
        keep = object.__setattr__
        for name, least in (("frame_idx", 0), ("obj_id", 1)):
            value = getattr(self, name)
            if (
                not isinstance(value, int | np.integer)
                or isinstance(value, bool)
                or not least <= value <= INT32_MAX
            ):
                msg = f"{name} is {value!r}: expected a whole number from {least} up, below 2**31"
                raise PromptError(msg)
            keep(self, name, int(value))
        if self.box is not None:
            keep(self, "box", tuple(self._numbers("box", self.box, (4,)).tolist()))
        points = self._numbers("points", self.points, (-1, 2)) if len(self.points) else np.zeros((0, 2))
        keep(self, "points", tuple((x, y) for x, y in points.tolist()))
        labels = [ON] * len(points) if not len(self.point_labels) else [int(k) for k in self.point_labels]
        if len(labels) != len(points) or not {ON, OFF}.issuperset(labels):
            msg = f"{self._where}: point_labels {labels} for {len(points)} points: expected a 1 or 0 for each"
            raise PromptError(msg)
        keep(self, "point_labels", tuple(labels))
        if mask is not None:
            self._keep_mask(np.asarray(mask))
        if self.mask_size is not None:
            keep(self, "mask_size", tuple(self.mask_size))
        given = (self.box is not None or len(points) > 0) + (self.mask_rle is not None)
        if given != 1 or (self.mask_rle is None) != (self.mask_size is None):
            msg = f"{self._where}: expected a box, points or both; or else a mask"
            raise PromptError(msg)

    @property
    def _where(self) -> str:
        return f"prompt of object {self.obj_id} on frame {self.frame_idx}"

    def _numbers(self, name: str, values: Any, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        try:
            array = np.array(values, np.float64)
        except (TypeError, ValueError):
            array = np.zeros(0)
        wanted = len(array.shape) == len(shape) and array.shape[-1:] == shape[-1:]
        if not wanted or not np.isfinite(array).all():
            expected = (
                "four finite numbers x1, y1, x2, y2" if name == "box" else "pairs of finite numbers x, y"
            )
            msg = f"{self._where}: {name} is {values!r}: expected {expected}"
            raise PromptError(msg)
        return array

    def _keep_mask(self, mask: npt.NDArray[Any]) -> None:
        if mask.ndim != 2 or not mask.any():
            problem = "is empty" if mask.ndim == 2 else f"has shape {mask.shape}"
            msg = f"{self._where}: the mask {problem}: expected (H, W) with the object's pixels true"
            raise PromptError(msg)
        object.__setattr__(self, "mask_rle", encode_masks(mask.astype(bool)[None])[0].decode())
        object.__setattr__(self, "mask_size", mask.shape)

    @property
    def is_correction(self) -> bool:
        """Whether it is of clicks alone, which refine the mask of an object that is known."""
        return self.box is None and self.mask_rle is None

    @property
    def is_start(self) -> bool:
        """Whether an object can begin with it: something of it is pointed out."""
        return not self.is_correction or ON in self.point_labels

    def decode_mask(self) -> Masks:
        """The mask, ``bool (H, W)``; only where one was given."""
        assert self.mask_rle is not None
        assert self.mask_size is not None
        return decode_rle(self.mask_rle.encode(), *self.mask_size)

    def check_inside(self, width: int, height: int) -> None:
        """Compare it with the size of the video, pixels.

        Raises:
            PromptError: The mask has another size, the box does not overlap the frame, a click is outside.
        """
        size = f"the video is {width} x {height} pixels"
        if self.mask_size is not None and self.mask_size != (height, width):
            msg = f"{self._where}: the mask is {self.mask_size[1]} x {self.mask_size[0]} pixels, {size}"
            raise PromptError(msg)
        if self.box is not None:
            x1, y1, x2, y2 = self.box
            if min(x2, width) <= max(x1, 0) or min(y2, height) <= max(y1, 0):
                msg = (
                    f"{self._where}: box {x1:g} {y1:g} {x2:g} {y2:g} has no area in the frame, {size}: "
                    "expected x1, y1, x2, y2 with x1 < x2 and y1 < y2"
                )
                raise PromptError(msg)
        for x, y in self.points:
            if not (0 <= x <= width and 0 <= y <= height):
                msg = f"{self._where}: click ({x:g}, {y:g}) is outside of the frame, {size}"
                raise PromptError(msg)

    def __repr__(self) -> str:
        parts = [
            f"frame {self.frame_idx}",
            f"object {self.obj_id}" + (f" {self.label!r}" if self.label else ""),
        ]
        if self.box is not None:
            parts.append("box " + " ".join(f"{value:g}" for value in self.box))
        for (x, y), label in zip(self.points, self.point_labels, strict=True):
            parts.append(f"{'+' if label == ON else '-'}({x:g}, {y:g})")
        if self.mask_size is not None:
            parts.append(f"mask {self.mask_size[1]} x {self.mask_size[0]}")
        return f"Prompt({', '.join(parts)})"


Prompts: TypeAlias = Iterable[Prompt]


def settle_prompts(prompts: Prompts, classes: Sequence[str], max_objects: int) -> tuple[Prompt, ...]:
    """Prompts of one video in the order of their frames, each with its label.

    Args:
        prompts: In any order; at most one per object and frame.
        classes: Of the text prompt: the labels that there are.
        max_objects: So many may be pointed out.

    Raises:
        PromptError: A label is missing or none of the classes, or differs within an object; an object is
            prompted twice on a frame, or begins with clicks off it; there are too many objects.
    """
    ordered = sorted(prompts, key=lambda prompt: (prompt.frame_idx, prompt.obj_id))
    labels: dict[int, str] = {}
    seen: set[tuple[int, int]] = set()
    settled = []
    for prompt in ordered:
        known = labels.get(prompt.obj_id)
        label = prompt.label or known or (classes[0] if len(classes) == 1 else None)
        if label is None or label not in classes or known not in (None, label):
            expected = f"{known!r}, as before" if known else f"one of {', '.join(map(repr, classes))}"
            msg = f"{prompt._where}: label is {label!r}: expected {expected}"
            raise PromptError(msg)
        if (prompt.frame_idx, prompt.obj_id) in seen:
            msg = f"{prompt._where}: there are two: put box and clicks of an object on a frame into one"
            raise PromptError(msg)
        if known is None and not prompt.is_start:
            msg = f"{prompt._where}: begins with clicks off the object: expected one on it, a box or a mask"
            raise PromptError(msg)
        seen.add((prompt.frame_idx, prompt.obj_id))
        labels[prompt.obj_id] = label
        settled.append(replace(prompt, label=label))
    if len(labels) > max_objects:
        msg = f"{len(labels)} objects are pointed out, max_objects is {max_objects}: raise it"
        raise PromptError(msg)
    return tuple(settled)
