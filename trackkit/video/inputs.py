"""From what the user names (a list file, paths, a folder) to the tasks of a run."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from trackkit.core.errors import ConfigError, VideoOpenError
from trackkit.core.tasks import VideoFailure, VideoTask
from trackkit.video.names import output_video_name

LIST_SUFFIXES = frozenset({".txt", ".lst", ".list"})
VIDEO_SUFFIXES = frozenset(
    {".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"}
    | {".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".webm", ".wmv"}
)


Videos = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def read_video_list(path: str | os.PathLike[str]) -> list[str]:
    """Read a list file: one path a line.

    Lines may end in LF or CRLF; a byte order mark, blank lines, lines that start with ``#`` and spaces
    around a path are skipped (a file whose name starts with ``#`` is written ``./#name``). A relative path
    counts from the folder of the list; where nothing is there, from the current folder.

    Returns:
        The paths in the order of the list, repeated ones included.

    Raises:
        ConfigError: The list cannot be read, is not UTF-8, or names no video.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"video list {path} is not UTF-8 text ({error.reason} at byte {error.start}): save it as UTF-8"
        raise ConfigError(msg) from None
    except OSError as error:
        msg = f"video list {path} cannot be read ({error.strerror}): check the path"
        raise ConfigError(msg) from None
    # Not splitlines(): it also breaks at characters that are allowed in file names.
    lines = [line.strip(" \t\r\ufeff") for line in text.split("\n")]
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        msg = f"video list {path} names no video: expected one path a line"
        raise ConfigError(msg)
    folder = path.parent
    if folder in (Path(), Path.cwd()):
        return names
    return [_from_folder(name, folder) for name in names]


def _from_folder(name: str, folder: Path) -> str:
    if os.path.isabs(name):  # noqa: PTH117 - plain strings: lists have 100,000 lines
        return name
    beside_list = os.path.join(folder, name)  # noqa: PTH118
    return name if os.path.exists(name) and not os.path.exists(beside_list) else beside_list  # noqa: PTH110


def find_videos(videos: Videos) -> list[str]:
    """Resolve what the user names to a list of paths.

    Args:
        videos: A list file (``.txt``, ``.lst``, ``.list``), a video, a folder of numbered images (one video),
            a folder of videos (each of them), a pattern such as ``"clips/*.mp4"``, or any iterable of paths.

    Raises:
        ConfigError: Nothing is named.
    """
    if not isinstance(videos, str | os.PathLike):
        names = [os.fspath(video) for video in videos]
        if not names:
            msg = "no videos were given: expected a list file, paths, a folder or a pattern"
            raise ConfigError(msg)
        return names
    name, path = os.fspath(videos), Path(videos)
    if path.suffix.lower() in LIST_SUFFIXES:
        return read_video_list(path)
    if path.is_dir():
        inside = sorted(str(p) for p in path.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
        return inside or [name]
    if glob.has_magic(name) and not path.exists():
        found = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - keeps the user's spelling
        if not found:
            msg = f"pattern {name!r} matches no file: check it from the folder {Path.cwd()}"
            raise ConfigError(msg)
        return found
    return [name]


def make_task(video: str | os.PathLike[str], output_video: str | os.PathLike[str] | None = None) -> VideoTask:
    """The task of one video that is there.

    Raises:
        VideoOpenError: It is not there, or its name is not UTF-8.
    """
    name = os.fspath(video)
    source = os.path.abspath(name)  # noqa: PTH100 - normalises "..", which Path.absolute() does not
    if source != _printable(source):
        msg = f"the name is not UTF-8, and results files are: rename {_printable(source)}"
        raise VideoOpenError(msg)
    try:
        stat = os.stat(source)  # noqa: PTH116
    except (OSError, ValueError):  # ValueError: a NUL in the name
        msg = f"no such file: {source}"
        raise VideoOpenError(msg) from None
    size = stat.st_size
    if os.path.isdir(source):  # noqa: PTH112
        size = sum(entry.stat().st_size for entry in os.scandir(source))
    output = None if output_video is None else os.path.abspath(output_video)  # noqa: PTH100
    return VideoTask(name, source, output, size, stat.st_mtime_ns)


def make_tasks(
    videos: Videos, *, output_video_dir: str | os.PathLike[str] | None = None, skip_missing: bool = False
) -> tuple[list[VideoTask], list[VideoFailure]]:
    """The tasks of a run, largest source first so that none of the long ones is left for the end.

    A video that is named twice is tracked once.

    Returns:
        The tasks, and with ``skip_missing`` a failure for every video that is not there.

    Raises:
        ConfigError: Nothing is named.
        VideoOpenError: Videos are missing and ``skip_missing`` is not set; the message names every one.
    """
    folder = None if output_video_dir is None else Path(output_video_dir).absolute()
    tasks: dict[str, VideoTask] = {}
    missing: dict[str, VideoFailure] = {}
    for name in find_videos(videos):
        source = os.path.abspath(name)  # noqa: PTH100
        if source in tasks or source in missing:
            continue
        output = None if folder is None else folder / output_video_name(source)
        try:
            tasks[source] = make_task(name, output)
        except VideoOpenError as error:
            task = VideoTask(_printable(name), _printable(source))
            missing[source] = VideoFailure(task, VideoOpenError.__name__, str(error), attempts=0)
    if missing and not skip_missing:
        odd = ", or not named in UTF-8" if any("UTF-8" in f.message for f in missing.values()) else ""
        shown = "".join(f"\n  {failure.task.video_path}" for failure in missing.values())
        msg = (
            f"{len(missing)} of {len(tasks) + len(missing)} videos are missing{odd}:{shown}\n"
            "Correct the list, or go on without them: skip_missing=True, --skip-missing"
        )
        raise VideoOpenError(msg)
    return sorted(tasks.values(), key=lambda task: -task.size_bytes), list(missing.values())


def _printable(name: str) -> str:
    """The name, with what is not UTF-8 in it written out in ASCII."""
    return name.encode("utf-8", "backslashreplace").decode()
