"""The results file: one JSON line per video (see ``jsonl_codec``), appended when the video is done.

Failed videos go to ``<name>.failures.jsonl`` beside it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from trackkit.config import TrackConfig
from trackkit.errors import ConfigError, ResultsError
from trackkit.jsonl_codec import decode_failure, decode_line
from trackkit.results import TrackingResults
from trackkit.structures import VideoFailure, VideoResult


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


def read_jsonl(path: str | os.PathLike[str]) -> TrackingResults:
    """Read back what a run wrote, in either layout, failures included.

    Raises:
        ResultsError: The file is missing, empty, cut, or mixes runs with different options.
    """
    path = Path(path)
    outcomes: dict[str, VideoResult | VideoFailure] = {}
    config: TrackConfig | None = None
    for failure, _ in iter_failures(path):
        outcomes[failure.task.source] = failure
    for result, line_config in iter_jsonl(path):
        if config is not None and line_config != config:
            msg = f"{path} holds runs with different options: read them one by one with iter_jsonl"
            raise ResultsError(msg)
        outcomes[result.task.source] = result
        config = line_config
    if config is None:
        msg = f"{path} holds no results"
        raise ResultsError(msg)
    return TrackingResults(outcomes.values(), config)


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


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that has its name only when it is whole.

    Raises:
        ResultsError: It cannot be written.
    """
    with whole(path) as part:
        part.write_bytes(data)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write a file, or a folder, that gets its name when it is whole, and is removed when it fails.

    A file replaces one that is there; a folder replaces an empty one only.

    Raises:
        ResultsError: It cannot be written.
    """
    part = path.with_name(f".trackkit-{secrets.token_hex(6)}.part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror or error}): check the folder"
        raise ResultsError(msg) from None
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)
