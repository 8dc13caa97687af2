"""From what the user names (a list file, paths, a folder) to the tasks of a run."""

from __future__ import annotations

import codecs
import csv
import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from trackkit.core.errors import ConfigError, VideoOpenError
from trackkit.core.tasks import VideoFailure, VideoTask
from trackkit.core.words import plural
from trackkit.video.fingerprint import FileState
from trackkit.video.listing import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    Listing,
    endings,
    is_hidden,
    is_resource_fork,
)
from trackkit.video.names import natural_sorted, output_video_name

LIST_SUFFIXES = frozenset({".txt", ".lst", ".list"})
_TABLE_SUFFIXES = frozenset({".csv", ".tsv"})
# What is text with these endings is no list; part.264 may be one, from `split`.
_NO_LISTS = IMAGE_SUFFIXES | {".m3u", ".m3u8", ".mpd"} | {s for s in VIDEO_SUFFIXES if not s[1:].isdigit()}
_LIST_EXPECTED = "expected a text file (.txt, .lst, .list) with one path a line"
_HEAD_BYTES = 1 << 16


Videos = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


@dataclass(frozen=True, slots=True)
class FoundVideos:
    """What the user has named.

    Attributes:
        names: Paths of the videos.
        notes: What lies beside them and was left out, for the user to see.
    """

    names: list[str]
    notes: tuple[str, ...] = ()


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
    return _from_list(_lines(path), path.parent)


def _lines(path: Path) -> list[str]:
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
    return names


def _from_list(names: list[str], folder: Path) -> list[str]:
    if folder in (Path(), Path.cwd()):
        return names
    return [_from_folder(name, folder) for name in names]


def _from_folder(name: str, folder: Path) -> str:
    if os.path.isabs(name):  # noqa: PTH117 - plain strings: lists have 100,000 lines
        return name
    beside_list = os.path.join(folder, name)  # noqa: PTH118
    return name if os.path.exists(name) and not os.path.exists(beside_list) else beside_list  # noqa: PTH110


def find_videos(videos: Videos) -> list[str]:
    """The paths of :func:`look_for_videos`."""
    return look_for_videos(videos).names


def look_for_videos(videos: Videos) -> FoundVideos:
    """Resolve what the user names to paths.

    In folders and by patterns, hidden files are left out, and so is what systems put there (``._a.mkv`` of
    macOS, ``Thumbs.db``, ``@eaDir``). Names are in natural order: ``clip2`` before ``clip10``.

    Args:
        videos: A list file (``.txt``, ``.lst``, ``.list``; a text file of another ending, if its lines are
            paths that exist; a ``.csv`` or ``.tsv`` of one column), a video, a folder of numbered images (one
            video), a folder of videos (each of them), a pattern such as ``"clips/*.mp4"``, or any iterable of
            paths.

    Raises:
        ConfigError: Nothing is named, or a text file is no list.
    """
    if not isinstance(videos, str | os.PathLike):
        names = [os.fspath(video) for video in videos]
        if not names:
            msg = "no videos were given: expected a list file, paths, a folder or a pattern"
            raise ConfigError(msg)
        return _without_forks(names)
    name, path = os.fspath(videos), Path(videos)
    if os.path.isdir(name):  # noqa: PTH112 - Path.is_dir raises where a folder above is closed
        return _in_folder(name)
    if path.suffix.lower() in LIST_SUFFIXES:
        return _without_forks(read_video_list(path))
    if glob.has_magic(name) and not os.path.lexists(name):
        return _by_pattern(name)
    if path.suffix.lower() not in _NO_LISTS and _is_text(name):
        return _unknown_list(path)
    return FoundVideos([name])


def _in_folder(name: str) -> FoundVideos:
    try:
        listing = Listing.of(name)
    except OSError:
        return FoundVideos([name])  # its reader says why
    if listing.videos:
        # As many images as videos, or fewer, are thumbnails of them.
        images = ["images"] if len(listing.images) > len(listing.videos) else []
        left_out = listing.left_out("others", *images, "folders")
        found = plural(len(listing.videos), "video")
        note = f"{name}: {found}, by the endings of the names; left out: {left_out}"
        inside = [os.path.join(name, each) for each in listing.videos]  # noqa: PTH118
        return FoundVideos(inside, (note,) if left_out else ())
    if listing.images:
        return FoundVideos([name])
    left_out = listing.left_out("others", "folders")
    only = f", only {left_out}" if left_out else ""
    what = f"has neither videos nor images in it{only}" if os.listdir(name) else "is empty"  # noqa: PTH208
    deeper = (
        f". For the folders in it, give a pattern: '{name}/*' if each holds images, else '{name}/*/*.mp4'"
    )
    msg = (
        f"folder {name} {what}: expected videos (.mp4, .mkv and other endings of videos), or numbered images "
        f"({endings(IMAGE_SUFFIXES)}){deeper if listing.folders else ''}"
    )
    raise ConfigError(msg)


def _by_pattern(name: str) -> FoundVideos:
    found = natural_sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - keeps the user's spelling
    asked = [part for part in Path(name).parts if is_hidden(part)]
    seen = [each for each in found if not any(_is_unasked(part, asked) for part in Path(each).parts)]
    if not seen:
        msg = f"pattern {name!r} matches no file: check it from the folder {Path.cwd()}"
        raise ConfigError(msg)
    found_videos = _without_forks(seen)
    images = sum(Path(each).suffix.lower() in IMAGE_SUFFIXES for each in found_videos.names)
    if images < 2:
        return found_videos
    note = f"{name}: {images} images, each a video of its own; for one video of them all, name their folder"
    return FoundVideos(found_videos.names, (*found_videos.notes, note))


def _is_unasked(part: str, asked: list[str]) -> bool:
    return is_hidden(part) and part not in (".", "..") and not any(fnmatch(part, each) for each in asked)


def _without_forks(names: list[str]) -> FoundVideos:
    """Leave out what macOS writes beside each file on other file systems; lists are made by ``find``."""
    forks = [name for name in names if is_resource_fork(name)]
    if not forks or len(forks) == len(names):
        return FoundVideos(names)
    files = plural(len(forks), "file")
    note = f"left out: {files} that macOS has put beside others ({forks[0]}), without a video"
    return FoundVideos([name for name in names if name not in set(forks)], (note,))


def _is_text(name: str) -> bool:
    """Whether a file begins as text in UTF-8 does: no video does so for 64 KiB, or to its end."""
    try:
        if not os.path.isfile(name):  # noqa: PTH113 - a pipe would be waited for
            return False
        with open(name, "rb") as file:  # noqa: PTH123
            head = file.read(_HEAD_BYTES)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # reading it says what is wrong
            return True
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except (OSError, ValueError):
        return False
    return bool(text.strip()) and all(char >= " " or char in "\t\n\r\f" for char in text)


def _unknown_list(path: Path) -> FoundVideos:
    """A text file that does not say by its ending that it is a list: it is one if its lines are there.

    Raises:
        ConfigError: It is none.
    """
    lines = _lines(path)
    if path.suffix.lower() in _TABLE_SUFFIXES:
        return _table(path, lines)
    names = _from_list(lines, path.parent)
    if any(map(_exists, names)):
        return _without_forks(names)
    msg = (
        f"{path} is text, not a video, and no list of videos: its first line, {lines[0][:80]!r}, is no path "
        f"that is there, nor is any other; {_LIST_EXPECTED}"
    )
    raise ConfigError(msg)


def _table(path: Path, lines: list[str]) -> FoundVideos:
    delimiter = max("\t,;", key=lines[0].count)
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    if max(map(len, rows)) > 1 and not all(map(_exists, _from_list(lines, path.parent)[1:])):
        msg = f"{path} is a table of {max(map(len, rows))} columns: {_LIST_EXPECTED}. "
        raise ConfigError(msg + _how_to_cut(path, rows, delimiter))
    cells = lines if max(map(len, rows)) > 1 else [row[0] for row in rows]  # else names with commas in them
    names = _from_list(cells, path.parent)
    if _exists(names[0]) or not any(map(_exists, names)):
        return _without_forks(names)
    found = _without_forks(names[1:])
    note = f"{path}: its first line, {cells[0]!r}, is taken for the heading of the column"
    return FoundVideos(found.names, (note, *found.notes))


def _how_to_cut(path: Path, rows: list[list[str]], delimiter: str) -> str:
    """How to make a list of the column that has paths in it."""
    columns = range(min(map(len, rows)))
    column = next((k for k in columns if _exists(_from_folder(rows[-1][k], path.parent))), 0)
    heading, of = rows[0][column], "" if delimiter == "\t" else f" -d{delimiter!r}"
    made = path.with_suffix(".txt")  # beside it, as paths count from there
    return (
        f"Make one of column {column + 1} ({heading!r}): cut{of} -f{column + 1} {path} | tail -n +2 > {made}"
        f"; or give pandas.read_csv(...)[{heading!r}] in Python"
    )


def _exists(name: str) -> bool:
    return os.path.exists(name)  # noqa: PTH110 - lists have 100,000 lines


def make_task(video: str | os.PathLike[str], output_video: str | os.PathLike[str] | None = None) -> VideoTask:
    """The task of one video that is there.

    What is there and cannot be reached (a link that leads nowhere, a closed folder) is one, too: it fails
    when it is read, and costs no other one.

    Raises:
        VideoOpenError: It is not there, or its name is not UTF-8.
    """
    name = os.fspath(video)
    source = os.path.abspath(name)  # noqa: PTH100 - normalises "..", which Path.absolute() does not
    if source != _printable(source):
        msg = f"the name is not UTF-8, and results files are: rename {_printable(source)}"
        raise VideoOpenError(msg)
    try:
        state = FileState.of(source)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        if not isinstance(error, PermissionError) and not os.path.lexists(source):
            reason = getattr(error, "strerror", None) or error
            msg = f"no such file: {source}" + ("" if isinstance(error, FileNotFoundError) else f" ({reason})")
            raise VideoOpenError(msg) from None
        state = FileState(0, 0, 0)  # a link that leads nowhere, a folder that is closed: its reader says so
    output = None if output_video is None else os.path.abspath(output_video)  # noqa: PTH100
    return VideoTask(name, source, output, state.size_bytes, state.mtime_ns)


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
        are = "is" if len(missing) == 1 else "are"
        shown = "".join(f"\n  {failure.task.video_path}" for failure in missing.values())
        msg = (
            f"{len(missing)} of {plural(len(tasks) + len(missing), 'video')} {are} missing{odd}:{shown}\n"
            "Correct the list, or go on without them: skip_missing=True, --skip-missing"
        )
        raise VideoOpenError(msg)
    return sorted(tasks.values(), key=lambda task: -task.size_bytes), list(missing.values())


def _printable(name: str) -> str:
    """The name, with what is not UTF-8 in it written out in ASCII."""
    return name.encode("utf-8", "backslashreplace").decode()
