"""How a run stands, told by events."""

from __future__ import annotations

import dataclasses

import pytest
from reports import progress
from samples import sample_failure, sample_result

import trackkit as tk
from trackkit.monitor.run_state import RunState
from trackkit.results.video_result import video_row


def test_counts_are_those_of_the_results() -> None:
    outcomes = [sample_result("a.mp4"), sample_failure("b.mp4"), sample_result("c.mp4")]
    outcomes[2] = dataclasses.replace(outcomes[2], truncated=None, worker="1", gpu="1")  # type: ignore[arg-type]
    videos = tk.TrackingResults(outcomes, tk.TrackConfig("x")).videos
    run = RunState(4)
    for outcome in outcomes:
        run.finish(video_row(outcome))
    assert run.status == videos["status"].value_counts().to_dict() == {"ok": 1, "truncated": 1, "failed": 1}
    assert (run.over, run.frames, run.objects) == (3, videos["frames"].sum(), videos["objects"].sum())
    for name, worker in run.workers.items():
        rows = videos[videos["worker"] == name]
        assert (worker.frames, worker.objects) == (rows["frames"].sum(), rows["objects"].sum())
        assert (worker.videos, worker.failed) == (
            (rows["status"] != "failed").sum(),
            (rows["status"] == "failed").sum(),
        )
        spent = rows[["seconds_decode", "seconds_detect", "seconds_track"]].sum()
        assert [worker.shares()[stage] for stage in ("decode", "detect", "track")] == pytest.approx(
            list(spent / spent.sum()) if spent.sum() else []
        )
    assert [row["video_path"] for row in run.failures] == ["b.mp4", "a.mp4"]
    assert run.workers["1"].gpu == "1"


def test_a_worker_shows_its_running_video_until_that_is_done() -> None:
    run = RunState(3)
    run.report(progress("a.mp4", gpu="0", gpu_mb=100.0, thumbnail=b"picture"))
    worker = run.workers["0"]
    assert worker.rate == 2.0
    assert worker.shares() == {"decode": 0.25, "detect": 0.75, "track": 0, "encode": 0, "write": 0}
    run.report(progress("a.mp4", frames=104, seconds=12.0, gpu_mb=90.0))
    assert 8 < worker.rate < 10  # ten frames a second for the last ten seconds
    assert (worker.peak_gpu_mb, worker.thumbnail) == (100.0, (b"picture", "a.mp4"))
    run.finish(video_row(sample_result("a.mp4")))
    assert worker.now is None
    run.report(progress("a.mp4", frames=8))  # sent before the outcome, here after it
    assert worker.now is None
    run.report(progress("b.mp4"))
    run.report(progress("b.mp4", frames=1, seconds=0.5))  # the video began anew
    assert worker.now is not None
    assert worker.now.frames == 1
    run.end("done")
    assert (worker.now, run.ended, run.left_s) == (None, "done", None)
