"""Videos that make their worker go wrong, on real clusters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dask
import pytest
from faults import CONFIG, write_faulty_video

import trackkit as tk


@pytest.fixture
def session() -> Iterator[tk.Session]:
    with (
        dask.config.set({"distributed.worker.preload": ["faults"]}),
        tk.Session(CONFIG, device="cpu", num_workers=2) as running,
    ):
        yield running


def test_a_video_that_kills_its_worker_is_tried_once_more_alone(session: tk.Session, tmp_path: Path) -> None:
    good = [write_faulty_video(tmp_path / f"{k}.mp4") for k in range(6)]
    poison = write_faulty_video(tmp_path / "poison.mp4", "segfault")
    path = tmp_path / "tracks.jsonl"
    results = session.track([*good[:3], poison, *good[3:]], output_jsonl=path)
    (failure,) = results.failures.itertuples()
    assert (failure.video_path, failure.error_type, failure.attempts) == (str(poison), "KilledWorker", 2)
    assert "tried once more alone" in failure.message
    assert failure.worker in ("0", "1")
    assert failure.seconds > 0
    assert path.read_bytes().count(b"\n") == len(good)  # each exactly once
    assert results.videos["warnings"].isna().all()  # none beside them was killed
