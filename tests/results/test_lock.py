from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from samples import CONFIG, sample_result

from trackkit.core.errors import ResultsError
from trackkit.results.journal import Journal
from trackkit.results.lock import FileLock, held_by

HOLD = """
import pathlib, sys
from trackkit.results.lock import FileLock
lock = FileLock(pathlib.Path(sys.argv[1]))
print(1, flush=True)
input()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tracks.jsonl"


def test_a_second_run_is_refused_until_the_first_is_killed(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.read(1) == b"1"
        assert held_by(path) is not None
        with pytest.raises(ResultsError, match=rf"tracks.jsonl is being written .*pid {other.pid} on"):
            Journal(path, CONFIG)
        other.send_signal(signal.SIGKILL)
    assert held_by(path) is None
    with Journal(path, CONFIG) as journal:
        journal.write(sample_result())


def test_a_run_that_ends_leaves_no_lock(path: Path) -> None:
    with Journal(path, CONFIG):
        link = path.with_name("link.jsonl")
        link.symlink_to(path)
        with pytest.raises(ResultsError, match=f"pid {os.getpid()}"):
            Journal(link, CONFIG)  # another name of the same file
        with pytest.raises(ResultsError, match="another run"):
            Journal(path, CONFIG, resume=False)
    assert list(path.parent.iterdir()) == [link]


def test_a_run_that_cannot_begin_leaves_no_lock(path: Path) -> None:
    path.write_text('{"hello": 1}\n')
    with pytest.raises(ResultsError, match="line 1"):
        Journal(path, CONFIG)
    assert held_by(path) is None
    assert [p.name for p in path.parent.iterdir()] == ["tracks.jsonl"]


def test_a_lock_that_was_removed_meanwhile_is_not_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, take = FileLock(path), fcntl.flock

    def late(file: object, how: int) -> None:
        first.release()  # between opening and locking
        take(file, how)  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "flock", late)
    second = FileLock(path)
    assert held_by(path) is not None
    second.release()


def test_a_folder_without_locks_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: object, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with Journal(path, CONFIG) as journal:
        assert "no file locks" in journal.notes[0]
