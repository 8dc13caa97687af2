"""Prompts check what they are given."""

from __future__ import annotations

import numpy as np
import pytest

from trackkit.trackers.by_mask.prompts import BoxPrompt, MaskPrompt, PointPrompt


def test_a_box_is_two_points() -> None:
    prompt = BoxPrompt(3, [1, 2, 30, 40])
    assert prompt.obj_id == 3
    assert prompt.points.tolist() == [[1, 2], [30, 40]]
    assert prompt.labels.tolist() == [2, 3]
    assert (prompt.points.dtype, prompt.labels.dtype) == (np.float32, np.int32)


def test_a_mask_is_copied() -> None:
    mask = np.zeros((4, 6), np.uint8)
    prompt = MaskPrompt(1, mask)
    mask[:] = 1
    assert prompt.mask.dtype == bool
    assert not prompt.mask.any()


def test_wrong_values_are_named() -> None:
    with pytest.raises(ValueError, match="four numbers"):
        BoxPrompt(1, [1, 2, 3])
    with pytest.raises(ValueError, match="finite"):
        BoxPrompt(1, [1, 2, np.nan, 3])
    with pytest.raises(ValueError, match=r"expected \(P, 2\)"):
        PointPrompt(1, [[1, 2, 3]], [1])
    with pytest.raises(ValueError, match=r"expected \(P, 2\)"):
        PointPrompt(1, [[1, 2]], [1, 0])
    with pytest.raises(ValueError, match=r"expected \(H, W\)"):
        MaskPrompt(1, np.zeros((1, 4, 6)))
