"""How far a run is, from what it has written; works while it runs, and when it is over."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trackkit.core.errors import ResultsError
from trackkit.results.journal import DoneVideos
from trackkit.results.jsonl import failures_path, iter_failures, numbered_lines
from trackkit.results.jsonl_line import decode_head, decode_run
from trackkit.results.lock import held_by
from trackkit.video.inputs import Videos, make_tasks


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What a results file and the failures beside it say.

    Attributes:
        done: Videos with a result, truncated ones included.
        truncated: Videos that were tracked up to where they break off.
        failed: Number of failed videos by ``error_type``, the most frequent first.
        examples: One message for each ``error_type``.
        left: Videos of the list that are neither done nor failed; None without a list.
        videos_per_hour: Of the workers that did them, all of them together; None before the first is done.
        writer: The process that writes the file now, None where nobody does.
    """

    done: int
    truncated: int
    failed: dict[str, int]
    examples: dict[str, str]
    left: int | None
    videos_per_hour: float | None
    writer: str | None


def read_status(
    output_jsonl: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], videos: Videos | None = None
) -> RunStatus:
    """Read how far a run is. A line that is being written just now does not count yet.

    Args:
        output_jsonl: The results file; or those of several runs, such as the tasks of a job array, that are
            counted together. A video that is done in any of them is done, and counts once.
        videos: The list of the run, or of all of them, to count what is left.

    Raises:
        ResultsError: There are no results, or a line cannot be read; the message names it.
        ConfigError: The list cannot be read.
    """
    given = [output_jsonl] if isinstance(output_jsonl, str | os.PathLike) else output_jsonl
    paths = [Path(path) for path in given]
    done, truncated, seconds, workers = DoneVideos(), 0, 0.0, set()
    for path in paths:
        if not path.exists() and not failures_path(path).exists():
            msg = f"{path} is not there, nor are failures beside it: give the --output-jsonl of a run"
            raise ResultsError(msg)
        for number, line in numbered_lines(path) if path.exists() else ():
            if not line.endswith(b"\n"):
                break
            try:
                done.add(decode_head(line), number)
                run = decode_run(line)
                truncated += run["truncated"] is not None
                seconds += run["seconds"]["total"]
                workers.add((path, run["worker"]))
            except (ResultsError, KeyError, TypeError) as error:
                msg = f"{path}, line {number} cannot be read ({error}): is it a results file of trackkit?"
                raise ResultsError(msg) from None
    failures = {failure.task.file: failure for path in paths for failure, _ in iter_failures(path)}
    failed = [failure for key, failure in failures.items() if key not in done.files]
    left = None
    if videos is not None:  # whatever was pointed out in them: a list of videos does not say
        tasks, missing = make_tasks(videos, skip_missing=True)
        named = [*map(done.recognize, tasks), *(failure.task for failure in missing)]
        over = done.files | failures.keys()
        left = sum(task.file not in over for task in named)
    return RunStatus(
        done=len(done.files),
        truncated=truncated,
        failed=dict(Counter(failure.error_type for failure in failed).most_common()),
        examples={failure.error_type: failure.message for failure in failed},
        left=left,
        videos_per_hour=3600 * len(done.files) * len(workers) / seconds if seconds else None,
        writer=", ".join(filter(None, map(held_by, paths))) or None,
    )
