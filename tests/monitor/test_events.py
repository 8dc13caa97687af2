"""Events on their way from a worker."""

from __future__ import annotations

import dataclasses

from reports import progress

from trackkit.monitor.events import read_progress


def test_progress_survives_the_way_through_an_event() -> None:
    sent = progress("a.mp4", notes=("one",), thumbnail=b"x", gpu_mb=1.5)
    fields = dataclasses.asdict(sent)
    assert read_progress({**fields, "notes": list(fields["notes"])}) == sent
