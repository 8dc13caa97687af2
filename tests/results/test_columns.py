"""Rows of tables, and the objects in them."""

from __future__ import annotations

import numpy as np
import pytest
from samples import CONFIG, sample_objects

from trackkit.results.rows import TrackTable, objects_in


@pytest.mark.parametrize("masks", [True, False])
def test_rows_become_objects_again(masks: bool) -> None:
    objects = sample_objects(4, [1, 2, 3], masks=masks)
    table = TrackTable("a", CONFIG.classes)
    table.add(objects)
    rows = table.to_frame()
    back = objects_in(rows, objects.frame)
    for name in ("obj_ids", "xyxy", "scores", "detected", "areas"):
        np.testing.assert_allclose(getattr(back, name), getattr(objects, name), rtol=1e-6)
    assert back.pred_ious is not None
    expected = np.full(3, np.nan) if objects.pred_ious is None else objects.pred_ious
    np.testing.assert_array_equal(back.pred_ious, expected)
    assert (back.labels, back.rles) == (objects.labels, objects.rles)
    assert len(objects_in(rows[:0], objects.frame)) == 0
