from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from samples import CONFIG, sample_result

from trackkit.cli import main as cli
from trackkit.core.errors import ResultsError
from trackkit.core.tasks import VideoFailure
from trackkit.monitor.status import read_status
from trackkit.results.journal import Journal
from trackkit.results.jsonl_line import encode_result
from trackkit.run.job import Job
from trackkit.video.inputs import make_task


@pytest.fixture
def videos(tmp_path: Path) -> list[Path]:
    """Five files: nobody opens them."""
    paths = [tmp_path / f"{k}.mp4" for k in range(5)]
    for path in paths:
        path.write_bytes(b"x")
    return paths


@pytest.fixture
def path(tmp_path: Path, videos: list[Path]) -> Path:
    """Results of a run: 0 is done, 1 failed and was done then, 2 and 3 failed, 4 is left."""
    with Journal(tmp_path / "tracks.jsonl", CONFIG) as journal:
        journal.write(replace(sample_result(), task=make_task(videos[0]), worker="1"))
        for k, kind in ((1, "VideoOpenError"), (2, "VideoOpenError"), (3, "KilledWorker")):
            journal.write(VideoFailure(make_task(videos[k]), kind, f"[bold] went wrong in {k}"))
        journal.write(replace(sample_result(), task=make_task(videos[1]), truncated=None))
    return journal.path


def test_status_counts(path: Path, videos: list[Path]) -> None:
    status = read_status(path, [*videos, path.with_name("missing.mp4")])
    assert (status.done, status.truncated, status.left) == (2, 1, 2)
    assert status.failed == {"VideoOpenError": 1, "KilledWorker": 1}
    assert status.examples["KilledWorker"] == "[bold] went wrong in 3"
    assert status.videos_per_hour == pytest.approx(3600 * 2 / 0.7)  # two workers, 0.7 s a video
    assert status.writer is None
    os.utime(videos[0], ns=(1, 1))  # touched: resume would skip it, too
    os.utime(videos[2], ns=(1, 1))
    assert read_status(path, videos).left == 2


def test_status_of_a_run_that_goes_on(path: Path, videos: list[Path]) -> None:
    with Journal(path, CONFIG):
        with path.open("ab") as file:
            file.write(encode_result(sample_result("new.mp4"), CONFIG)[:-20])
        status = read_status(path)
    assert (status.done, status.left) == (2, None)
    assert status.writer is not None and f"pid {os.getpid()}" in status.writer


def test_several_runs_add_up(
    path: Path, videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.jsonl"
    with Journal(other, CONFIG) as journal:
        for k in (0, 2):  # 0 is done in both, 2 failed in the other
            journal.write(replace(sample_result(), task=make_task(videos[k]), worker="1"))
    status = read_status([path, other], videos)
    assert (status.done, sum(status.failed.values()), status.left) == (3, 1, 1)
    assert cli.main(["status", *map(str, sorted(tmp_path.glob("*.jsonl")))]) == 0  # those of failures, too
    out = capsys.readouterr().out
    assert f"{path}: 2 done, 2 failed\n" in out
    assert f"{other}: 2 done, 0 failed\n" in out
    assert "2 runs together" in out


def test_status_of_what_is_no_results_file(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="is not there"):
        read_status(tmp_path / "none.jsonl")
    other = tmp_path / "other.jsonl"
    other.write_text('{"hello": 1}\n')
    with pytest.raises(ResultsError, match="line 1"):
        read_status(other)
    (tmp_path / "other.failures.jsonl").write_text("{}\n")
    other.unlink()
    with pytest.raises(ResultsError, match=r"other\.failures\.jsonl, line 1"):
        read_status(other)


def test_failed_videos_are_tried_again_unless_they_are_skipped(path: Path, videos: list[Path]) -> None:
    missing = path.with_name("missing.mp4")
    with Job([*videos, missing], CONFIG, output_jsonl=path, skip_missing=True) as job:
        assert {task.video_path for task in job.tasks} == {str(videos[k]) for k in (2, 3, 4)}
        job.record(job.missing[0])
    with Job([*videos, missing], CONFIG, output_jsonl=path, skip_missing=True, skip_failed=True) as job:
        assert [task.video_path for task in job.tasks] == [str(videos[4])]
        assert job.missing == []
        assert {f.task.video_path for f in job.failed} == {str(v) for v in (videos[2], videos[3], missing)}
        assert len(list(job.read_done())) == 5
    videos[2].write_bytes(b"repaired")
    with Job(videos, CONFIG, output_jsonl=path, skip_failed=True) as job:
        assert {task.video_path for task in job.tasks} == {str(videos[k]) for k in (2, 4)}


def test_failures_with_other_options_are_not_skipped(tmp_path: Path, videos: list[Path]) -> None:
    with Journal(tmp_path / "t.jsonl", CONFIG.replace(box_threshold=0.9)) as journal:
        journal.write(VideoFailure(make_task(videos[0]), "VideoOpenError", "so it was"))
    with Job(videos[:1], CONFIG, output_jsonl=tmp_path / "t.jsonl", skip_failed=True) as job:
        assert len(job.tasks) == 1


def test_the_commands(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list.txt").write_text("2.mp4\n3.mp4\n")
    words = ["--video-list", str(tmp_path / "list.txt")]
    assert cli.main(["status", str(path), *words]) == 0
    out = capsys.readouterr().out
    for word in (
        "2, 1 of them truncated",
        "KilledWorker",
        "[bold] went wrong in 3",
        "left",
        "videos a second while it ran",
    ):
        assert word in out
    assert cli.main(["status", str(tmp_path / "none.jsonl")]) == 2
    track = ["track", "--skip-failed", "--output-jsonl", str(path), *words]
    assert cli.main([*track, "--preset", "color", "--text-prompt", CONFIG.text_prompt]) == 1
    out = capsys.readouterr().out
    assert "2 videos failed before: skipped" in out
    assert "nothing to do: every video is done or failed" in out


def test_a_torn_line_of_the_failures_is_left_out(path: Path) -> None:
    with path.with_name("tracks.failures.jsonl").open("ab") as file:
        file.write(b'{"schema_version":1,')
    assert sum(read_status(path).failed.values()) == 2
    with Journal(path, CONFIG) as journal:  # repairs it
        assert len(journal.read_failed()) == 2
