"""What the SAM 2 engine remembers: one tensor bank for all objects, and the policy of what is recalled.

The bank is preallocated. An object owns one row; in its row it owns slots for *conditioning* frames (those
with a prompt) and for *recent* frames. Which frame lies in which slot is kept here on the host, in plain
dicts; the tensors never move. Keys of memory attention carry their own positions, so the order of the slots
has no meaning.

The default policy is that of SAM 2 (Ravi et al., arXiv 2408.00714): all conditioning frames, the last 6
spatial maps and the last 15 object pointers.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor


class Observation(NamedTuple):
    """How sure the model was of an object on one frame."""

    iou: float  # predicted IoU of the chosen mask, 0..1
    score: float  # objectness logit, above 0: visible
    motion: float = 1.0  # IoU with the box that the motion model expected, 0..1


class Recall(NamedTuple):
    """What one object attends to on one frame."""

    maps: list[tuple[int, int]]  # (slot in the bank, index of the temporal position: 0 is the previous frame)
    pointers: list[tuple[int, int]]  # (slot in the bank, frames since)

    def padded(self, num_maps: int, num_pointers: int) -> Recall:
        """The same with slot 0 repeated behind; every object has a conditioning frame there."""
        return Recall(
            self.maps + [(0, 0)] * (num_maps - len(self.maps)),
            self.pointers + [(0, 0)] * (num_pointers - len(self.pointers)),
        )


@dataclass(slots=True)
class ObjectMemory:
    """Where one object's memories lie: frame to slot, within the object's row of the bank."""

    obj_id: int
    row: int
    conditioning: dict[int, int] = field(default_factory=dict)
    maps: dict[int, int] = field(default_factory=dict)
    pointers: dict[int, int] = field(default_factory=dict)
    seen: dict[int, Observation] = field(default_factory=dict)

    def forget_recent(self, frame: int) -> None:
        """Drop what was remembered of ``frame`` by propagation."""
        for entries in (self.maps, self.pointers, self.seen):
            entries.pop(frame, None)

    def forget_all_recent(self) -> None:
        """Drop all that was remembered by propagation; conditioning frames stay."""
        for entries in (self.maps, self.pointers, self.seen):
            entries.clear()


class MemoryBank:
    """Memory of all objects in two tensors, which may lie on another device than the model.

    Rows come from a free list; the capacity doubles when it is spent.

    Attributes:
        maps: ``(capacity, num_cond + num_maps, HW, C_mem)``, spatial memories. The first ``num_cond`` slots
            are for conditioning frames.
        pointers: ``float32 (capacity, num_cond + num_pointers, C)``, object pointers.
    """

    def __init__(
        self,
        capacity: int,
        *,
        num_cond: int,
        num_maps: int,
        num_pointers: int,
        map_shape: tuple[int, int],
        pointer_dim: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.num_cond = num_cond
        self.num_maps = num_maps
        self.num_pointers = num_pointers
        self.maps = torch.zeros(capacity, num_cond + num_maps, *map_shape, dtype=dtype, device=device)
        self.pointers = torch.zeros(capacity, num_cond + num_pointers, pointer_dim, device=device)
        self._free = list(reversed(range(capacity)))

    @property
    def capacity(self) -> int:
        """Rows, used or free."""
        return len(self.maps)

    @property
    def nbytes(self) -> int:
        """Bytes of both tensors."""
        return self.maps.nbytes + self.pointers.nbytes

    def take_row(self) -> int:
        """A free row; the bank grows to twice its size where there is none."""
        if not self._free:
            capacity = self.capacity
            self.maps = torch.cat([self.maps, torch.zeros_like(self.maps)])
            self.pointers = torch.cat([self.pointers, torch.zeros_like(self.pointers)])
            self._free = list(reversed(range(capacity, 2 * capacity)))
        return self._free.pop()

    def free_row(self, row: int) -> None:
        """Give a row back; what is in it will be written over."""
        self._free.append(row)

    def write(
        self, rows: Tensor, map_slots: Tensor, pointer_slots: Tensor, maps: Tensor, pointers: Tensor
    ) -> None:
        """Remember one frame of ``B`` objects.

        Args:
            rows: ``int64 (B,)``.
            map_slots: ``int64 (B,)``.
            pointer_slots: ``int64 (B,)``.
            maps: ``(B, C_mem, h, w)``, from the memory encoder.
            pointers: ``(B, C)``.
        """
        device = self.maps.device
        rows, map_slots, pointer_slots = (index.to(device) for index in (rows, map_slots, pointer_slots))
        self.maps[rows, map_slots] = maps.flatten(2).transpose(1, 2).to(self.maps)
        self.pointers[rows, pointer_slots] = pointers.to(self.pointers)

    def read(self, rows: Tensor, map_slots: Tensor, pointer_slots: Tensor) -> tuple[Tensor, Tensor]:
        """Recall of ``B`` objects, on the device of ``rows``, which may be another than that of the bank.

        Args:
            rows: ``int64 (B, 1)``.
            map_slots: ``int64 (B, K)``.
            pointer_slots: ``int64 (B, P)``.

        Returns:
            Maps ``(B, K, HW, C_mem)`` and pointers ``(B, P, C)``.
        """
        there, here = self.maps.device, rows.device
        at, map_slots, pointer_slots = (index.to(there) for index in (rows, map_slots, pointer_slots))
        return self.maps[at, map_slots].to(here), self.pointers[at, pointer_slots].to(here)

    def conditioning_slot(self, memory: ObjectMemory, frame: int) -> int:
        """The slot for a conditioning frame.

        Where all are taken, the first prompt stays as the anchor of the object's identity, and the oldest of
        the others goes (with a single slot, the first goes).
        """
        slots = memory.conditioning
        if frame in slots:
            return slots[frame]
        full = len(slots) == self.num_cond
        slots[frame] = slots.pop(list(slots)[min(1, len(slots) - 1)]) if full else len(slots)
        return slots[frame]

    def recent_slots(
        self, memory: ObjectMemory, frame: int, keep_maps: Collection[int], keep_pointers: Collection[int]
    ) -> tuple[int, int]:
        """Slots for the map and the pointer of ``frame``; frames that are not to be kept are forgotten."""
        map_slot = _replace(memory.maps, frame, keep_maps, self.num_cond, self.num_maps)
        pointer_slot = _replace(memory.pointers, frame, keep_pointers, self.num_cond, self.num_pointers)
        for old in [t for t in memory.seen if t not in memory.maps]:
            del memory.seen[old]
        return map_slot, pointer_slot


def _replace(entries: dict[int, int], frame: int, keep: Collection[int], first: int, size: int) -> int:
    """Drop the frames that are not in ``keep`` and put ``frame`` into the lowest free slot."""
    for old in [t for t in entries if t not in keep]:
        del entries[old]
    taken = set(entries.values())
    slot = next(s for s in range(first, first + size) if s not in taken)
    entries[frame] = slot
    return slot


class StockSelector:
    """The memory policy of SAM 2: the most recent frames, whatever their quality.

    Args:
        num_maskmem: Spatial maps in attention, the conditioning frame included (7 in all official models).
        max_pointers: Object pointers in attention, the conditioning frame included (16 in all official
            models).
        stride: Every how many frames a map is recalled (1 in all official models); the last frame always is.
    """

    #: Whether the engine has to bring observations to the host (one sync per frame).
    needs_observations = False

    def __init__(self, num_maskmem: int = 7, max_pointers: int = 16, stride: int = 1) -> None:
        self.num_recent = num_maskmem - 1
        self.max_pointers = max_pointers
        self.stride = stride

    @property
    def num_map_slots(self) -> int:
        """Slots that recent maps need: with a stride, the last frame is kept beside those of the grid."""
        return self.num_recent + (self.stride > 1)

    def recall(self, memory: ObjectMemory, now: int) -> Recall:
        """What ``memory`` attends to on frame ``now``: conditioning frames first, then recent ones."""
        cond = memory.conditioning
        maps = [(slot, self.num_recent) for slot in cond.values()]
        maps += [(slot, rank - 1) for rank, slot in self.recent_maps(memory, now)]
        pointers = [(slot, now - frame) for frame, slot in cond.items()]
        pointers += [(slot, age) for age, slot in self.recent_pointers(memory, now)]
        return Recall(maps, pointers)

    def recent_maps(self, memory: ObjectMemory, now: int) -> list[tuple[int, int]]:
        """Pairs (rank, slot), oldest first; rank 1 is the previous frame."""
        grid = (now - 2) // self.stride * self.stride
        frames = [(rank, grid - (rank - 2) * self.stride) for rank in range(self.num_recent, 1, -1)]
        frames.append((1, now - 1))
        return [(rank, memory.maps[t]) for rank, t in frames if t in memory.maps]

    def recent_pointers(self, memory: ObjectMemory, now: int) -> list[tuple[int, int]]:
        """Pairs (age in frames, slot), youngest first."""
        ages = range(1, self.max_pointers)
        return [(age, memory.pointers[now - age]) for age in ages if now - age in memory.pointers]

    def maps_to_keep(self, memory: ObjectMemory, now: int) -> set[int]:
        """Frames whose maps can still be recalled after ``now``; leaves room for that of ``now``."""
        if self.stride == 1:
            return {t for t in memory.maps if t > now - self.num_recent}
        on_grid = [t for t in sorted(memory.maps, reverse=True) if t % self.stride == 0]
        return set(on_grid[: self.num_recent - (now % self.stride == 0)])

    def pointers_to_keep(self, memory: ObjectMemory, now: int) -> set[int]:
        """Frames whose pointers can still be recalled after ``now``; leaves room for that of ``now``."""
        return {t for t in memory.pointers if t > now + 1 - self.max_pointers}

    def choose(self, rows: Tensor, masks: Tensor, ious: Tensor) -> tuple[Tensor, Tensor]:
        """Choose among the candidate masks of ``B`` objects.

        Args:
            rows: ``int64 (B,)``, the objects' rows of the bank.
            masks: ``(B, M, h, w)`` logits.
            ious: ``(B, M)``, the IoU that the model predicts for each.

        Returns:
            The choice ``int64 (B,)``: here the best predicted IoU; and its agreement with the motion model
            ``(B,)``.
        """
        return ious.argmax(-1), torch.ones(len(ious), device=ious.device)

    def restart(self, rows: Tensor) -> None:
        """Objects in ``rows`` were prompted: what was derived from their past is void."""

    def reserve(self, capacity: int) -> None:
        """The bank has ``capacity`` rows now."""
