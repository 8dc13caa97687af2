"""How far masks cover each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trackkit.core.masks import BinaryMasks, encode_masks, rle_iou


def mask_iou(a: BinaryMasks, b: BinaryMasks) -> npt.NDArray[np.float32]:
    """IoU of every mask of ``a (N, H, W)`` with every mask of ``b (M, H, W)``: ``float32 (N, M)``."""
    return rle_iou(encode_masks(a), encode_masks(b), *a.shape[1:])
