"""Masks without specks: a model leaves small regions far from the object, which blow up its box."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

NOTHING = -10.0
"""Logit of what is dropped, as in the package where masks may not overlap."""


def keep_large_regions(logits: Tensor, share: float) -> Tensor:
    """Drop connected regions that are small beside the largest one of their mask.

    Args:
        logits: ``(N, 1, h, w)``, above 0 is the object. Regions touch at edges or corners.
        share: Of the largest region's pixels; a region with fewer is dropped. 1 keeps the largest, and
            others that are just as large.

    Returns:
        The logits, at most ``NOTHING`` in the regions that were dropped.
    """
    inside = (logits[:, 0] > 0).cpu().numpy().view(np.uint8)
    dropped = np.zeros(inside.shape, bool)
    for mask, out in zip(inside, dropped, strict=True):
        _, numbers, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        areas = stats[:, cv2.CC_STAT_AREA]
        areas[0] = 0  # the background
        small = areas < share * areas.max()
        small[0] = False
        out[:] = small[numbers]
    if not dropped.any():
        return logits
    where = torch.from_numpy(dropped).to(logits.device)[:, None]
    return torch.where(where, logits.clamp(max=NOTHING), logits)
