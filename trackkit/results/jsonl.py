"""The results file: one JSON line per video (see ``jsonl_line``), appended when the video is done.

Failed videos go to ``<name>.failures.jsonl`` beside it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from trackkit.config import TrackConfig
from trackkit.core.errors import ConfigError, ResultsError
from trackkit.core.tasks import VideoFailure
from trackkit.results.jsonl_line import decode_failure, decode_line
from trackkit.results.video_result import VideoResult


def failures_path(output_jsonl: str | os.PathLike[str]) -> Path:
    """``tracks.jsonl`` -> ``tracks.failures.jsonl``."""
    return Path(output_jsonl).with_suffix(".failures.jsonl")


def iter_failures(path: str | os.PathLike[str]) -> Iterator[tuple[VideoFailure, str]]:
    """The failures beside a results file, each with the config hash of its run; none where no file is there.

    A last line that is cut, or is being written just now, is left out.

    Raises:
        ResultsError: A line cannot be read; the message names it.
    """
    failed = failures_path(path)
    for number, line in numbered_lines(failed) if failed.exists() else ():
        if line.endswith(b"\n"):
            try:
                yield decode_failure(line), orjson.loads(line)["config_hash"]
            except (ResultsError, KeyError) as error:
                msg = f"{failed}, line {number}: {error}"
                raise ResultsError(msg) from None


def iter_jsonl(path: str | os.PathLike[str]) -> Iterator[tuple[VideoResult, TrackConfig]]:
    """Read a results file video by video, in bounded memory.

    Raises:
        ResultsError: The file is missing or a line is cut; the message names the line.
    """
    yield from decode_lines(path, numbered_lines(path))


def decode_lines(
    path: str | os.PathLike[str], lines: Iterable[tuple[int, bytes]]
) -> Iterator[tuple[VideoResult, TrackConfig]]:
    """What stands in these numbered lines of a results file.

    Raises:
        ResultsError: A line is cut; the message names the line.
    """
    for number, line in lines:
        try:
            yield decode_line(line)
        except (ResultsError, ConfigError) as error:
            msg = f"{path}, line {number}: {error}"
            raise ResultsError(msg) from None


def numbered_lines(path: str | os.PathLike[str]) -> Iterator[tuple[int, bytes]]:
    """The lines of a results file with their numbers, from 1.

    Raises:
        ResultsError: The file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            yield from enumerate(file, start=1)
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror}): check the path"
        raise ResultsError(msg) from None
