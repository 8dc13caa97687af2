"""How a run stands, told by events: the counts, and what a terminal and a page make of them."""

from __future__ import annotations

import dataclasses
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console
from samples import sample_failure, sample_objects, sample_result

import trackkit as tk
from trackkit.cli.track import summary_table
from trackkit.monitor.displays import TerminalDisplay
from trackkit.monitor.events import read_progress
from trackkit.monitor.html import run_html, thumbnails_html
from trackkit.monitor.run_state import RunState
from trackkit.results.video_result import video_row


def progress(
    video: str, worker: str = "0", frames: int = 4, seconds: float = 2.0, **more: object
) -> tk.Progress:
    parts = {"decode": seconds / 4, "detect": 3 * seconds / 4}
    return tk.Progress(video, worker, frames, 8, 2, parts, **more)  # type: ignore[arg-type]


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


def test_progress_survives_the_way_through_an_event() -> None:
    sent = progress("a.mp4", notes=("one",), thumbnail=b"x", gpu_mb=1.5)
    fields = dataclasses.asdict(sent)
    assert read_progress({**fields, "notes": list(fields["notes"])}) == sent


def test_nothing_from_outside_becomes_markup() -> None:
    evil = "<script>\"'&</script>"
    run = RunState(2, prompt=evil)
    run.report(progress(evil, worker=evil, gpu=evil, thumbnail=b"x"))
    page = run_html(run, {evil + "2"}) + thumbnails_html(run)
    failure = dataclasses.replace(sample_failure(evil), message=evil, worker=evil)
    run.finish(video_row(failure))
    run.finish(video_row(dataclasses.replace(sample_result(evil), worker=evil, truncated=evil)))
    run.end(evil)
    page += run_html(run)

    tags, texts = set(), []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.add(tag)
            assert {name for name, _ in attrs} <= {
                "class",
                "style",
                "title",
                "src",
                "alt",
                "data-worker",
                "data-column",
            }

        def handle_data(self, data: str) -> None:
            texts.append(data)

    Reader().feed(page)
    assert "script" not in tags
    assert sum(evil in text for text in texts) >= 6


def test_gpu_memory_is_shown_where_there_is_a_gpu() -> None:
    run = RunState(2)
    run.report(progress("a.mp4"))
    assert "GPU" not in run_html(run)
    run.report(progress("b.mp4", worker="1", gpu="0", gpu_mb=3584.0))
    page = run_html(run)
    assert "<th>GPU memory</th>" in page
    assert re.findall(r'data-column="GPU memory">(.*?)</td>', page) == ["", "3.5 GiB"]
    assert "1 (GPU 0)" in page


def test_thumbnails_are_small_and_seldom() -> None:
    import cv2

    from trackkit.monitor.thumbnails import Thumbnails

    objects = sample_objects(3, [1, 2])
    large = dataclasses.replace(
        objects, frame=tk.Frame(np.full((1200, 900, 3), 200, np.uint8), 3, 0.1), rles=None
    )
    thumbnails = Thumbnails()
    first = thumbnails.add(progress("a.mp4", latest=large))
    second = thumbnails.add(progress("a.mp4", latest=large))
    assert first.thumbnail is not None
    assert len(first.thumbnail) < 20_000
    assert cv2.imdecode(np.frombuffer(first.thumbnail, np.uint8), cv2.IMREAD_COLOR).shape == (320, 240, 3)
    assert second.thumbnail is first.latest is second.latest is None


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
