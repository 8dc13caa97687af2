from __future__ import annotations

import numpy as np
import pytest
import torch

from trackkit.core.clock import StageClock
from trackkit.core.masks import boxes_of_masks, decode_rle
from trackkit.trackers.by_mask.outlines import boxes_of, outline_iou, outlines_of, visible_outlines
from trackkit.trackers.by_mask.propagation import Propagation


def propagation(size: tuple[int, int], cells: int = 16, n: int = 40) -> Propagation:
    rng = np.random.default_rng(0)
    low = torch.from_numpy(rng.normal(-4, 2, (n, 1, cells, cells)).astype(np.float32))
    scores = torch.linspace(1, 2, n)
    scores[3] = -1.0
    low[5] = -9.0
    low[6] = 9.0
    return Propagation(list(range(n)), low, scores, scores, size)


@pytest.mark.parametrize("size", [(64, 64), (48, 101), (333, 200), (7, 5), (16, 16)])
def test_outlines_are_those_of_the_full_masks(size: tuple[int, int]) -> None:
    tracked = propagation(size)
    masks = tracked.masks().astype(bool)
    outlines = visible_outlines(tracked, StageClock())
    assert list(outlines) == [k for k in range(40) if k != 3 and masks[k].any()]
    assert 5 not in outlines
    assert 6 in outlines
    for key, outline in outlines.items():
        assert (decode_rle(outline.rle, *size) == masks[key]).all()
        assert outline.area == masks[key].sum()
        assert outline.pred_iou == tracked.ious[key]
        assert (outline.xyxy == boxes_of_masks(masks[key : key + 1])[0]).all()


def test_nothing_is_visible_where_all_are_absent() -> None:
    tracked = propagation((20, 20))
    assert visible_outlines(tracked.select([3, 5]), StageClock()) == {}
    assert visible_outlines(tracked.select([]), StageClock()) == {}


def test_what_the_model_expects_little_of_is_not_visible() -> None:
    tracked = propagation((20, 20))  # predicted IoUs from 1 to 2
    seen = visible_outlines(tracked, StageClock(), min_pred_iou=1.5)
    assert seen
    assert set(seen) == {k for k in visible_outlines(tracked, StageClock()) if tracked.ious[k] >= 1.5}


def test_what_the_user_points_out_is_visible_whatever_the_model_expects() -> None:
    tracked = propagation((20, 20))
    sure = visible_outlines(tracked, StageClock(), min_pred_iou=1.5)
    seen = visible_outlines(tracked, StageClock(), min_pred_iou=1.5, vouched_for={3, 5, 6})
    assert 6 not in sure
    assert set(seen) == {*sure, 6}  # 3 is absent, and the mask of 5 is empty


def test_masks_of_a_detector() -> None:
    masks = np.zeros((3, 9, 7), bool)
    masks[0, 2:5, 1:4] = masks[2, :, :] = True
    first, empty, full = outlines_of(masks)
    assert empty is None
    assert first is not None
    assert full is not None
    assert boxes_of([first, full]).tolist() == [[1, 2, 4, 5], [0, 0, 7, 9]]
    assert outline_iou([first], [full, first], 9, 7).tolist() == [[pytest.approx(9 / 63), 1.0]]
    assert outlines_of(masks[:0]) == []
    assert boxes_of([]).shape == (0, 4)
