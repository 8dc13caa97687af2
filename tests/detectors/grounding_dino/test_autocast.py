"""Dtypes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from dino_detectors import Make, deviations, load

from trackkit.core.arrays import Image

torch.set_num_threads(1)


# Medians: in any dtype two proposals that are nearly equal may swap their ranks, and so their queries.
@pytest.mark.parametrize(("dtype", "score", "pixels"), [("bf16", 0.012, 2.5), ("fp16", 0.002, 0.3)])
def test_reduced_dtypes_are_near_fp32(
    folder: Path, make: Make, images: list[Image], dtype: str, score: float, pixels: float
) -> None:
    exact = make("red cup", "dog", dtype="fp32").detect(images)
    reduced = load(folder, "red cup", "dog", dtype=dtype, box_threshold=0.2).detect(images)
    found = deviations(exact, reduced)
    assert len(found) > 20
    assert (np.median(found, 0) < [score, pixels]).all()
    assert (np.median(found, 0) > 0).all()


def test_auto_is_fp32_on_a_cpu(make: Make, images: list[Image]) -> None:
    auto, exact = (make("dog", dtype=dtype).detect(images) for dtype in ("auto", "fp32"))
    assert all(np.array_equal(a.xyxy, b.xyxy) for a, b in zip(auto, exact, strict=True))
