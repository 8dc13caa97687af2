"""Masks and logits of one frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pycocotools import mask as coco

from trackkit.trackers.by_mask import propagation
from trackkit.trackers.by_mask.propagation import Propagation

torch.set_num_threads(1)


def make(obj_ids: list[int], seed: int = 0) -> Propagation:
    g = torch.Generator().manual_seed(seed)
    n = len(obj_ids)
    low_res = torch.randn(n, 1, 16, 16, generator=g)
    return Propagation(obj_ids, low_res, torch.randn(n, generator=g), torch.rand(n, generator=g), (45, 70))


def test_masks_are_the_logits_above_zero() -> None:
    frame = make([1, 2, 3])
    masks = frame.masks()
    assert masks.shape == (3, 45, 70)
    assert masks.dtype == np.uint8
    assert np.array_equal(masks, (frame.logits()[:, 0] > 0).numpy())
    assert 0 < masks.mean() < 1


def test_masks_lie_as_pycocotools_wants_them() -> None:
    masks = make([1, 2]).masks()
    assert all(mask.flags.f_contiguous for mask in masks)
    assert masks.transpose(1, 2, 0).flags.f_contiguous
    rles = coco.encode(masks.transpose(1, 2, 0))
    assert np.array_equal(coco.decode(rles).transpose(2, 0, 1), masks)


@pytest.mark.parametrize("non_overlap", [False, True])
def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch, non_overlap: bool) -> None:
    frame = make([1, 2, 3, 4, 5])
    whole = frame.masks(non_overlap=non_overlap)
    monkeypatch.setattr(propagation, "PIXELS_PER_CHUNK", 2 * 45 * 70)
    assert np.array_equal(frame.masks(non_overlap=non_overlap), whole)


def test_without_overlap_the_strongest_takes_the_pixel() -> None:
    frame = make([1, 2, 3])
    assert (frame.masks().sum(0) > 1).any()
    masks = frame.masks(non_overlap=True)
    assert (masks.sum(0) == frame.masks().any(0)).all()
    assert np.array_equal(masks, (frame.logits(non_overlap=True)[:, 0] > 0).numpy())
    from sam2.modeling.sam2_base import SAM2Base

    stock = SAM2Base._apply_non_overlapping_constraints(None, frame.logits())
    assert torch.equal(frame.logits(non_overlap=True), stock)


def test_newer_results_take_the_place_of_older_ones() -> None:
    old, new = make([1, 2, 3]), make([2, 9], seed=1)
    both = old.updated(new)
    assert both.obj_ids == [1, 2, 3, 9]
    assert torch.equal(both.low_res[1], new.low_res[0])
    assert torch.equal(both.low_res[3], new.low_res[1])
    assert torch.equal(both.ious[[0, 2]], old.ious[[0, 2]])
    assert old.updated(make([])).obj_ids == [1, 2, 3]
    assert make([]).updated(new).obj_ids == [2, 9]


def test_select_puts_in_order() -> None:
    frame = make([1, 2, 3])
    assert frame.select([3, 1]).obj_ids == [3, 1]
    assert torch.equal(frame.select([3, 1]).obj_scores, frame.obj_scores[[2, 0]])
    with pytest.raises(ValueError, match="4"):
        frame.select([4])
