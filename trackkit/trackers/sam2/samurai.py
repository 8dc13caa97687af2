"""Memory after SAMURAI: choose masks by motion, remember only frames that were good.

Yang et al., "SAMURAI: Adapting Segment Anything Model for Zero-Shot Visual Tracking with Motion-Aware
Memory", arXiv 2411.11922. No training, no weights of its own: a Kalman filter for each object's box (section
4.1) takes part in the choice among the decoder's three masks, and a frame enters the memory only if its
predicted IoU, its objectness and its motion score pass their thresholds (section 4.2). All state is batched
on the device, so nothing waits for the host.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trackkit.trackers.sam2.memory import ObjectMemory, Observation, StockSelector

# Standard deviations as shares of the box size, from SORT's successors (Wojke et al., arXiv 1703.07402).
_POSITION_STD = 1 / 20
_VELOCITY_STD = 1 / 160


class KalmanBoxes:
    """Constant-velocity Kalman filters for boxes, one per row, all in three tensors.

    The state is position and velocity of (centre x, centre y, width, height). Under this model the four
    coordinates are independent, so each is a filter of two variables in closed form and no matrix is
    inverted.
    """

    def __init__(self, capacity: int, device: torch.device) -> None:
        self._mean = torch.zeros(capacity, 2, 4, device=device)  # position, velocity
        self._cov = torch.zeros(capacity, 3, 4, device=device)  # var(position), cov, var(velocity)

    def reserve(self, capacity: int) -> None:
        """Grow to ``capacity`` rows."""
        for name in ("_mean", "_cov"):
            state: Tensor = getattr(self, name)
            setattr(self, name, torch.cat([state, state.new_zeros(capacity - len(state), *state.shape[1:])]))

    def predict(self, rows: Tensor) -> Tensor:
        """Go on by one frame; gives the expected boxes ``xyxy (B, 4)``."""
        position, velocity = self._mean[rows].unbind(1)
        var, cov, var_v = self._cov[rows].unbind(1)
        size = _sizes(position)
        position = position + velocity
        var = var + 2 * cov + var_v + (_POSITION_STD * size) ** 2
        cov = cov + var_v
        var_v = var_v + (_VELOCITY_STD * size) ** 2
        self._mean[rows] = torch.stack([position, velocity], 1)
        self._cov[rows] = torch.stack([var, cov, var_v], 1)
        return _to_xyxy(position)

    def update(self, rows: Tensor, boxes: Tensor, *, reliable: Tensor, fresh: Tensor) -> None:
        """Take in measured boxes.

        Args:
            rows: ``int64 (B,)``.
            boxes: ``xyxy (B, 4)``.
            reliable: ``bool (B,)``, whether a box is to be believed; others leave their filter as predicted.
            fresh: ``bool (B,)``, whether the filter starts anew at the box.
        """
        measured = _to_cxcywh(boxes)
        position, velocity = self._mean[rows].unbind(1)
        var, cov, var_v = self._cov[rows].unbind(1)
        total = var + (_POSITION_STD * _sizes(position)) ** 2
        gain, gain_v = var / total.clamp(min=1e-12), cov / total.clamp(min=1e-12)
        error = measured - position
        mean = torch.stack([position + gain * error, velocity + gain_v * error], 1)
        covariance = torch.stack([var * (1 - gain), cov * (1 - gain), var_v - gain_v * cov], 1)

        size = _sizes(measured)
        first_mean = torch.stack([measured, torch.zeros_like(measured)], 1)
        first_cov = torch.stack(
            [(2 * _POSITION_STD * size) ** 2, torch.zeros_like(size), (10 * _VELOCITY_STD * size) ** 2], 1
        )
        fresh, reliable = fresh[:, None, None], reliable[:, None, None]
        self._mean[rows] = torch.where(fresh, first_mean, torch.where(reliable, mean, self._mean[rows]))
        self._cov[rows] = torch.where(fresh, first_cov, torch.where(reliable, covariance, self._cov[rows]))


class SamuraiSelector(StockSelector):
    """SAMURAI's mask choice and memory selection; defaults are those of the authors' code.

    Args:
        num_maskmem: As in :class:`StockSelector`.
        max_pointers: As in :class:`StockSelector`.
        motion_weight: Weight of the motion score against the predicted IoU in the choice of the mask.
        stable_frames: Good frames in a row before the motion model has a say.
        stable_iou: Predicted IoU above which a frame is good for the motion model.
        min_iou: A map is recalled only if its predicted IoU is above this,
        min_score: and its objectness logit above this,
        min_motion: and its motion score above this.
        capacity: Rows of the bank.
        device: Of the bank.
    """

    needs_observations = True

    def __init__(
        self,
        num_maskmem: int = 7,
        max_pointers: int = 16,
        *,
        motion_weight: float = 0.15,
        stable_frames: int = 15,
        stable_iou: float = 0.3,
        min_iou: float = 0.5,
        min_score: float = 0.0,
        min_motion: float = 0.0,
        capacity: int = 8,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(num_maskmem, max_pointers)
        self.motion_weight = motion_weight
        self.stable_frames = stable_frames
        self.stable_iou = stable_iou
        self.thresholds = Observation(min_iou, min_score, min_motion)
        self._filters = KalmanBoxes(capacity, torch.device(device))
        self._streak = torch.zeros(capacity, dtype=torch.long, device=device)

    def reserve(self, capacity: int) -> None:
        """The bank has ``capacity`` rows now."""
        if capacity > len(self._streak):
            self._filters.reserve(capacity)
            self._streak = torch.cat([self._streak, self._streak.new_zeros(capacity - len(self._streak))])

    def restart(self, rows: Tensor) -> None:
        """Start the motion model anew with the next frame."""
        self._streak[rows] = 0

    def choose(self, rows: Tensor, masks: Tensor, ious: Tensor) -> tuple[Tensor, Tensor]:
        """Choose by predicted IoU and, once the motion is known, by agreement with the expected box."""
        streak = self._streak[rows]
        expected = self._filters.predict(rows)
        boxes = mask_boxes(masks > 0)
        motion = aligned_box_iou(expected[:, None], boxes)
        stable = streak >= self.stable_frames
        weighted = self.motion_weight * motion + (1 - self.motion_weight) * ious
        choice = torch.where(stable[:, None], weighted, ious).argmax(-1)

        picked = choice[:, None]
        box = boxes.take_along_dim(picked[..., None], 1)[:, 0]
        good = (ious.take_along_dim(picked, 1)[:, 0] > self.stable_iou) & (box[:, 2] > box[:, 0])
        self._filters.update(rows, box, reliable=good, fresh=streak == 0)
        self._streak[rows] = torch.where(good, streak + 1, 0)
        return choice, torch.where(stable, motion.take_along_dim(picked, 1)[:, 0], 1.0)

    def recent_maps(self, memory: ObjectMemory, now: int) -> list[tuple[int, int]]:
        """The previous frame and the youngest good ones; the rank, not the age, is their position in time."""
        frames = [now - 1] if now - 1 in memory.maps else []
        frames += self._good_frames(memory, before=now - 1)[: self.num_recent - len(frames)]
        return [(rank, memory.maps[t]) for rank, t in enumerate(frames, 1)][::-1]

    def maps_to_keep(self, memory: ObjectMemory, now: int) -> set[int]:
        """The youngest good frames before ``now``, however old they are."""
        return set(self._good_frames(memory, before=now)[: self.num_recent - 1])

    def _good_frames(self, memory: ObjectMemory, before: int) -> list[int]:
        """Frames that pass all thresholds, youngest first."""
        frames = sorted((t for t in memory.maps if t < before), reverse=True)
        return [
            t for t in frames if all(v > low for v, low in zip(memory.seen[t], self.thresholds, strict=True))
        ]


def mask_boxes(masks: Tensor) -> Tensor:
    """Boxes of ``bool (..., h, w)`` masks: ``float32 xyxy (..., 4)``; zeros for an empty mask."""
    h, w = masks.shape[-2:]
    columns, lines = masks.any(-2).float(), masks.any(-1).float()
    box = torch.stack(
        [
            columns.argmax(-1),
            lines.argmax(-1),
            w - columns.flip(-1).argmax(-1),
            h - lines.flip(-1).argmax(-1),
        ],
        -1,
    )
    return box.float() * columns.amax(-1, keepdim=True)


def aligned_box_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of ``xyxy (..., 4)`` boxes, pair by pair with broadcasting; 0 where both are empty."""
    size = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    inter = size.prod(-1)
    union = _area(a) + _area(b) - inter
    return inter / union.clamp(min=1e-6)


def _area(box: Tensor) -> Tensor:
    return (box[..., 2:] - box[..., :2]).clamp(min=0).prod(-1)


def _to_cxcywh(box: Tensor) -> Tensor:
    return torch.cat([(box[..., :2] + box[..., 2:]) / 2, box[..., 2:] - box[..., :2]], -1)


def _to_xyxy(box: Tensor) -> Tensor:
    return torch.cat([box[..., :2] - box[..., 2:] / 2, box[..., :2] + box[..., 2:] / 2], -1)


def _sizes(box: Tensor) -> Tensor:
    """``(w, h, w, h)`` of ``(cx, cy, w, h)``: the scale of each coordinate's noise, at least one pixel."""
    return torch.cat([box[..., 2:], box[..., 2:]], -1).clamp(min=1.0)
