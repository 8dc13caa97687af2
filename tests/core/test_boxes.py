"""Boxes: areas, overlaps, clipping."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trackkit.core.boxes import box_areas, box_iou, clip_boxes

boxes = st.lists(
    st.tuples(*[st.floats(0, 100, width=32)] * 4).map(
        lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
    ),
    max_size=5,
).map(lambda rows: np.array(rows, np.float32).reshape(-1, 4))


def test_box_iou_of_known_boxes() -> None:
    a = np.array([[0, 0, 10, 10], [5, 5, 5, 9]], np.float32)
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10]], np.float32)
    np.testing.assert_allclose(box_iou(a, b), [[1, 1 / 3, 0], [0, 0, 0]], rtol=1e-6)
    assert box_iou(a, b[:0]).shape == (2, 0)
    assert box_iou(a, b).dtype == np.float32


@given(boxes, boxes)
def test_box_iou_is_symmetric_and_within_bounds(a: np.ndarray, b: np.ndarray) -> None:
    iou = box_iou(a, b)
    assert iou.shape == (len(a), len(b))
    assert ((iou >= 0) & (iou <= 1 + 1e-5)).all()
    np.testing.assert_allclose(iou, box_iou(b, a).T, atol=1e-6)


def test_clipped_boxes_lie_in_the_frame() -> None:
    boxes = np.array([[-5, 2, 30, 8], [40, 1, 50, 9]], np.float32)
    clipped = clip_boxes(boxes, 20, 10)
    assert clipped.tolist() == [[0, 2, 20, 8], [20, 1, 20, 9]]
    assert box_areas(clipped).tolist() == [120, 0]
