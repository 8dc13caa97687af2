"""The results file of a run while it is written: what is done already, and one whole line after the other."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from io import FileIO
from pathlib import Path
from time import strftime
from types import TracebackType
from typing import Any, BinaryIO, Self

from trackkit.config import TrackConfig
from trackkit.core.errors import ConfigError, ResultsError
from trackkit.core.tasks import TaskKey, VideoFailure, VideoTask
from trackkit.results.jsonl import decode_lines, failures_path, iter_failures, numbered_lines
from trackkit.results.jsonl_line import (
    LAYOUTS,
    decode_config,
    decode_head,
    decode_task,
    encode_failure,
    iter_line,
)
from trackkit.results.lock import FileLock
from trackkit.results.video_result import Outcome, VideoResult, failure_of
from trackkit.video.fingerprint import changed_at, content_key

# The options of the format 1a (tests/data/results), all of which its hash covered.
_OPTIONS_THEN = (
    "text_prompt",
    "detector",
    "tracker",
    "detector_model",
    "sam_type",
    "model_path",
    "detection_frequency",
    "max_frames",
    "fps",
    "box_threshold",
    "text_threshold",
    "dtype",
    "batch_size",
    "memory",
    "compile",
    "reanchor",
    "min_region",
    "min_pred_iou",
    "patience_s",
    "max_objects",
    "scene_cuts",
)


class DoneVideos:
    """The videos that a results file holds.

    Attributes:
        lines: The number of the last line of each, from 1, by ``VideoTask.key``.
        files: ``VideoTask.file`` of each that was not replaced since, as far as they were recognized.
    """

    def __init__(self) -> None:
        self.lines: dict[TaskKey, int] = {}
        self.files: set[tuple[str, int, int]] = set()
        # By source: what the lines say of its content, its size and time, and when it was changed last.
        self._known: defaultdict[str, dict[str | None, tuple[int, int]]] = defaultdict(dict)
        self._changed: dict[tuple[str, int, int], tuple[str | None, int | None]] = {}

    def add(self, head: dict[str, Any], number: int) -> None:
        """Add the video of line ``number``, which begins with ``head``.

        Raises:
            KeyError: A field is missing.
        """
        task = decode_task(head)
        self.lines[task.key] = number
        self.files.add(task.file)
        key, changed_ns = (head["source"].get(name) for name in ("content_key", "changed_ns"))
        self._known[task.source][key] = task.size_bytes, task.mtime_ns
        self._changed[task.file] = key, changed_ns

    def recognize(self, task: VideoTask) -> VideoTask:
        """The task as the file has it: one that was only touched since, or copied anew, with its old time.

        The content decides, by its ``content_key``, if the size or a time is not that of the line; no other
        video is opened. What was replaced since is done no more, though its size and time be the old ones.
        """
        if task.file in self.files:
            key, changed_ns = self._changed[task.file]
            # Older lines say nothing of either.
            if (
                key is None
                or changed_ns is None
                or changed_ns == changed_at(task)
                or key == content_key(task)
            ):
                return task
            self.files.remove(task.file)
            return task
        known = self._known.get(task.source)
        key = content_key(task) if known else None
        if known is None or key is None or key not in known:
            return task
        size_bytes, mtime_ns = known[key]
        return replace(task, size_bytes=size_bytes, mtime_ns=mtime_ns)


class Journal:
    """Appends outcomes to ``output_jsonl``; each line is on disk before the next video's.

    No file changes before the first outcome is written: a run that ends before it leaves all as it was.

    Args:
        output_jsonl: The results file. Failures go beside it, to ``<name>.failures.jsonl``.
        config: The options of the run.
        layout: ``"frames"`` or ``"objects"``.
        resume: Keep what the file holds and skip those videos; else it is moved aside and begun anew.

    Attributes:
        notes: What is repaired or moved aside with the first outcome, for the user to see.

    Raises:
        ConfigError: The layout is unknown.
        ResultsError: The file was written with other options, is being written by another run (see
            :class:`trackkit.results.lock.FileLock`), or cannot be opened.
    """

    def __init__(
        self,
        output_jsonl: str | os.PathLike[str],
        config: TrackConfig,
        *,
        layout: str = "frames",
        resume: bool = True,
    ) -> None:
        if layout not in LAYOUTS:
            msg = f"layout is {layout!r}: choose one of {', '.join(LAYOUTS)}"
            raise ConfigError(msg)
        self.path, self.config, self.layout = Path(output_jsonl), config, layout
        self.notes: list[str] = []
        # Of runs whose results are those of this one: as of now, and of before options had an identity.
        self._hashes = {config.hash, _hash_of_all(config)}
        self._window_note: str | None = None
        self._results: FileIO | None = None
        self._failures: FileIO | None = None
        try:
            with contextlib.ExitStack() as files:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                lock = FileLock(self.path)
                files.callback(lock.release)
                if lock.note is not None:
                    self.notes.append(lock.note)
                there = [path for path in (self.path, failures_path(self.path)) if path.exists()]
                self._aside = {} if resume else {path: _backup_of(path) for path in there}
                self._torn = [path for path in there if resume and _is_torn(path)]
                if self.path.exists():
                    self.path.open("ab").close()  # it may be written
                self.notes += [
                    f"{path} is there already: once the first video is done, it is kept as {aside}"
                    for path, aside in self._aside.items()
                ]
                self.notes += [
                    f"the last line of {path} was cut short: once the first video is done, it is kept in "
                    f"{_torn_of(path)}; its own video runs again"
                    for path in self._torn
                ]
                self._done = self._read_done() if resume else DoneVideos()
                self.notes += [self._window_note] if self._window_note else []
                self._files = files.pop_all()
        except OSError as error:
            msg = f"results file {self.path} cannot be written ({error.strerror}): check --output-jsonl"
            raise ResultsError(msg) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files and let go of the lock."""
        self._files.close()

    def is_done(self, task: VideoTask) -> bool:
        """Whether the file holds this video, unchanged since."""
        return task.key in self._done.lines and task.file in self._done.files

    def recognize(self, task: VideoTask) -> VideoTask:
        """The task as the file has it: see :meth:`DoneVideos.recognize`."""
        return self._done.recognize(task)

    def read(self, tasks: Iterable[VideoTask]) -> Iterator[VideoResult]:
        """The latest result of each of these videos that the file holds already."""
        wanted = {self._done.lines[task.key] for task in tasks}
        lines = numbered_lines(self.path) if wanted else ()
        for result, _ in decode_lines(self.path, (line for line in lines if line[0] in wanted)):
            yield result

    def read_failed(self) -> dict[TaskKey, VideoFailure]:
        """The videos that failed with these options and were not done since, by ``VideoTask.key``."""
        if self._aside:
            return {}
        found = {f.task.key: f for f, of_run in iter_failures(self.path) if of_run in self._hashes}
        return {key: failure for key, failure in found.items() if key not in self._done.lines}

    def write(self, outcome: Outcome) -> None:
        """Append one outcome and see it to the disk. A truncated video is a result and a failure.

        Raises:
            ResultsError: It could not be written; the file holds no part of it.
        """
        if self._results is None:
            self._results = self._begin()
        if isinstance(outcome, VideoResult):
            task = outcome.task
            line = iter_line(outcome, self.config, self.layout, content_key(task), changed_at(task))
            self._append(self.path, self._results, line)
        failure = failure_of(outcome)
        if failure is None:
            return
        path = failures_path(self.path)
        if self._failures is None:
            try:
                self._failures = self._files.enter_context(path.open("ab", buffering=0))
            except OSError as error:
                raise _cannot_be_written(path, error) from None
        self._append(path, self._failures, [encode_failure(failure, self.config)])

    def _append(self, path: Path, file: FileIO, pieces: Iterable[bytes]) -> None:
        before = file.seek(0, os.SEEK_END)
        try:
            if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                raise FileNotFoundError(errno.ENOENT, "another file has its name now")
            for block in _blocks(pieces):
                rest = memoryview(block)
                while rest:  # an unbuffered write may take a part only
                    rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except BaseException as error:  # an interrupt, too, leaves whole lines only
            with contextlib.suppress(OSError):
                os.ftruncate(file.fileno(), before)
            if not isinstance(error, OSError):
                raise
            raise _cannot_be_written(path, error) from None

    def _begin(self) -> FileIO:
        """Put aside what the notes tell, and open the file."""
        try:
            for path, aside in self._aside.items():
                path.replace(aside)
            for path in self._torn:
                with path.open("rb+") as file:
                    whole = _end_of_last_line(file)
                    with _torn_of(path).open("ab") as kept:
                        kept.write(file.read() + b"\n")
                    file.truncate(whole)
            return self._files.enter_context(self.path.open("ab", buffering=0))
        except OSError as error:
            raise _cannot_be_written(self.path, error) from None

    def _read_done(self) -> DoneVideos:
        done = DoneVideos()
        for number, line in numbered_lines(self.path) if self.path.exists() else ():
            if not line.endswith(b"\n"):  # the last one, which was cut short
                continue
            try:
                head = decode_head(line)
            except ResultsError as error:
                msg = f"{self.path}, line {number} {error}. Choose another --output-jsonl, or --no-resume"
                raise ResultsError(msg) from None
            try:
                self._check_run(head, number)
                done.add(head, number)
            except (AttributeError, KeyError, TypeError) as error:
                msg = (
                    f"{self.path}, line {number}: a field is missing or wrong ({error!r}): the file was "
                    "edited, or is of another tool. Choose another --output-jsonl, or --no-resume"
                )
                raise ResultsError(msg) from None
        return done

    def _check_run(self, head: dict[str, Any], number: int) -> None:
        """Make sure that a line is of a run that gives the same results as this one.

        The options decide, not their hash: files of other versions of trackkit have hashes of their own.
        """
        then, now = head["config"].get("max_frames"), self.config.max_frames
        if then is not None and then != now and min(then, now) < 2 * self.config.detection_frequency:
            self._window_note = (
                f"{self.path} was written with max_frames {then}, and goes on with {now}: objects may begin "
                "later if the window is short for the interval of the detector"
            )
        if head["config_hash"] in self._hashes:
            return
        try:
            theirs = decode_config(head)
        except ResultsError as error:
            msg = f"{self.path}, line {number} {error}"
            raise ResultsError(msg) from None
        if theirs.identity != self.config.identity:
            raise ResultsError(self._difference(theirs))
        self._hashes.add(head["config_hash"])

    def _difference(self, theirs: TrackConfig) -> str:
        there, now = theirs.to_dict(), self.config.to_dict()
        unknown = [name for name, _ in theirs.unknown]
        names = theirs.identity.keys() | self.config.identity.keys()
        changed = [
            f"\n  {name}: {there.get(name)!r} there, {now.get(name)!r} now"
            for name in sorted({"text_prompt" if name == "classes" else name for name in names})
            if there.get(name) != now.get(name) and name not in unknown
        ]
        changed += [
            f"\n  {name}: {there[name]!r} there, which this trackkit does not know" for name in unknown
        ]
        newer = ", or update trackkit" if unknown else ""
        return (
            f"{self.path} was written with other options:{''.join(changed)}\n"
            f"Use the same options to go on{newer}, another --output-jsonl, or --no-resume to begin anew "
            "(the old file is kept)"
        )


def _hash_of_all(config: TrackConfig) -> str:
    """The hash of these options in files that were written before options had an identity."""
    values = config.to_dict()
    text = json.dumps({name: values[name] for name in _OPTIONS_THEN}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _blocks(pieces: Iterable[bytes], size: int = 1 << 20) -> Iterator[bytearray]:
    """The pieces in blocks of about ``size`` bytes."""
    block = bytearray()
    for piece in pieces:
        block += piece
        if len(block) >= size:
            yield block
            block = bytearray()
    yield block


def _cannot_be_written(path: Path, error: OSError) -> ResultsError:
    msg = (
        f"{path} cannot be written ({error.strerror}); all lines in it are whole. "
        "Make room, or bring the file back, then run the same command again: it goes on from here"
    )
    return ResultsError(msg)


def _backup_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.{strftime('%Y%m%d-%H%M%S')}.bak")


def _torn_of(path: Path) -> Path:
    return path.with_name(path.name + ".torn")


def _is_torn(path: Path) -> bool:
    with path.open("rb") as file:
        _end_of_last_line(file)
        return bool(file.read(1))


def _end_of_last_line(file: BinaryIO, block: int = 1 << 16) -> int:
    """Position after the last newline; the file is left there."""
    position = file.seek(0, os.SEEK_END)
    while position > 0:
        start = max(0, position - block)
        file.seek(start)
        found = file.read(position - start).rfind(b"\n")
        if found >= 0:
            return file.seek(start + found + 1)
        position = start
    return file.seek(0)
