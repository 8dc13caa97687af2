"""From a decoded frame to the input of SAM 2's image encoder.

Two resizers. ``"pil"`` runs on the host and equals the ``sam2`` package bit for bit (Pillow's antialiased
bicubic filter, its default). ``"device"`` does the same with torch on the model's device: a frame costs the
host nothing but its upload. It differs from Pillow by at most one grey level, in fewer than one value in a
thousand; where Pillow 13 takes the vertical pass first, as it does for many portrait videos and its older
versions do not, by up to four.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image as PILImage
from torch import Tensor

from trackkit.core.arrays import Image

Resizer: TypeAlias = Literal["pil", "device"]

# Normalisation of ImageNet, as in sam2.utils.misc.load_video_frames.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


@lru_cache(maxsize=1)
def _levels() -> Tensor:
    """``float32 (3, 256)``: the normalised value of each grey level and channel.

    The package divides in float64, rounds to float32, then normalises. A table of 256 values gives the same
    bits on every device, and is quicker.
    """
    grey = torch.from_numpy(np.arange(256) / 255.0).float()
    return (grey - torch.tensor(_MEAN)[:, None]) / torch.tensor(_STD)[:, None]


def normalize(pixels: Tensor) -> Tensor:
    """Grey levels to network input: ``uint8 (N, S, S, 3)`` to ``float32 (N, 3, S, S)`` on the same device."""
    levels = _levels().to(pixels.device)
    planes = [levels[c].index_select(0, pixels[..., c].flatten().int()) for c in range(3)]
    return torch.stack([plane.view(pixels.shape[:3]) for plane in planes], dim=1)


def resize_on_device(images: Tensor, size: int) -> Tensor:
    """Antialiased bicubic resize: ``uint8 (N, H, W, 3)`` to ``uint8 (N, size, size, 3)`` on the same device.

    As Pillow does it: first along x, then along y, each pass rounded to whole grey levels.
    """
    x = images.permute(0, 3, 1, 2).float()
    for shape in ((x.shape[-2], size), (size, size)):
        x = F.interpolate(x, size=shape, mode="bicubic", antialias=True, align_corners=False)
        x = x.add_(0.5).floor_().clamp_(0, 255)  # halves go up, as in Pillow
    return x.to(torch.uint8).permute(0, 2, 3, 1)


def preprocess(
    images: Sequence[Image], size: int, device: torch.device | str = "cpu", resizer: Resizer = "pil"
) -> Tensor:
    """Frames to the input of the image encoder.

    Args:
        images: RGB ``uint8 (H, W, 3)``, all of one size.
        size: Side of the square that the model sees; the aspect ratio is not kept, as in SAM 2.
        device: Where the result lies.
        resizer: ``"pil"`` equals the ``sam2`` package bit for bit; ``"device"`` resizes on ``device``.

    Returns:
        ``float32 (N, 3, size, size)``, normalised.
    """
    if resizer == "pil":
        images = [np.asarray(PILImage.fromarray(image).resize((size, size))) for image in images]
    stacked = torch.from_numpy(np.stack(images))
    if torch.device(device).type == "cuda":  # pinned memory lets the copy run beside the host
        stacked = stacked.pin_memory()
    pixels = stacked.to(device, non_blocking=True)
    if resizer == "device":
        pixels = resize_on_device(pixels, size)
    return normalize(pixels)
