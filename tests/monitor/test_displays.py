"""What a terminal shows of a run."""

from __future__ import annotations

import io
import re

import pytest
from reports import progress
from rich.console import Console
from samples import sample_failure, sample_result

from trackkit.cli.track import summary_table
from trackkit.monitor.displays import TerminalDisplay
from trackkit.monitor.run_state import RunState


def test_where_output_is_piped_a_long_video_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackkit.monitor.displays.QUIET_S", 0.0)
    out = io.StringIO()
    with TerminalDisplay(Console(file=out, width=150), RunState(2)) as display:
        display.report(progress("a/car.mp4"))
    assert re.fullmatch(r"\[0/2\] a/car\.mp4: at frame \d+ of \d+\n", out.getvalue())


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_shows_every_outcome(terminal: bool) -> None:
    out = io.StringIO()
    run = RunState(2)
    with TerminalDisplay(Console(file=out, force_terminal=terminal, width=150), run) as display:
        display.report(progress("a/car.mp4", notes=("slow [here]",)))
        display.finish(sample_result())
        display.report(progress("a/car.mp4"))
        display.finish(sample_failure())
    text = out.getvalue()
    assert "[1/2] a/car.mp4: 4 frames, 3 objects, 5.7 frames/s; one; two; truncated: stops after" in text
    assert "[2/2] b/car.mp4: failed: VideoOpenError: no such file" in text
    assert "note: a/car.mp4: slow [here]" in text
    Console(file=out).print(summary_table(run))
    assert "2 of 2: 0 ok, 1 truncated, 1 failed" in out.getvalue()
