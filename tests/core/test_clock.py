from __future__ import annotations

import pytest

from trackkit.core import clock as clock_module
from trackkit.core.clock import StageClock


def test_a_stage_inside_another_is_not_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0, 1, 3, 7, 15, 31])
    monkeypatch.setattr(clock_module, "perf_counter", lambda: float(next(ticks)))
    clock = StageClock()
    with clock("track"), clock("encode"):  # 0 to 1 and 3 to 7; 1 to 3
        pass
    with clock("write"):  # 15 to 31; from 7 to 15 nothing runs
        pass
    assert clock.seconds == {"decode": 0, "detect": 0, "track": 5, "encode": 2, "write": 16}


def test_an_error_ends_the_stage() -> None:
    clock = StageClock()
    with pytest.raises(KeyError), clock("track"):
        raise KeyError
    before = dict(clock.seconds)
    with clock("write"):
        pass
    assert clock.seconds["track"] == before["track"]
