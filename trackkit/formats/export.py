"""Results as datasets of other tools; the formats are in :mod:`trackkit.formats.writers`.

What holds for every format:

- Videos are called by their file name without extension, of safe characters; where several share it, with a
  hash of the path (``car-1a2b3c4d``). ``<output>.videos.csv`` lists them, and why others failed.
- Frames keep their index in the source video, 0-based, but 1-based in MOTChallenge. Where fewer frames were
  processed than the video has, the numbers of the others do not come, or have no objects.
- Categories are the classes of the prompt in its order, from 1, whether anything was found of them or not.
- Nothing that is half written has a final name. A file replaces an older one; a folder must be new, or empty.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image as PilImage

from trackkit.config import TrackConfig
from trackkit.core.errors import ConfigError, ResultsError
from trackkit.core.files import atomic_path
from trackkit.core.tasks import VideoFailure
from trackkit.core.words import choose_one
from trackkit.formats.base import Format, Video
from trackkit.formats.writers import EXPORT_FORMATS
from trackkit.results.columns import VIDEO_DTYPES
from trackkit.results.jsonl import decode_lines, iter_failures, numbered_lines
from trackkit.results.jsonl_line import decode_config, decode_head, decode_line
from trackkit.results.video_result import Outcome, VideoResult, video_row
from trackkit.video.names import dataset_names
from trackkit.video.reader import VideoReader

_JPEG_QUALITY = 95


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export has written.

    Attributes:
        path: The file or folder.
        videos: Number of videos in it.
        rows: Number of rows of ``results.tracks`` in it: objects times the frames that they are seen in.
        list_path: CSV with a row per video, failed ones included: its name in the dataset, and the columns of
            ``results.videos``.
        frames_path: Folder of the frames, None where none were asked for.
        notes: What the user should know: what is not in it, and what the format cannot hold.
    """

    path: Path
    videos: int
    rows: int
    list_path: Path
    frames_path: Path | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportSource:
    """Results to export.

    Attributes:
        names: The name of each video in the dataset, by its source path.
        classes: Of all videos.
        notes: What the user should know of the runs.
        failures: The videos that are not in it.
        read: Gives the results one by one, each with the options of its run.
    """

    names: dict[str, str]
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    failures: tuple[VideoFailure, ...]
    read: Callable[[], Iterator[tuple[VideoResult, TrackConfig]]]

    @classmethod
    def from_outcomes(cls, outcomes: Iterable[Outcome], config: TrackConfig) -> ExportSource:
        """Results that are in memory."""
        outcomes = tuple(outcomes)
        found = [outcome for outcome in outcomes if isinstance(outcome, VideoResult)]
        return cls(
            names=dataset_names(result.task.source for result in found),
            classes=config.classes,
            notes=config.notes,
            failures=tuple(outcome for outcome in outcomes if isinstance(outcome, VideoFailure)),
            read=lambda: ((result, config) for result in found),
        )

    @classmethod
    def from_jsonl(cls, path: str | os.PathLike[str]) -> ExportSource:
        """The JSONL file of a run, which is read video by video, in bounded memory.

        The last line of a video counts; runs with different options may be in one file.

        Raises:
            ResultsError: The file cannot be read, or holds nothing.
        """
        last: dict[str, int] = {}
        classes: dict[str, None] = {}
        notes: dict[str, None] = {}
        for number, line in numbered_lines(path):
            try:
                source, config = _head(line)
            except (ResultsError, ConfigError, KeyError, TypeError) as error:
                msg = f"{path}, line {number}: {error}"
                raise ResultsError(msg) from None
            last[source] = number
            classes |= dict.fromkeys(config.classes)
            notes |= dict.fromkeys(config.notes)
        failures = {failure.task.source: failure for failure, _ in iter_failures(path)}
        if not last and not failures:
            msg = f"{path} holds no results"
            raise ResultsError(msg)
        wanted = set(last.values())
        return cls(
            names=dataset_names(last),
            classes=tuple(classes),
            notes=tuple(notes),
            failures=tuple(failure for source, failure in failures.items() if source not in last),
            read=lambda: decode_lines(path, (line for line in numbered_lines(path) if line[0] in wanted)),
        )


@dataclass(frozen=True, slots=True)
class ExportTarget:
    """Where an export goes, found free.

    Attributes:
        format: Name of the format.
        kind: What the format is.
        path: File or folder to write.
        list_path: CSV of the videos.
        frames_path: Folder of the frames, None where none are asked for.
    """

    format: str
    kind: Format
    path: Path
    list_path: Path
    frames_path: Path | None

    @classmethod
    def find(cls, path: str | os.PathLike[str], format: str, *, with_frames: bool) -> ExportTarget:
        """The places of an export, before anything is read.

        Raises:
            ConfigError: The format is unknown, or the path is not free.
        """
        if format not in EXPORT_FORMATS:
            msg = f"export format {format!r} is unknown: {choose_one(format, EXPORT_FORMATS)}"
            raise ConfigError(msg)
        kind, path = EXPORT_FORMATS[format], Path(path)
        base = path if kind.suffix is None else path.with_suffix("")
        frames_path = base.with_name(f"{base.name}_frames") if with_frames else None
        if kind.suffix is None:
            _check_folder(path, format)
        elif path.is_dir():
            msg = f"{path} is a folder: {format} is a file, such as {path / 'tracks'}{kind.suffix}"
            raise ConfigError(msg)
        if frames_path is not None:
            _check_folder(frames_path, "--with-frames")
        return cls(format, kind, path, base.with_name(f"{base.name}.videos.csv"), frames_path)


def _check_folder(path: Path, what: str) -> None:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        msg = f"{path} is there already: {what} is written to a folder, which must be new or empty"
        raise ConfigError(msg)


def export(source: ExportSource, target: ExportTarget) -> Exported:
    """Write results in a format that other tools read: see :func:`trackkit.export_results`.

    Raises:
        ConfigError: The format cannot hold these results.
        ResultsError: The JSONL file cannot be read, the output not be written, or a video has changed.
        VideoOpenError: A video is not there any more, with frames.
    """
    try:
        target.path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{target.path} cannot be written ({error.strerror}): check the folder"
        raise ResultsError(msg) from None
    with ExitStack() as files:
        part = files.enter_context(
            atomic_path(target.path)
        )  # first in, last out: it is there when all is there
        list_part = files.enter_context(atomic_path(target.list_path))
        frames_part = None
        if target.frames_path is not None:
            frames_part = files.enter_context(atomic_path(target.frames_path))
            frames_part.mkdir()
        videos = _Videos(source, target, frames_part)
        notes = [*source.notes, *target.kind.write(part, videos, source.classes)]
        rows = [*videos.listed, *({"name": "", **video_row(failure)} for failure in source.failures)]
        listed = pd.DataFrame(rows, columns=["name", *VIDEO_DTYPES]).astype({"name": "str", **VIDEO_DTYPES})
        listed.to_csv(list_part, index=False)
    meanings = {"truncated": "breaks off, in it up to there", "failed": "failed, not in it"}
    notes += [
        f"{meanings[row['status']]}: {row['video_path']}: {row['message']}"
        for row in rows
        if row["status"] in meanings
    ]
    return Exported(
        path=target.path,
        videos=len(videos.listed),
        rows=videos.rows,
        list_path=target.list_path,
        frames_path=target.frames_path,
        notes=tuple(notes),
    )


class _Videos:
    """The videos, as a format's writer takes them one by one; their frames are written on the way.

    Attributes:
        listed: The row of each that was taken, for the list of videos.
        rows: Number of rows of their tracks.
    """

    def __init__(self, source: ExportSource, target: ExportTarget, frames_part: Path | None) -> None:
        self._source, self._target, self._frames_part = source, target, frames_part
        self.listed: list[dict[str, Any]] = []
        self.rows = 0

    def __iter__(self) -> Iterator[Video]:
        for result, config in self._source.read():
            self._check(result)
            video = Video(len(self.listed) + 1, self._source.names[result.task.source], result)
            if self._frames_part is not None:
                _write_frames(self._frames_part, video, config.fps)
            self.listed.append({"name": video.name, **video_row(result)})
            self.rows += len(result.tracks)
            yield video

    def _check(self, result: VideoResult) -> None:
        if self._target.kind.masks_only and result.tracks["mask_rle"].isna().any():
            others = [name for name, kind in EXPORT_FORMATS.items() if not kind.masks_only]
            msg = (
                f"{result.task.video_path} has boxes without masks, which {self._target.format} cannot hold: "
                f"choose one of {', '.join(others)}"
            )
            raise ConfigError(msg)
        if strangers := sorted({*result.tracks["label"].unique()} - {*self._source.classes}):
            msg = (
                f"{result.task.video_path} has the label {strangers[0]!r}, which is none of the classes "
                f"of the prompt, {', '.join(self._source.classes)}: categories are these"
            )
            raise ConfigError(msg)


def _write_frames(folder: Path, video: Video, fps: float | None) -> None:
    result = video.result
    left = set(result.frames[0].tolist())
    (folder / video.name).mkdir()
    with VideoReader(result.task.source, fps=fps) as reader:
        for frame in reader:
            if frame.idx in left and frame.image.shape[:2] == (result.info.height, result.info.width):
                left.remove(frame.idx)
                image = PilImage.fromarray(frame.image)
                image.save(folder / video.image(frame.idx), quality=_JPEG_QUALITY)
    if left:
        msg = (
            f"{result.task.source}: {len(left)} of the {len(result.frames[0])} frames that were tracked "
            f"are not in it, or of another size; the first is {min(left)}. Has it changed since? Track it "
            "again, or export without frames"
        )
        raise ResultsError(msg)


def _head(line: bytes) -> tuple[str, TrackConfig]:
    """Source and options of a line; it is decoded as a whole only where another tool has spaced it anew."""
    try:
        head = decode_head(line)
    except ResultsError:
        result, config = decode_line(line)
        return result.task.source, config
    return head["source"]["path"], decode_config(head)
