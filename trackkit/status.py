"""How far a run is, from what it has written; works while it runs, and when it is over."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from trackkit.errors import ResultsError
from trackkit.journal import DoneVideos
from trackkit.jsonl import decode_head, decode_run, failures_path, iter_failures, numbered_lines
from trackkit.lock import held_by
from trackkit.video_list import Videos, make_tasks


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


def read_status(output_jsonl: str | os.PathLike[str], videos: Videos | None = None) -> RunStatus:
    """Read how far a run is. A line that is being written just now does not count yet.

    Args:
        output_jsonl: The results file.
        videos: The list of the run, to count what is left.

    Raises:
        ResultsError: There are no results, or a line cannot be read; the message names it.
        ConfigError: The list cannot be read.
    """
    path = Path(output_jsonl)
    if not path.exists() and not failures_path(path).exists():
        msg = f"{path} is not there, nor are failures beside it: give the --output-jsonl of a run"
        raise ResultsError(msg)
    done, truncated, seconds, workers = DoneVideos(), 0, 0.0, set()
    for number, line in numbered_lines(path) if path.exists() else ():
        if not line.endswith(b"\n"):
            break
        try:
            source, run = decode_head(line)["source"], decode_run(line)
            done.add(source)
            truncated += run["truncated"] is not None
            seconds += run["seconds"]["total"]
            workers.add(run["worker"])
        except (ResultsError, KeyError, TypeError) as error:
            msg = f"{path}, line {number} cannot be read ({error}): is it a results file of trackkit?"
            raise ResultsError(msg) from None
    failures = {failure.task.key: failure for failure, _ in iter_failures(path)}
    failed = [failure for key, failure in failures.items() if key not in done.keys]
    left = None
    if videos is not None:
        tasks, missing = make_tasks(videos, skip_missing=True)
        over = done.keys | failures.keys()
        named = [*map(done.recognize, tasks), *(failure.task for failure in missing)]
        left = sum(task.key not in over for task in named)
    return RunStatus(
        done=len(done.keys),
        truncated=truncated,
        failed=dict(Counter(failure.error_type for failure in failed).most_common()),
        examples={failure.error_type: failure.message for failure in failed},
        left=left,
        videos_per_hour=3600 * len(done.keys) * len(workers) / seconds if seconds else None,
        writer=held_by(path),
    )
