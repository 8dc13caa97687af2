from __future__ import annotations

import os
from pathlib import Path

import pytest

from trackkit.config import TrackConfig
from trackkit.core.errors import ConfigError, VideoOpenError
from trackkit.results.jsonl_line import encode_failure
from trackkit.video.inputs import find_videos, make_task, make_tasks, read_video_list


def test_a_list_with_everything_in_it(clips: Path) -> None:
    text = (
        "\ufeff# comment\r\n\r\na/car.mp4\r\n  b/car.mp4 \t\r\nstraße 東京.mkv\n./#odd.mp4\n\n a/../a/car.mp4"
    )
    (clips / "list.txt").write_bytes(text.encode())
    names = read_video_list("list.txt")
    assert names == ["a/car.mp4", "b/car.mp4", "straße 東京.mkv", "./#odd.mp4", "a/../a/car.mp4"]
    tasks, failures = make_tasks("list.txt")
    assert not failures
    assert [task.video_path for task in tasks] == ["a/car.mp4", "straße 東京.mkv", "b/car.mp4", "./#odd.mp4"]
    assert all(os.path.isabs(task.source) for task in tasks)  # noqa: PTH117


def test_relative_paths_count_from_the_list_then_from_here(
    clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clips / "a" / "list.txt").write_text("car.mp4\nb/car.mp4\ngone.mp4\n")
    names = read_video_list("a/list.txt")
    assert names == ["a/car.mp4", "b/car.mp4", "a/gone.mp4"]
    monkeypatch.chdir(clips / "b")
    assert read_video_list(clips / "a" / "list.txt")[0] == str(clips / "a" / "car.mp4")


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"# nothing\n\n", "names no video"), (b"\xff\xfe\x00a", "not UTF-8"), (None, "cannot be read")],
)
def test_a_list_that_is_none(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        read_video_list(path)


def test_one_error_names_every_missing_video(clips: Path) -> None:
    with pytest.raises(VideoOpenError) as caught:
        make_tasks(["a/car.mp4", "x.mp4", "y\0.mp4", "x.mp4"])
    assert "2 of 3 videos are missing" in str(caught.value)
    assert "\n  x.mp4\n  y\0.mp4" in str(caught.value)
    tasks, failures = make_tasks(["a/car.mp4", "x.mp4"], skip_missing=True)
    assert [task.video_path for task in tasks] == ["a/car.mp4"]
    assert [(f.task.video_path, f.error_type, f.attempts) for f in failures] == [
        ("x.mp4", "VideoOpenError", 0)
    ]


def test_a_name_that_is_not_utf8_is_refused(clips: Path) -> None:
    odd = os.fsdecode(bytes(clips) + b"/caf\xe9.mp4")
    Path(odd).write_bytes(b"x")
    with pytest.raises(VideoOpenError, match=r"not named in UTF-8:\n.*caf\\udce9\.mp4"):
        make_tasks([odd])
    tasks, (failure,) = make_tasks([odd, "a/car.mp4"], skip_missing=True)
    assert len(tasks) == 1
    assert "rename" in failure.message
    encode_failure(failure, TrackConfig("car"))


def test_what_may_be_named(clips: Path) -> None:
    assert find_videos("a/car.mp4") == ["a/car.mp4"]
    assert find_videos("*/car.mp4") == ["a/car.mp4", "b/car.mp4"]
    assert find_videos(clips / "a") == [str(clips / "a" / "car.mp4")]
    (clips / "frames").mkdir()
    (clips / "frames" / "1.png").write_bytes(b"12345")
    assert find_videos("frames") == ["frames"]
    assert make_task("frames").size_bytes == 5
    for nothing in ([], "*.none"):
        with pytest.raises(ConfigError):
            find_videos(nothing)
