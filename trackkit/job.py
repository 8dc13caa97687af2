"""What a run has to do: videos, what is done already, where results go. Checked before anything starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from trackkit.config import TrackConfig
from trackkit.errors import VideoWriteError
from trackkit.journal import Journal
from trackkit.jsonl import iter_jsonl
from trackkit.structures import VideoFailure, VideoResult
from trackkit.video_list import Videos, make_tasks
from trackkit.video_writer import remove_abandoned


class Job:
    """The videos of a run and the files of its results.

    Args:
        videos: A list file, a video, a folder, a pattern, or paths: see ``video_list.find_videos``.
        config: What to look for, and how.
        output_jsonl: Append a line per video to this file.
        output_video_dir: Write an annotated video per video to this folder.
        layout: ``"frames"`` or ``"objects"``, see ``trackkit.jsonl``.
        resume: Skip the videos that ``output_jsonl`` holds already.
        skip_missing: Record videos that are not there as failures, instead of raising.
        skip_failed: Leave out the videos that failed before, with these options and unchanged since; else
            they are tried again.

    Attributes:
        tasks: What is to be done, largest source first.
        missing: Failures of the videos that are not there.
        done: Tasks that ``output_jsonl`` holds already.
        failed: Failures that are not tried again.
        notes: What the user should know: repairs, files that were moved aside.

    Raises:
        VideoOpenError: Videos are missing; the message names each of them.
        ResultsError: ``output_jsonl`` holds results of other options, or cannot be written.
        VideoWriteError: ``output_video_dir`` cannot be made.
    """

    def __init__(
        self,
        videos: Videos,
        config: TrackConfig,
        *,
        output_jsonl: str | os.PathLike[str] | None = None,
        output_video_dir: str | os.PathLike[str] | None = None,
        layout: str = "frames",
        resume: bool = True,
        skip_missing: bool = False,
        skip_failed: bool = False,
    ) -> None:
        tasks, missing = make_tasks(videos, output_video_dir=output_video_dir, skip_missing=skip_missing)
        self.notes: list[str] = []
        if output_video_dir is not None:
            _make_folder(Path(output_video_dir))
            removed = remove_abandoned(Path(output_video_dir))
            if removed:
                self.notes.append(f"{removed} unfinished files of runs that were killed were removed")
        self._journal: Journal | None = None
        if output_jsonl is not None:
            self._journal = Journal(output_jsonl, config, layout=layout, resume=resume)
            self.notes += self._journal.notes
            tasks = [self._journal.recognize(task) for task in tasks]
        self.config = config
        self.done = [task for task in tasks if self._journal is not None and self._journal.is_done(task)]
        failed = self._journal.read_failed() if self._journal is not None and skip_failed else {}
        wanted = [*tasks, *(failure.task for failure in missing)]
        self.failed = [failed[task.key] for task in wanted if task.key in failed]
        over = failed.keys() | {task.key for task in self.done}
        self.tasks = [task for task in tasks if task.key not in over]
        self.missing = [failure for failure in missing if failure.task.key not in over]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._journal is not None:
            self._journal.close()

    def record(self, outcome: VideoResult | VideoFailure) -> None:
        """Write an outcome to ``output_jsonl``, or to the failures file beside it.

        Raises:
            ResultsError: It could not be written.
        """
        if self._journal is not None:
            self._journal.write(outcome)

    def read_done(self) -> Iterator[VideoResult | VideoFailure]:
        """The results of the videos that were done before, and the failures that are not tried again."""
        yield from self.failed
        if self._journal is None or not self.done:
            return
        done = {task.key for task in self.done}
        yield from (result for result, _ in iter_jsonl(self._journal.path) if result.task.key in done)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"output_video_dir {folder} cannot be made ({error.strerror}): choose a folder you may write to"
        raise VideoWriteError(msg) from None
    if not os.access(folder, os.W_OK):
        msg = f"output_video_dir {folder} is not writable: choose a folder you may write to"
        raise VideoWriteError(msg)
