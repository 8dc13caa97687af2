"""What a page shows of a run."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

from reports import progress
from samples import sample_failure, sample_result

from trackkit.monitor.html import run_html, thumbnails_html
from trackkit.monitor.run_state import RunState
from trackkit.results.video_result import video_row


def test_nothing_from_outside_becomes_markup() -> None:
    evil = "<script>\"'&</script>"
    run = RunState(2, prompt=evil)
    run.notes.append(evil)
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
