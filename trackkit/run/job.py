"""What a run has to do: videos, what is done already, where results go. Checked before anything starts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from trackkit.config import TrackConfig
from trackkit.core.errors import PromptError, VideoWriteError
from trackkit.core.files import remove_abandoned
from trackkit.core.options import documented, takes
from trackkit.core.tasks import VideoFailure, VideoTask
from trackkit.core.words import plural
from trackkit.results.journal import Journal
from trackkit.results.video_result import Outcome
from trackkit.run.options import JobOptions, PromptsByVideo
from trackkit.tracking.track_video import with_prompts
from trackkit.video.inputs import Videos, look_for_videos, make_tasks


@documented(JobOptions)
class Job:
    """The videos of a run and the files of its results.

    Args:
        videos: A list file, a video, a folder, a pattern, or paths: see ``trackkit.video.inputs``.
        config: What to look for, and how.
        **options: What to write, and what to leave out; see below.

    Attributes:
        tasks: What is to be done, largest source first.
        missing: Failures of the videos that are not there.
        done: Tasks that ``output_jsonl`` holds already.
        failed: Failures that are not tried again.
        notes: What the user should know: what was left out, repairs, files that were moved aside.
        output_jsonl: The results file, None without one.
        output_video_dir: The folder of annotated videos, None without one.

    Raises:
        VideoOpenError: Videos are missing; the message names each of them.
        PromptError: A prompt does not fit the config, or its video is none of these.
        ResultsError: ``output_jsonl`` holds results of other options, or cannot be written.
        VideoWriteError: ``output_video_dir`` cannot be made.
    """

    @takes(JobOptions)
    def __init__(self, videos: Videos, config: TrackConfig, **options: Any) -> None:
        how = JobOptions(**options)
        config.check_known()
        found = look_for_videos(videos)
        self._place = {os.path.abspath(name): place for place, name in enumerate(found.names)}  # noqa: PTH100
        tasks, missing = make_tasks(
            found.names, output_video_dir=how.output_video_dir, skip_missing=how.skip_missing
        )
        tasks = _with_prompts(tasks, missing, how.prompts or {}, config)
        self.notes = [*config.notes, *found.notes]
        if how.output_video_dir is not None:
            _make_folder(Path(how.output_video_dir))
            removed = remove_abandoned(Path(how.output_video_dir))
            if removed:
                files = plural(removed, "unfinished file")
                self.notes.append(f"{files} of runs that were killed {'is' if removed == 1 else 'are'} gone")
        self.output_jsonl = None if how.output_jsonl is None else Path(how.output_jsonl)
        self.output_video_dir = None if how.output_video_dir is None else Path(how.output_video_dir)
        self._journal: Journal | None = None
        if how.output_jsonl is not None:
            self._journal = Journal(how.output_jsonl, config, layout=how.layout, resume=how.resume)
            self.notes += self._journal.notes
            tasks = [self._journal.recognize(task) for task in tasks]
        self.config = config
        self.done = [task for task in tasks if self._journal is not None and self._journal.is_done(task)]
        failed = self._journal.read_failed() if self._journal is not None and how.skip_failed else {}
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

    @property
    def counts(self) -> dict[str, Any]:
        """What a :class:`~trackkit.monitor.run_state.RunState` begins with."""
        return {
            "total": len(self.tasks) + len(self.missing),
            "prompt": self.config.text_prompt,
            "skipped": len(self.done) + len(self.failed),
        }

    def record(self, outcome: Outcome) -> None:
        """Write an outcome to ``output_jsonl``, or to the failures file beside it.

        Raises:
            ResultsError: It could not be written.
        """
        if self._journal is not None:
            self._journal.write(outcome)

    def in_order(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        """Outcomes in the order in which the user named the videos; they come largest first."""
        last = len(self._place)
        return sorted(outcomes, key=lambda outcome: self._place.get(outcome.task.source, last))

    def read_done(self) -> Iterator[Outcome]:
        """The results of the videos that were done before, and the failures that are not tried again."""
        yield from self.failed
        if self._journal is not None:
            yield from self._journal.read(self.done)


def _with_prompts(
    tasks: list[VideoTask], missing: list[VideoFailure], prompts: PromptsByVideo, config: TrackConfig
) -> list[VideoTask]:
    given = {os.path.abspath(video): each for video, each in prompts.items()}  # noqa: PTH100
    known = {task.source for task in tasks} | {failure.task.source for failure in missing}
    strangers = sorted(given.keys() - known)
    if strangers:
        shown = "".join(f"\n  {source}" for source in strangers)
        msg = f"there are prompts for videos that are not among those to be tracked:{shown}"
        raise PromptError(msg)
    return [with_prompts(task, given.get(task.source, ()), config) for task in tasks]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"output_video_dir {folder} cannot be made ({error.strerror}): choose a folder you may write to"
        raise VideoWriteError(msg) from None
    if not os.access(folder, os.W_OK):
        msg = f"output_video_dir {folder} is not writable: choose a folder you may write to"
        raise VideoWriteError(msg)
