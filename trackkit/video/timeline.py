"""A clock that may be wrong: which times are kept, where the other frames are put, and the rate of frames."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

MISSING = "frames without a presentation time"
MISPLACED = "frames whose time was out of order"
RESTARTED = "times that the clock starts anew"

AHEAD = 16  # frames that are looked at before a time is judged
_BEGINNING = 4  # so many that rise are taken for a clock that runs
_RECENT = 9  # steps of time that tell what is usual

# What it costs to believe something; a frame that is out of order costs 1. So up to three in a row are out of
# order, and more that lie behind the frame before are another clock. A pause costs less than a frame: no
# frame is moved to save a pause. Frames at the end, which nothing follows, are more likely another clock.
_RESTART = 3.9
_PAUSE = 0.9
_NOTHING_FOLLOWS = 2.5
_IRREGULAR = 0.001  # decides between equals, such as two frames of one time
_UNUSUAL = 10  # usual steps that make a pause


class Placed(NamedTuple):
    """Where a frame is put.

    Attributes:
        ticks: Since the first frame; whole where the frame keeps its time.
        oddity: ``MISSING``, ``MISPLACED``, ``RESTARTED``, or None where nothing is odd.
    """

    ticks: float
    oddity: str | None


class Steps:
    """The last few steps of time, which tell what is usual."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def add(self, time: float | None) -> None:
        """The time of the next frame, in any unit; None: what comes next is no usual step."""
        if time is not None and self._last is not None:
            self._recent.append(time - self._last)
        self._last = time

    def usual(self, stated: float) -> float:
        """The median; ``stated`` as long as there is none."""
        return median(self._recent) if self._recent else stated

    def shortest(self, stated: float) -> float:
        """The shortest; ``stated`` as long as there is none."""
        return min(self._recent, default=stated)


class Timeline:
    """Puts frames in a strictly increasing order of time, as few as possible elsewhere than where they say.

    A frame is held back only while its time is odd: absent, not later than the frame before, or later by more
    than 1.5 steps. Then ``ahead`` frames are looked at, and of all ways to explain their times the cheapest
    is taken: frames are out of order (they go evenly between their neighbours), or the clock starts anew (it
    goes on one usual step after the frame before). Times that rise are all kept, whatever their steps.

    Args:
        step: Usual step of time in ticks, for as long as the times do not tell.
        ahead: Frames to look at, the odd one included.
    """

    def __init__(self, step: float, ahead: int = AHEAD) -> None:
        self._stated, self._ahead = step, ahead
        self._waiting: list[int | None] = []
        self._steps = Steps()  # of frames that keep their time, on the clock in use
        self._origin: int | None = None  # tick of that clock at which our time is 0
        self._last: float | None = None  # where the frame before was put

    def add(self, ticks: int | None) -> Iterator[Placed]:
        """One more frame; gives the frames that are settled, in order."""
        self._waiting.append(ticks)
        while self._waiting and (len(self._waiting) >= self._ahead or self._is_usual()):
            yield self._settle(final=False)

    def finish(self) -> Iterator[Placed]:
        """No more frames come; gives the rest."""
        while self._waiting:
            yield self._settle(final=True)

    def _is_usual(self) -> bool:
        """Whether the next frame comes so soon after the one before that it cannot push others aside."""
        head = self._waiting[0]
        if head is None:
            return False
        if self._origin is None:
            return self._last is None and len(self._waiting) >= _BEGINNING and _rise(None, self._waiting)
        step = head - self._origin - self._before()
        return 0 < step <= 1.5 * self._steps.shortest(self._stated)

    def _before(self) -> float:
        """Where the frame before was put; one step before 0 for the first."""
        return -self._step() if self._last is None else self._last

    def _step(self) -> float:
        """The usual step: of late, else of what comes, else as stated."""
        known = [ticks for ticks in self._waiting if ticks is not None]
        to_come = [b - a for a, b in pairwise(known) if b > a]
        return self._steps.usual(median(to_come) if to_come else self._stated)

    def _settle(self, *, final: bool) -> Placed:
        kept, anew = self._next_kept(final=final)
        before = self._before()
        place = 0.0 if self._last is None else before + self._step()
        head = self._waiting[0]
        anchor = None if kept is None else self._waiting[kept]
        if head is not None and kept == 0:
            if anew or self._origin is None:
                whole = round(place)
                self._origin = head - (whole if whole > before else whole + 1)
                self._steps = Steps()
            self._steps.add(head)
            place, oddity = head - self._origin, RESTARTED if anew else None
        else:
            if anchor is not None and kept is not None and not anew and self._origin is not None:
                place = before + (anchor - self._origin - before) / (kept + 1)
            self._steps.add(None)
            oddity = MISSING if head is None else MISPLACED
        del self._waiting[0]
        self._last = place
        return Placed(place, oddity)

    def _next_kept(self, *, final: bool) -> tuple[int | None, bool]:
        """Which of the waiting frames is the next to keep its time, and whether a clock starts anew there."""
        waiting, usual = self._waiting, self._step()
        now = None if self._origin is None else self._origin + self._before()
        if _rise(now, waiting):
            return 0, False
        unfollowed = _NOTHING_FOLLOWS if final else 1
        best: tuple[float, int | None, bool] = (unfollowed * len(waiting), None, False)
        # The cheapest way on which frame j keeps its time: its cost, the first frame that is kept on it, and
        # whether the clock starts anew there.
        ways: list[tuple[float, int, bool]] = []
        for j, ticks in enumerate(waiting):
            way, alone = (math.inf, j, False), False
            for i in range(j - 1, -2, -1) if ticks is not None else ():
                earlier = waiting[i] if i >= 0 else now
                cost, first, anew = ways[i] if i >= 0 else (0.0, j, False)
                if earlier is None and i >= 0:
                    continue
                price = 0.0 if earlier is None or ticks is None else _price(ticks - earlier, (j - i) * usual)
                if cost + price + j - i - 1 < way[0]:
                    alone = price >= _RESTART
                    way = (cost + price + j - i - 1, first, anew or (i < 0 and alone))
            ways.append(way)
            total = way[0] + unfollowed * (len(waiting) - 1 - j) + (_RESTART if alone else 0)
            if total < best[0]:
                best = (total, *way[1:])
        return best[1:]


def _price(step: float, expected: float) -> float:
    """Of going on by this step."""
    if step <= 0:
        return _RESTART
    return (_PAUSE if step > _UNUSUAL * expected else 0.0) + _IRREGULAR * min(abs(step / expected - 1), 1)


def _rise(before: float | None, ticks: Sequence[int | None]) -> bool:
    """Whether every one is stated, and later than the one before."""
    for each in ticks:
        if each is None or (before is not None and each <= before):
            return False
        before = each
    return True


class Rate:
    """Frames per second while frames come: pauses are left out.

    A pause is a step that is longer than 10 s and than 20 median steps. Steps are gathered by their power of
    two, so that this stays small.
    """

    def __init__(self) -> None:
        self._last: float | None = None
        self._steps: defaultdict[int, list[float]] = defaultdict(lambda: [0, 0.0])

    def add(self, time_s: float) -> None:
        """The time of the next frame, later than the one before."""
        if self._last is not None:
            steps = self._steps[math.frexp(time_s - self._last)[1]]
            steps[0] += 1
            steps[1] += time_s - self._last
        self._last = time_s

    def fps(self, stated: float, *, give: float = 0.0) -> float:
        """``stated`` where that explains the times, as it is the more exact: 30000/1001, not 29.98.

        Args:
            stated: Frames per second.
            give: Seconds by which the time of all frames may differ; 1% always may.
        """
        found = [self._steps[size] for size in sorted(self._steps)]
        if not found:
            return stated
        half, usual = sum(n for n, _ in found) / 2, 0.0
        for n, span in found:
            half -= n
            if half <= 0:
                usual = span / n
                break
        moving = [(n, span) for n, span in found if span <= max(10.0, 20 * usual) * n]
        frames, span = (sum(column) for column in zip(*moving, strict=True))
        return stated if abs(span - frames / stated) <= max(0.01 * span, give) else frames / span
