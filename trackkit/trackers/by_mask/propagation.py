"""What an engine gives for one frame: logits on the device, masks on the host when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from trackkit.trackers.by_mask.regions import NOTHING

#: Pixels that are upsampled at a time (float32: 4 bytes each, and about as much again within the kernel).
PIXELS_PER_CHUNK = 2**25


@dataclass(frozen=True, eq=False)
class Propagation:
    """Masks of ``N`` objects on one frame.

    Attributes:
        obj_ids: ``N`` ids.
        low_res: ``float32 (N, 1, h, w)``, mask logits on the device, of any size; above 0 is the object. They
            are resized to the video's size bilinearly.
        obj_scores: ``float32 (N,)``, objectness logits on the device; above 0 is visible.
        ious: ``float32 (N,)``, the IoU that the model predicts for its masks, on the device.
        video_size: ``(height, width)`` of the video.
    """

    obj_ids: list[int]
    low_res: Tensor
    obj_scores: Tensor
    ious: Tensor
    video_size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.obj_ids)

    @classmethod
    def join(cls, parts: Sequence[Propagation]) -> Propagation:
        """Several batches of one frame, one after the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            [i for part in parts for i in part.obj_ids],
            torch.cat([part.low_res for part in parts]),
            torch.cat([part.obj_scores for part in parts]),
            torch.cat([part.ious for part in parts]),
            parts[0].video_size,
        )

    @torch.inference_mode()
    def select(self, obj_ids: Sequence[int]) -> Propagation:
        """These objects only, in this order.

        Raises:
            ValueError: An object is not there.
        """
        obj_ids = list(obj_ids)
        if obj_ids == self.obj_ids:
            return self
        index = torch.tensor([self.obj_ids.index(i) for i in obj_ids], dtype=torch.long).to(
            self.low_res.device
        )
        return Propagation(
            obj_ids, self.low_res[index], self.obj_scores[index], self.ious[index], self.video_size
        )

    def updated(self, newer: Propagation) -> Propagation:
        """This with the objects of ``newer`` in place of their old selves, new ones at the end."""
        if not newer.obj_ids:
            return self
        old = [i for i in self.obj_ids if i not in newer.obj_ids]
        order = [*self.obj_ids, *(i for i in newer.obj_ids if i not in self.obj_ids)]
        return Propagation.join([self.select(old), newer]).select(order)

    @torch.inference_mode()
    def logits(self, *, non_overlap: bool = False) -> Tensor:
        """Mask logits at the video's size, ``float32 (N, 1, H, W)`` on the device.

        They take 4 bytes for each object and pixel; :meth:`masks` is made for many objects.

        Args:
            non_overlap: Give each pixel to the object with the highest logit; the others are at most
                ``NOTHING`` there.
        """
        logits = self._upsampled(self.low_res)
        if non_overlap and len(self) > 1:
            owner = logits.argmax(0, keepdim=True)
            index = torch.arange(len(self), device=logits.device)[:, None, None, None]
            logits = torch.where(owner == index, logits, logits.clamp(max=NOTHING))
        return logits

    @torch.inference_mode()
    def masks(self, *, non_overlap: bool = False) -> npt.NDArray[np.uint8]:
        """Binary masks at the video's size, on the host.

        Upsampled and thresholded on the device, some objects at a time, and moved to the host in one copy.

        Args:
            non_overlap: Give each pixel to the object with the highest logit alone.

        Returns:
            ``uint8 (N, H, W)`` of 0 and 1. Each mask lies in Fortran order and ``masks.transpose(1, 2, 0)``
            is Fortran-contiguous, which ``pycocotools.mask.encode`` takes without a copy.
        """
        height, width = self.video_size
        owner = self._owners() if non_overlap and len(self) > 1 else None
        out = torch.empty(len(self), width, height, dtype=torch.uint8, device=self.low_res.device)
        for start, logits in self._chunks():
            inside = logits > 0
            if owner is not None:
                index = torch.arange(start, start + len(logits), device=owner.device)[:, None, None]
                inside &= owner == index
            out[start : start + len(logits)] = inside.transpose(1, 2)
        array: npt.NDArray[np.uint8] = out.cpu().numpy().transpose(0, 2, 1)
        return array

    def _upsampled(self, low_res: Tensor) -> Tensor:
        return F.interpolate(low_res, size=self.video_size, mode="bilinear", align_corners=False)

    def _chunks(self) -> Iterator[tuple[int, Tensor]]:
        """First index and logits ``(n, H, W)`` of a few objects at a time."""
        height, width = self.video_size
        step = max(1, PIXELS_PER_CHUNK // (height * width))
        for start in range(0, len(self), step):
            yield start, self._upsampled(self.low_res[start : start + step])[:, 0]

    def _owners(self) -> Tensor:
        """Which object has the highest logit, ``int64 (H, W)``; the first one where they are equal."""
        best: Tensor | None = None
        owner: Tensor | None = None
        for start, logits in self._chunks():
            value, index = logits.max(0)
            index = index + start
            if best is None or owner is None:
                best, owner = value, index
            else:
                owner = torch.where(value > best, index, owner)
                best = torch.maximum(value, best)
        assert owner is not None
        return owner
