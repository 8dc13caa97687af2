"""The memory bank's slots and the stock selection, against the formulas of the sam2 package."""

from __future__ import annotations

import pytest
import torch

from trackkit.trackers.sam2.memory import MemoryBank, ObjectMemory, StockSelector

torch.set_num_threads(1)


def make_bank(capacity: int = 2, num_cond: int = 2, num_maps: int = 6) -> MemoryBank:
    return MemoryBank(
        capacity,
        num_cond=num_cond,
        num_maps=num_maps,
        num_pointers=15,
        map_shape=(4, 3),
        pointer_dim=5,
        dtype=torch.float32,
        device=torch.device("cpu"),
    )


def track(selector: StockSelector, bank: MemoryBank, memory: ObjectMemory, now: int) -> None:
    """What the engine does to the slots on one frame."""
    keep = selector.maps_to_keep(memory, now), selector.pointers_to_keep(memory, now)
    bank.recent_slots(memory, now, *keep)


def test_rows_are_used_again_and_grow_by_doubling() -> None:
    bank = make_bank(2)
    assert [bank.take_row(), bank.take_row()] == [0, 1]
    bank.maps[0, 0] = 7
    assert [bank.take_row(), bank.capacity] == [2, 4]
    assert bank.maps.shape == (4, 8, 4, 3)
    assert bank.pointers.shape == (4, 17, 5)
    assert (bank.maps[0, 0] == 7).all()
    bank.free_row(1)
    assert bank.take_row() == 1
    assert bank.take_row() == 3


def test_write_puts_maps_token_by_token() -> None:
    bank = make_bank()
    maps, pointers = torch.arange(12.0).reshape(1, 3, 2, 2), torch.arange(5.0)[None]
    index = torch.tensor([1]), torch.tensor([3]), torch.tensor([4])
    bank.write(*index, maps, pointers)
    assert torch.equal(bank.maps[1, 3], torch.tensor([[0.0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]))
    assert torch.equal(bank.pointers[1, 4], pointers[0])
    assert bank.maps.count_nonzero() == 11
    assert bank.pointers.count_nonzero() == 4


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_recall_is_that_of_the_package(stride: int) -> None:
    """Slots are recycled for 40 frames; what is recalled is what the package finds in its full history."""
    selector = StockSelector(stride=stride)
    bank = make_bank(num_maps=selector.num_map_slots)
    memory = ObjectMemory(1, 0)
    bank.conditioning_slot(memory, 3)
    written: dict[int, tuple[int, int]] = {}  # frame -> slots, as they were written
    for now in range(4, 40):
        frames = [now - 1] + [(now - 2) // stride * stride - (rank - 2) * stride for rank in range(2, 7)]
        expected = {(rank - 1, written[t][0]) for rank, t in enumerate(frames, 1) if t > 3}
        recall = selector.recall(memory, now)
        assert recall.maps[0] == (0, 6)  # the conditioning frame has the last position
        assert {(position, slot) for slot, position in recall.maps[1:]} == expected
        ages = {(written[now - age][1], age) for age in range(1, 16) if now - age > 3}
        assert set(recall.pointers) == ages | {(0, now - 3)}
        track(selector, bank, memory, now)
        written[now] = memory.maps[now], memory.pointers[now]
        assert len(set(memory.maps.values())) == len(memory.maps) <= bank.num_maps


def test_conditioning_keeps_the_first_and_the_latest() -> None:
    bank, memory = make_bank(num_cond=3), ObjectMemory(1, 0)
    assert [bank.conditioning_slot(memory, t) for t in (0, 5, 9)] == [0, 1, 2]
    assert bank.conditioning_slot(memory, 9) == 2  # twice on one frame
    assert bank.conditioning_slot(memory, 12) == 1
    assert memory.conditioning == {0: 0, 9: 2, 12: 1}
    single, memory = make_bank(num_cond=1), ObjectMemory(1, 0)
    assert [single.conditioning_slot(memory, t) for t in (0, 5)] == [0, 0]
    assert memory.conditioning == {5: 0}


def test_padding_points_at_a_slot_that_is_always_written() -> None:
    memory = ObjectMemory(1, 0, conditioning={4: 0})
    recall = StockSelector().recall(memory, 5).padded(3, 2)
    assert recall.maps == [(0, 6), (0, 0), (0, 0)]
    assert recall.pointers == [(0, 1), (0, 0)]
