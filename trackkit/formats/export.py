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
from trackkit.formats.base import Format, Video
from trackkit.formats.writers import EXPORT_FORMATS
from trackkit.results.columns import VIDEO_DTYPES
from trackkit.results.jsonl import decode_lines, iter_failures, numbered_lines
from trackkit.results.jsonl_line import decode_head, decode_line
from trackkit.results.video_result import VideoResult, video_row
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
        names: By source path of each video, its name in the dataset.
        classes: Of all videos.
        failures: The videos that are not in it.
        read: Gives the results one by one, each with the options of its run.
    """

    names: dict[str, str]
    classes: tuple[str, ...]
    failures: tuple[VideoFailure, ...]
    read: Callable[[], Iterator[tuple[VideoResult, TrackConfig]]]

    @classmethod
    def from_outcomes(
        cls, outcomes: Iterable[VideoResult | VideoFailure], config: TrackConfig
    ) -> ExportSource:
        """Results that are in memory."""
        outcomes = tuple(outcomes)
        found = [outcome for outcome in outcomes if isinstance(outcome, VideoResult)]
        return cls(
            names=dataset_names(result.task.source for result in found),
            classes=config.classes,
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
        for number, line in numbered_lines(path):
            try:
                source, config = _head(line)
            except (ResultsError, ConfigError) as error:
                msg = f"{path}, line {number}: {error}"
                raise ResultsError(msg) from None
            last[source] = number
            classes |= dict.fromkeys(config.classes)
        failures = {failure.task.source: failure for failure, _ in iter_failures(path)}
        if not last and not failures:
            msg = f"{path} holds no results"
            raise ResultsError(msg)
        wanted = set(last.values())
        return cls(
            names=dataset_names(last),
            classes=tuple(classes),
            failures=tuple(failure for source, failure in failures.items() if source not in last),
            read=lambda: decode_lines(path, (line for line in numbered_lines(path) if line[0] in wanted)),
        )


def export(
    source: ExportSource,
    path: str | os.PathLike[str],
    format: str,
    *,
    with_frames: bool = False,
) -> Exported:
    """Write results in a format that other tools read.

    Args:
        source: What to write.
        path: File or folder to write. Beside it comes ``<path, without a file's suffix>.videos.csv``.
        format: One of ``EXPORT_FORMATS``.
        with_frames: Write the processed frames as well, JPEG, to the folder ``<path>_frames``:
            ``<video>/<frame_idx>.jpg``, the file names that ``coco`` and ``youtube-vis`` give. The videos
            must be where they were.

    Raises:
        ConfigError: The format is unknown or cannot hold these results, or the folder is not empty.
        ResultsError: The JSONL file cannot be read, the output not be written, or a video has changed.
        VideoOpenError: A video is not there any more, with ``with_frames``.
    """
    if format not in EXPORT_FORMATS:
        msg = f"export format {format!r} is unknown: choose one of {', '.join(EXPORT_FORMATS)}"
        raise ConfigError(msg)
    kind, path = EXPORT_FORMATS[format], Path(path)
    base = path if kind.suffix is None else path.with_suffix("")
    frames_path = base.with_name(f"{base.name}_frames") if with_frames else None
    list_path = base.with_name(f"{base.name}.videos.csv")
    _check_output(path, kind.suffix, format)
    if frames_path is not None:
        _check_output(frames_path, None, "--with-frames")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror}): check the folder"
        raise ResultsError(msg) from None
    table: list[dict[str, Any]] = []
    with ExitStack() as files:
        part = files.enter_context(atomic_path(path))  # first in, last out: it is there when all is there
        list_part = files.enter_context(atomic_path(list_path))
        frames_part = None if frames_path is None else files.enter_context(atomic_path(frames_path))
        if frames_part is not None:
            frames_part.mkdir()
        notes = [*kind.write(part, _videos(source, kind, format, frames_part, table), source.classes)]
        boxes_only = [row["name"] for row in table if row["boxes_only"]]
        rows, videos = sum(row["rows"] for row in table), len(table)
        table += [{"name": "", **video_row(failure)} for failure in source.failures]
        listed = pd.DataFrame(table, columns=["name", *VIDEO_DTYPES]).astype({"name": "str", **VIDEO_DTYPES})
        listed.to_csv(list_part, index=False)
    if format == "coco" and boxes_only:
        notes.append(f"boxes without masks: {', '.join(boxes_only)}")
    meanings = {"truncated": "breaks off, in it up to there", "failed": "failed, not in it"}
    notes += [
        f"{meanings[row['status']]}: {row['video_path']}: {row['message']}"
        for row in table
        if row["status"] in meanings
    ]
    return Exported(path, videos, rows, list_path, frames_path, tuple(notes))


def _check_output(path: Path, suffix: str | None, what: str) -> None:
    """Refuse what cannot be written before anything is read; ``suffix`` is None for a folder."""
    if suffix is not None:
        if path.is_dir():
            msg = f"{path} is a folder: {what} is a file, such as {path / 'tracks'}{suffix}"
            raise ConfigError(msg)
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        msg = f"{path} is there already: {what} is written to a folder, which must be new or empty"
        raise ConfigError(msg)


def _videos(
    source: ExportSource, kind: Format, format: str, frames_part: Path | None, table: list[dict[str, Any]]
) -> Iterator[Video]:
    """The videos, each with its row in ``table``, and its frames written."""
    for result, config in source.read():
        boxes_only = bool(result.tracks["mask_rle"].isna().any())
        if kind.masks_only and boxes_only:
            msg = (
                f"{result.task.video_path} has boxes without masks, which {format} cannot hold: choose "
                f"one of {', '.join(name for name, other in EXPORT_FORMATS.items() if not other.masks_only)}"
            )
            raise ConfigError(msg)
        video = Video(len(table) + 1, source.names[result.task.source], result)
        if frames_part is not None:
            _write_frames(frames_part, video, config.fps)
        more = {"name": video.name, "rows": len(result.tracks), "boxes_only": boxes_only}
        table.append(more | video_row(result))
        yield video


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
    return head["source"]["path"], TrackConfig.from_dict(head["config"])
