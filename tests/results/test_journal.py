from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from samples import CONFIG, sample_failure, sample_result
from small_disk import small_disk

from trackkit.core.errors import ConfigError, ResultsError
from trackkit.core.tasks import VideoTask
from trackkit.results.journal import Journal
from trackkit.results.jsonl_line import encode_result
from trackkit.tracking_results import read_jsonl
from trackkit.video import fingerprint
from trackkit.video.fingerprint import content_key
from trackkit.video.inputs import make_task


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "tracks.jsonl"


def test_outcomes_are_on_disk_one_by_one(path: Path) -> None:
    with Journal(path, CONFIG) as journal:
        assert not journal.is_done(sample_result().task)
        journal.write(sample_result())
        assert len(read_jsonl(path)) == 1
        journal.write(sample_failure())
        assert len(read_jsonl(path)) == 2


def test_a_video_that_changed_is_not_done(path: Path) -> None:
    with Journal(path, CONFIG) as journal:
        journal.write(sample_result())
    task = sample_result().task
    with Journal(path, CONFIG) as journal:
        assert journal.is_done(task)
        assert not journal.is_done(VideoTask(task.video_path, task.source, None, 1001, task.mtime_ns))
        assert not journal.is_done(VideoTask(task.video_path, task.source, None, 1000, 1))
        assert not journal.is_done(sample_failure().task)


def test_a_video_that_was_only_touched_is_done(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "KEY_BYTES", 10)
    video = tmp_path / "video.mp4"
    data = bytes(range(100))
    video.write_bytes(data)
    done = make_task(video)
    with Journal(path, CONFIG) as journal:
        journal.write(replace(sample_result(), task=done))

    def is_done_with(data: bytes, mtime_ns: int) -> bool:
        video.write_bytes(data)
        os.utime(video, ns=(mtime_ns, mtime_ns))
        with Journal(path, CONFIG) as journal:
            return journal.is_done(journal.recognize(make_task(video)))

    later = done.mtime_ns + 10**9
    assert is_done_with(data, later)
    assert not is_done_with(data + b"x", later)
    for place in (0, 55, 99):  # the head, the middle, the tail
        assert not is_done_with(data[:place] + b"x" + data[place + 1 :], later)
    assert content_key(make_task(tmp_path)) is None
    assert content_key(done) is None  # the file is another one by now


@pytest.mark.parametrize("cut", [1, 10, 300])
def test_a_torn_last_line_is_kept_aside(path: Path, cut: int) -> None:
    line = encode_result(sample_result(), CONFIG)
    torn = encode_result(sample_result("torn.mp4"), CONFIG)[:-cut]
    path.parent.mkdir()
    path.write_bytes(line + torn)
    with Journal(path, CONFIG) as journal:
        assert "cut short" in journal.notes[0]
        assert journal.is_done(sample_result().task)
        assert not journal.is_done(sample_result("torn.mp4").task)
        journal.write(sample_result("torn.mp4"))
    assert len(read_jsonl(path)) == 2
    assert path.with_name("tracks.jsonl.torn").read_bytes() == torn + b"\n"


def test_other_options_are_refused_with_the_difference(path: Path) -> None:
    with Journal(path, CONFIG) as journal:
        journal.write(sample_result())
    with pytest.raises(ResultsError, match=r"box_threshold: 0.35 there, 0.5 now"):
        Journal(path, CONFIG.replace(box_threshold=0.5))
    with Journal(path, CONFIG.replace(box_threshold=0.5), resume=False) as journal:
        assert "kept as" in journal.notes[0]
        assert not journal.is_done(sample_result().task)
        journal.write(sample_failure())
    (backup,) = path.parent.glob("tracks.jsonl.*.bak")
    assert len(read_jsonl(backup)) == 1


@pytest.mark.parametrize("resume", [True, False])
def test_a_run_that_ends_before_its_first_outcome_changes_no_file(path: Path, resume: bool) -> None:
    with Journal(path, CONFIG) as journal:
        journal.write(sample_result())
        journal.write(sample_failure())
    with path.open("ab") as file:
        file.write(b"cut sho")
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    with Journal(path, CONFIG, resume=resume) as journal:
        assert journal.notes
        assert journal.is_done(sample_result().task) == resume
        assert len(list(journal.read([sample_result().task] if resume else []))) == resume
        assert len(journal.read_failed()) == resume
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before
    with Journal(path, CONFIG, resume=resume) as journal:
        journal.write(sample_result("new.mp4"))
    assert len(read_jsonl(path)) == 1 + 2 * resume  # what was there, and its failure, too
    kept = [file for file in path.parent.iterdir() if file not in before]
    assert [file.suffix for file in kept] == [".torn"] if resume else [".bak", ".bak"]


def test_a_run_that_never_began_leaves_no_file(path: Path) -> None:
    with Journal(path, CONFIG):
        pass
    assert list(path.parent.iterdir()) == []


def test_a_file_of_something_else_is_not_touched(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"hello": 1}\n')
    with pytest.raises(ResultsError, match=r"line 1 begins with .*hello"):
        Journal(path, CONFIG)
    assert path.read_text() == '{"hello": 1}\n'


def test_wrong_places_and_names(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="frames, objects"):
        Journal(tmp_path / "x.jsonl", CONFIG, layout="rows")
    with pytest.raises(ResultsError, match="cannot be written"):
        Journal(tmp_path, CONFIG)


def test_a_file_that_is_gone_in_mid_run(path: Path) -> None:
    with Journal(path, CONFIG) as journal:
        journal.write(sample_result())
        aside = path.rename(path.with_name("moved.jsonl"))
        with pytest.raises(ResultsError, match="bring the file back"):
            journal.write(sample_result("lost.mp4"))
        path.write_text("")
        with pytest.raises(ResultsError, match="another file has its name"):
            journal.write(sample_result("lost.mp4"))
        aside.rename(path)
        journal.write(sample_result("late.mp4"))
        shutil.rmtree(path.parent)
        with pytest.raises(ResultsError, match=r"tracks\.failures\.jsonl cannot be written"):
            journal.write(sample_failure())


def test_an_interrupt_in_mid_line_leaves_whole_lines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(file: int) -> None:
        raise KeyboardInterrupt

    with Journal(path, CONFIG) as journal:
        journal.write(sample_result())
        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", interrupt)
            with pytest.raises(KeyboardInterrupt):
                journal.write(sample_result("cut.mp4"))
    assert len(read_jsonl(path)) == 1


def test_a_full_disk_leaves_whole_lines(path: Path) -> None:
    written = 0
    full = pytest.raises(ResultsError, match="all lines in it are whole")
    with Journal(path, CONFIG) as journal, full, small_disk():
        for written in range(100):
            journal.write(sample_result(f"{written}.mp4"))
    assert written > 1
    assert len(read_jsonl(path)) == written
