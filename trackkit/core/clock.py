"""Where the time of a video goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

STAGES = ("decode", "detect", "track", "encode", "write")


class StageClock:
    """Wall seconds per stage. A stage entered inside another one stops the outer one's clock meanwhile.

    Example:
        >>> clock = StageClock()
        >>> with clock("track"):
        ...     with clock("encode"):  # not counted as "track"
        ...         pass
        >>> sorted(clock.seconds) == sorted(STAGES)
        True
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count the time of the ``with`` block as ``stage``."""
        self._book()
        self._running.append(stage)
        try:
            yield
        finally:
            self._book()
            self._running.pop()

    def _book(self) -> None:
        now = perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now
