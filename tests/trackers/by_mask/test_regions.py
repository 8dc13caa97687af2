"""Specks of masks: which regions stay, and that the engine remembers the mask without the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import small_sam2 as small
import torch

from trackkit.trackers.by_mask.prompts import BoxPrompt, MaskPrompt
from trackkit.trackers.by_mask.propagation import Propagation
from trackkit.trackers.by_mask.regions import NOTHING, keep_large_regions
from trackkit.trackers.sam2.engine import Sam2Engine

SIZE = (small.HEIGHT, small.WIDTH)


def logits(*rows: str) -> torch.Tensor:
    """A mask from a drawing: # is the object."""
    drawing = np.array([list(row) for row in rows])
    return torch.from_numpy(np.where(drawing == "#", 3.0, -2.0).astype(np.float32))[None, None]


DRAWING = (
    "####...#",
    "####....",
    "........",
    ".##.....",
    "...#...#",
)


@pytest.mark.parametrize(
    ("share", "kept"),
    [
        (0.1, 8 + 3 + 1 + 1),  # nothing is that small
        (0.2, 8 + 3),
        (0.375, 8 + 3),  # 3 of 8: no less than its share; corners touch
        (0.4, 8),
        (1.0, 8),
    ],
)
def test_small_regions_go(share: float, kept: int) -> None:
    before = logits(*DRAWING)
    after = keep_large_regions(before, share)
    assert (after > 0).sum() == kept
    gone = (before > 0) & (after <= 0)
    assert (after[gone] == NOTHING).all()
    assert torch.equal(after[~gone], before[~gone])


def test_each_mask_for_itself_and_empty_ones_stay_empty() -> None:
    several = torch.cat([logits(*DRAWING), torch.full((1, 1, 5, 8), -1024.0), logits(*DRAWING[::-1])])
    after = keep_large_regions(several, 0.5)
    assert (after > 0).sum((1, 2, 3)).tolist() == [8, 0, 8]
    assert torch.equal(after[1], several[1])
    assert keep_large_regions(several[:0], 0.5).shape == (0, 1, 5, 8)


def test_equally_large_regions_stay() -> None:
    twice = logits("##..##", "##..##")
    assert keep_large_regions(twice, 1.0) is twice


def num_regions(found: Propagation) -> int:
    inside = (found.low_res[0, 0] > 0).byte().numpy()
    return cv2.connectedComponents(inside, connectivity=8)[0] - 1


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    return small.write_clip(Path(tmp_path_factory.mktemp("clip")), 4)


def follow(clip: list[np.ndarray], prompt: Any, **options: Any) -> list[Propagation]:
    engine = Sam2Engine(small.build_stock(), SIZE, mem_dtype=torch.float32, **options)
    features = engine.encode(clip)
    engine.propagate(features[0])
    return [engine.condition(features[0], [prompt]), *map(engine.propagate, features[1:])]


def test_the_engine_remembers_masks_without_specks(clip: list[np.ndarray]) -> None:
    # Random weights: masks are full of specks.
    box = BoxPrompt(1, small.box(1, 0))
    stock, tidy = follow(clip, box), follow(clip, box, min_region=1.0)
    assert torch.equal(keep_large_regions(stock[0].low_res, 1.0), tidy[0].low_res)
    assert all(num_regions(p) > 1 for p in stock)
    assert all(num_regions(p) == 1 for p in tidy)
    # What is remembered has changed: the next mask is another one, beside what was dropped from it.
    assert not torch.equal(keep_large_regions(stock[1].low_res, 1.0), tidy[1].low_res)


def test_a_mask_that_was_given_stays_as_it_is(clip: list[np.ndarray]) -> None:
    two = np.zeros(SIZE, bool)
    two[: SIZE[0] // 2, : SIZE[1] // 2] = two[-SIZE[0] // 5 :, -SIZE[1] // 5 :] = True
    (first, *_) = follow(clip, MaskPrompt(1, two), min_region=1.0)
    assert num_regions(first) == 2
