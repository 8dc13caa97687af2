"""Motion model and memory selection after SAMURAI."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trackkit.trackers.sam2.memory import ObjectMemory, Observation
from trackkit.trackers.sam2.samurai import KalmanBoxes, SamuraiSelector, aligned_box_iou, mask_boxes

torch.set_num_threads(1)
ROW = torch.tensor([1])


def matrix_filter(boxes: list[np.ndarray]) -> list[np.ndarray]:
    """The textbook filter with 8 x 8 matrices: the boxes expected from the second on, ``cxcywh``."""

    def noise(box: np.ndarray, share: float) -> np.ndarray:
        return (share * np.maximum(box[[2, 3, 2, 3]], 1)) ** 2

    move = np.eye(8)
    move[:4, 4:] = np.eye(4)
    look = np.eye(4, 8)
    mean = np.r_[boxes[0], np.zeros(4)]
    cov = np.diag(np.r_[noise(boxes[0], 2 / 20), noise(boxes[0], 10 / 160)])
    expected = []
    for box in boxes[1:]:
        change = np.diag(np.r_[noise(mean, 1 / 20), noise(mean, 1 / 160)])
        mean, cov = move @ mean, move @ cov @ move.T + change
        expected.append(mean[:4])
        gain = cov @ look.T @ np.linalg.inv(look @ cov @ look.T + np.diag(noise(mean, 1 / 20)))
        mean, cov = mean + gain @ (box - look @ mean), cov - gain @ look @ cov
    return expected


def test_filter_equals_the_textbook() -> None:
    rng = np.random.default_rng(0)
    boxes = [np.array([50 + 3 * t, 40 - t, 20 + t / 2, 10]) + rng.normal(0, 0.5, 4) for t in range(20)]
    filters = KalmanBoxes(3, torch.device("cpu"))
    for t, (cx, cy, w, h) in enumerate(boxes):
        got = filters.predict(ROW)
        if t:
            x, y, dx, dy = matrix_filter(boxes)[t - 1]
            expected = torch.tensor([[x - dx / 2, y - dy / 2, x + dx / 2, y + dy / 2]])
            assert (got - expected).abs().max() < 1e-3
        xyxy = torch.tensor([[cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]], dtype=torch.float32)
        filters.update(ROW, xyxy, reliable=torch.tensor([True]), fresh=torch.tensor([t == 0]))


def test_unreliable_boxes_leave_the_filter_alone() -> None:
    filters = KalmanBoxes(2, torch.device("cpu"))
    yes, no = torch.tensor([True]), torch.tensor([False])
    for t in range(10):
        filters.predict(ROW)
        filters.update(
            ROW, torch.tensor([[4.0 * t, 0, 4.0 * t + 10, 10]]), reliable=yes, fresh=torch.tensor([t == 0])
        )
    for _ in range(3):
        expected = filters.predict(ROW)
        filters.update(ROW, torch.tensor([[900.0, 900, 910, 910]]), reliable=no, fresh=no)
    centre = (expected[0, 0] + expected[0, 2]) / 2
    assert abs(centre - (4 * 12 + 5)) < 6  # it goes on moving by about 4 a frame


def test_boxes_of_masks() -> None:
    masks = torch.zeros(2, 2, 8, 10, dtype=torch.bool)
    masks[0, 0, 2:5, 3:9] = True
    masks[1, 1, 7, 0] = True
    assert mask_boxes(masks).tolist() == [[[3, 2, 9, 5], [0, 0, 0, 0]], [[0, 0, 0, 0], [0, 7, 1, 8]]]


def test_iou_of_boxes() -> None:
    a = torch.tensor([[0.0, 0, 10, 10], [0, 0, 0, 0]])
    b = torch.tensor([[5.0, 0, 15, 10], [0, 0, 0, 0]])
    assert aligned_box_iou(a, b).tolist() == pytest.approx([50 / 150, 0])


def square(x: int) -> torch.Tensor:
    logits = torch.full((40, 80), -5.0)
    logits[10:20, x : x + 10] = 5.0
    return logits


def test_motion_decides_between_look_alikes() -> None:
    """Two masks of nearly equal quality: the better looking one is taken until the motion is known."""
    selector = SamuraiSelector(stable_frames=5, motion_weight=0.15)
    rows = torch.tensor([0])
    selector.restart(rows)
    for t in range(8):
        masks = torch.stack([square(2 * t), square(60)])[None]
        selector.choose(rows, masks, torch.tensor([[0.9, 0.1]]))
    masks = torch.stack([square(16), square(60)])[None]
    choice, motion = selector.choose(rows, masks, torch.tensor([[0.85, 0.9]]))
    assert choice.item() == 0
    assert motion.item() > 0.5
    selector.restart(rows)
    choice, motion = selector.choose(rows, masks, torch.tensor([[0.85, 0.9]]))
    assert choice.item() == 1
    assert motion.item() == 1


def test_memory_takes_good_frames_only() -> None:
    selector = SamuraiSelector()
    memory = ObjectMemory(1, 0, conditioning={0: 0}, maps={t: 10 + t for t in range(1, 13)})
    bad = {3: (0.4, 5.0, 1.0), 7: (0.9, -1.0, 1.0), 9: (0.9, 5.0, 0.0), 12: (0.1, -5.0, 0.0)}
    memory.seen = {t: Observation(*bad.get(t, (0.9, 5.0, 1.0))) for t in memory.maps}
    ranks = selector.recent_maps(memory, 13)
    # The last frame always, then the youngest good ones; oldest first.
    assert ranks == [(6, 15), (5, 16), (4, 18), (3, 20), (2, 21), (1, 22)]
    assert selector.maps_to_keep(memory, 13) == {11, 10, 8, 6, 5}


def test_state_grows_with_the_bank() -> None:
    selector = SamuraiSelector(capacity=1)
    selector.reserve(4)
    choice, _ = selector.choose(
        torch.tensor([3]), torch.stack([square(1), square(30)])[None], torch.tensor([[0.2, 0.8]])
    )
    assert choice.tolist() == [1]
