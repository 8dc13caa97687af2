from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from clips import make_video

from trackkit.config import TrackConfig
from trackkit.core.errors import ConfigError, VideoDecodeError, VideoOpenError
from trackkit.results.jsonl_line import encode_failure
from trackkit.video.inputs import find_videos, look_for_videos, make_task, make_tasks, read_video_list
from trackkit.video.reader import VideoReader


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


FORK = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X"


def notes_of(videos: Any) -> str:
    return "\n".join(look_for_videos(videos).notes)


class TestFolders:
    def test_every_ending_of_a_video_and_a_note_on_others(self, tmp_path: Path) -> None:
        for name in ("b10.MKV", "b9.3gp", "a.asf", "c.ts", "r.rmvb"):
            (tmp_path / name).touch()
        for name in ("a.srt", "a.json", "list.txt", "a.jpg", "._a.asf", ".hidden.mp4", "Thumbs.db", "a.wav"):
            (tmp_path / name).touch()
        (tmp_path / "@eaDir").mkdir()
        names = ["a.asf", "b9.3gp", "b10.MKV", "c.ts", "r.rmvb"]
        assert find_videos(tmp_path) == [str(tmp_path / name) for name in names]
        assert notes_of(tmp_path) == ""  # nobody misses those
        (tmp_path / "d.r3d").touch()
        (tmp_path / "more.mp4").mkdir()
        for i in range(9):
            (tmp_path / f"{i}.png").touch()
        assert find_videos(tmp_path) == [str(tmp_path / name) for name in names]
        for words in ("5 videos", "1 file (d.r3d)", "10 images (0.png, ...)", "1 folder (more.mp4)"):
            assert words in notes_of(tmp_path)

    def test_of_3gp_only(self, tmp_path: Path) -> None:
        (tmp_path / "a.3gp").touch()
        assert find_videos(tmp_path) == [str(tmp_path / "a.3gp")]

    def test_without_videos_and_images(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="is empty"):
            find_videos(tmp_path)
        (tmp_path / "a.braw").touch()
        with pytest.raises(ConfigError, match=r"neither videos nor images in it, only 1 file \(a.braw\)"):
            find_videos(tmp_path)
        (tmp_path / "day1").mkdir()
        with pytest.raises(ConfigError, match=r"1 folder \(day1\).*give a pattern"):
            find_videos(tmp_path)

    def test_that_is_named_as_a_list(self, tmp_path: Path) -> None:
        (tmp_path / "clips.list").mkdir()
        (tmp_path / "clips.list" / "a.mp4").touch()
        assert find_videos(tmp_path / "clips.list") == [str(tmp_path / "clips.list" / "a.mp4")]

    def test_odd_files_are_named_not_lost(self, tmp_path: Path) -> None:
        (tmp_path / "a.mp4").write_bytes(b"x")
        (tmp_path / "b.mp4").symlink_to("nowhere")
        (tmp_path / "c.mp4").symlink_to("c.mp4")
        os.mkfifo(tmp_path / "d.mp4")
        tasks, missing = make_tasks(tmp_path)
        assert sorted(Path(task.source).name for task in tasks) == ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]
        assert not missing
        frames = tmp_path / "frames"
        frames.mkdir()
        (frames / "0.png").write_bytes(b"12345")
        (frames / "1.png").symlink_to("nowhere")
        (frames / "2.png").symlink_to("2.png")
        assert make_task(frames).size_bytes == 5


class TestPatterns:
    def test_hidden_files_only_if_asked_for(self, clips: Path) -> None:
        for name in (
            "a/._car.mp4",
            "a/__MACOSX/x.mp4",
            "a/@eaDir/x.mp4",
            "a/.trash/x.mp4",
            "a/car10.mp4",
            "a/car9.mp4",
        ):
            (clips / name).parent.mkdir(exist_ok=True)
            (clips / name).write_bytes(FORK)
        seen = ["a/car.mp4", "a/car9.mp4", "a/car10.mp4"]
        assert find_videos("a/*.mp4") == seen
        assert find_videos("./a/**/*.mp4") == [f"./{name}" for name in seen]
        assert find_videos("a/.trash/*.mp4") == ["a/.trash/x.mp4"]
        assert find_videos("a/.*.mp4") == ["a/._car.mp4"]
        assert find_videos("a/@eaDir/*") == ["a/@eaDir/x.mp4"]

    def test_images_are_told_from_a_video_of_images(self, clips: Path) -> None:
        for i in range(3):
            (clips / "a" / f"{i}.png").touch()
        assert find_videos("a/?.png") == ["a/0.png", "a/1.png", "a/2.png"]
        assert "3 images, each a video of its own" in notes_of("a/?.png")
        assert notes_of("a/0*.png") == ""

    def test_name_with_brackets_that_is_there(self, clips: Path) -> None:
        (clips / "[x].mp4").touch()
        (clips / "[gone].mp4").symlink_to("nowhere")
        assert find_videos("[x].mp4") == ["[x].mp4"]
        assert find_videos("[gone].mp4") == ["[gone].mp4"]


class TestLists:
    def test_forks_are_left_out_and_hidden_files_are_not(self, clips: Path) -> None:
        (clips / "a" / "._car.mp4").write_bytes(FORK)
        (clips / "a" / ".hidden.mp4").write_bytes(b"x")
        names = ["a/._car.mp4", "a/.hidden.mp4", "a/car.mp4"]
        (clips / "list.txt").write_text("\n".join(names))
        assert find_videos("list.txt") == find_videos(names) == names[1:]
        assert "1 file that macOS" in notes_of("list.txt")
        assert find_videos("a/.hidden.mp4") == ["a/.hidden.mp4"]

    @pytest.mark.parametrize("name", ["part.0", "part.264", "videos", "l.text", "l.csv", "l.tsv", "L.LST"])
    def test_a_text_file_whose_lines_are_there(self, clips: Path, name: str) -> None:
        (clips / name).write_text("# mine\r\na/car.mp4\r\ngone.mp4\r\nb/car.mp4\r\n")
        assert find_videos(name) == ["a/car.mp4", "gone.mp4", "b/car.mp4"]
        assert notes_of(name) == ""

    def test_a_table_of_one_column(self, clips: Path) -> None:
        (clips / "a" / "x, y.mp4").write_bytes(b"x")
        (clips / "l.csv").write_text('path\n"a/car.mp4"\n"a/x, y.mp4"\n')
        assert find_videos("l.csv") == ["a/car.mp4", "a/x, y.mp4"]
        assert "'path', is taken for the heading" in notes_of("l.csv")
        (clips / "l.csv").write_text("video\na/x, y.mp4\n")  # as people write it
        assert find_videos("l.csv") == ["a/x, y.mp4"]
        (clips / "l.csv").write_text("nowhere.mp4\ngone.mp4\n")
        with pytest.raises(VideoOpenError, match="2 of 2 videos are missing"):
            make_tasks("l.csv")

    @pytest.mark.parametrize(
        ("delimiter", "cut"), [(",", "cut -d',' -f2"), ("\t", "cut -f2"), (";", "cut -d';' -f2")]
    )
    def test_a_table_of_more_columns(self, clips: Path, delimiter: str, cut: str) -> None:
        path = clips / ("l.tsv" if delimiter == "\t" else "l.csv")
        path.write_text(f"id{delimiter}video\n1{delimiter}a/car.mp4\n2{delimiter}b/car.mp4\n")
        with pytest.raises(ConfigError, match="table of 2 columns") as caught:
            find_videos(path)
        assert cut in str(caught.value) and "one path a line" in str(caught.value)

    @pytest.mark.parametrize("name", ["notes.md", "l.json", "part.9", "readme"])
    def test_other_text_is_explained(self, clips: Path, name: str) -> None:
        (clips / name).write_text('["gone.mp4",\n"away.mp4"]\n')
        with pytest.raises(ConfigError, match=r"no list of videos: its first line.*gone\.mp4") as caught:
            find_videos(name)
        assert ".txt, .lst, .list" in str(caught.value)

    def test_what_is_no_text_is_a_video(self, clips: Path) -> None:
        for i, content in enumerate(
            (b"", b"\x1a\x45\xdf\xa3", b"RIFF\0\0", "\ufeff".encode(), b"caf\xe9 mp4")
        ):
            (clips / f"clip{i}").write_bytes(content)
            assert find_videos(f"clip{i}") == [f"clip{i}"]
        (clips / "from_windows").write_text("a/car.mp4\n", encoding="utf-16")
        with pytest.raises(ConfigError, match="save it as UTF-8"):
            find_videos("from_windows")
        (clips / "live.m3u8").write_text("#EXTM3U\na/car.mp4\n")  # FFmpeg says what it is
        assert find_videos("live.m3u8") == ["live.m3u8"]
        assert find_videos("gone") == ["gone"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the rights of root, to give them up")
def test_what_may_not_be_read_is_one_failed_video() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        make_video(folder / "good.mp4", 3)
        for closed in ("list", "search"):
            (folder / closed).mkdir()
            (folder / closed / "0.png").touch()
        (folder / "closed.mp4").write_bytes(b"x")
        (folder / "closed.mp4").chmod(0)
        (folder / "list").chmod(0o111)
        (folder / "search").chmod(0o444)
        os.seteuid(65534)
        try:
            names = [str(folder / each) for each in ("good.mp4", "closed.mp4", "list", "search")]
            outcomes = {}
            for each in names:
                (task,), _ = make_tasks(each)
                try:
                    outcomes[Path(each).name] = len(list(VideoReader(task.source)))
                except (VideoOpenError, VideoDecodeError) as error:
                    outcomes[Path(each).name] = "Permission denied" in str(error)
            (inside,), _ = make_tasks([f"{folder}/search/0.png"])
            with pytest.raises(VideoOpenError, match="Permission denied"):
                VideoReader(inside.source)
        finally:
            os.seteuid(0)
        assert outcomes == {"good.mp4": 3, "closed.mp4": True, "list": True, "search": True}
