"""Which times are kept, where the other frames go, and how many frames come a second."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackkit.video.timeline import AHEAD, MISPLACED, MISSING, RESTARTED, Placed, Rate, Timeline

STEP = 40
REGULAR = [STEP * k for k in range(60)]


def place(times: Sequence[int | None], *, step: float = STEP, ahead: int = AHEAD) -> list[Placed]:
    timeline, placed = Timeline(step, ahead), list[Placed]()
    for k, ticks in enumerate(times):
        placed += timeline.add(ticks)
        assert k - ahead < len(placed) <= k + 1
    placed += timeline.finish()
    assert len(placed) == len(times)
    assert placed[0].ticks == 0
    assert all(a.ticks < b.ticks for a, b in pairwise(placed))
    return placed


def ticks(placed: Sequence[Placed]) -> list[float]:
    return [each.ticks for each in placed]


def odd(placed: Sequence[Placed]) -> dict[int, str]:
    return {k: each.oddity for k, each in enumerate(placed) if each.oddity is not None}


@given(st.lists(st.integers(1, 10**9), max_size=80), st.integers(-(10**12), 10**12))
def test_times_that_rise_are_kept(steps: list[int], start: int) -> None:
    times = [start]
    for step in steps:
        times.append(times[-1] + step)
    placed = place(times)
    assert ticks(placed) == [each - start for each in times]
    assert not odd(placed)


@given(st.lists(st.none() | st.integers(-(10**6), 10**6) | st.sampled_from(REGULAR), min_size=1, max_size=80))
def test_any_times_are_put_in_order(times: list[int | None]) -> None:
    placed = place(times)
    assert {k for k, each in odd(placed).items() if each == MISSING} == {
        k for k, each in enumerate(times) if each is None
    }


def test_regular_frames_are_never_held_back() -> None:
    timeline = Timeline(STEP)
    settled = [len(list(timeline.add(each))) for each in REGULAR]
    assert settled == [0, 0, 0, 4, *[1] * 56]


@pytest.mark.parametrize("step", [1, STEP, 5000])  # what the file states may be far off
@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("shift", [300_000, -300_000, STEP + 7, 2**33])
@pytest.mark.parametrize("at", [0, 5, 30, 56])
def test_wrong_ones_in_a_row_move_no_other(at: int, shift: int, length: int, step: float) -> None:
    if (length > 1 and shift == STEP + 7) or (at == 0 and shift < 0):
        return  # what is right cannot be told
    wrong = range(at, at + length)
    placed = place([each + shift * (k in wrong) for k, each in enumerate(REGULAR)], step=step)
    assert ticks(placed) == REGULAR
    assert odd(placed) == dict.fromkeys(wrong, MISPLACED)


@pytest.mark.parametrize("at", [3, 4, 30, *range(55, 60)])
def test_wrong_ones_that_are_each_elsewhere(at: int) -> None:
    times: list[int | None] = [*REGULAR]
    for k, wrong in zip(range(at, min(at + 3, 60)), (700_000, -5, None), strict=False):
        times[k] = wrong
    placed = place(times)
    assert [each for k, each in enumerate(ticks(placed)) if not at <= k < at + 3] == [
        each for k, each in enumerate(REGULAR) if not at <= k < at + 3
    ]


def test_the_last_one() -> None:
    assert ticks(place([*REGULAR, 5])) == [*REGULAR, 2400]
    assert ticks(place([*REGULAR, 10**6])) == [*REGULAR, 10**6]  # it may be a pause


@pytest.mark.parametrize("length", [1, 2, 9, AHEAD - 4, 40])
@pytest.mark.parametrize("at", [1, 17, 50])
def test_duplicates(at: int, length: int) -> None:
    times = list(REGULAR)
    times[at : at + length] = [REGULAR[at - 1]] * len(times[at : at + length])
    placed = place(times)
    assert ticks(placed) == REGULAR
    assert set(odd(placed)) == set(range(at, min(at + length, 60)))


def test_a_duplicate_lies_between_its_neighbours() -> None:
    assert ticks(place([0, 10, 11, 11, 500, 510, 1000])) == [0, 10, 11, 255.5, 500, 510, 1000]


@pytest.mark.parametrize("first", [10, 50])
@pytest.mark.parametrize("start", [-(10**6), 0, 3])
@pytest.mark.parametrize("step", [20, STEP, 100])
def test_a_clock_that_starts_anew_keeps_its_steps(first: int, start: int, step: int) -> None:
    second = [start + step * k for k in range(30)]
    placed = place(REGULAR[:first] + second)
    assert ticks(placed) == REGULAR[:first] + [STEP * first + step * k for k in range(30)]
    assert odd(placed) == {first: RESTARTED}


def test_a_pause_is_told_from_a_spike_by_what_follows() -> None:
    pause = 10**9
    times = [each + pause * (k >= 20) for k, each in enumerate(REGULAR)]
    assert ticks(place(times)) == times
    times[40] += pause
    times[50] -= pause
    assert ticks(place(times)) == [each + pause * (k >= 20) for k, each in enumerate(REGULAR)]


def test_no_times_at_all() -> None:
    placed = place([None] * 40, step=33.5)
    assert ticks(placed) == [33.5 * k for k in range(40)]
    assert set(odd(placed).values()) == {MISSING}


def test_a_clock_too_coarse_for_its_frames() -> None:
    placed = place([k // 2 for k in range(60)], step=0.5)
    assert all(abs(each - k / 2) <= 1 for k, each in enumerate(ticks(placed)))


class TestRate:
    @staticmethod
    def of(times: Sequence[float], stated: float, *, give: float = 0.0) -> float:
        rate = Rate()
        for time in times:
            rate.add(time)
        return rate.fps(stated, give=give)

    def test_what_is_stated_is_more_exact(self) -> None:
        times = [round(k * 1001 / 30000, 3) for k in range(50)]
        assert self.of(times, 30000 / 1001) == 30000 / 1001
        assert self.of(times, 30) == 30  # within 1%
        assert self.of(times, 25) == pytest.approx(29.97, rel=0.001)

    def test_pauses_do_not_count(self) -> None:
        times = [k / 15 + 7200 * (k >= 20) + 300 * (k == 59) for k in range(60)]
        assert self.of(times, 30) == pytest.approx(15)

    def test_slow_is_no_pause(self) -> None:
        assert self.of([60.0 * k for k in range(9)], 30) == pytest.approx(1 / 60)
        assert self.of([0.0, 0.03, 0.06, 5.0], 30) == pytest.approx(3 / 5)

    def test_few_frames(self) -> None:
        assert self.of([], 30) == self.of([0.0], 30) == 30
        assert self.of([0.0, 0.1], 30) == pytest.approx(10)
        assert self.of([0.0, 5 / 30], 7, give=1 / 30) == 7  # the frame nearest to 1/7 s
