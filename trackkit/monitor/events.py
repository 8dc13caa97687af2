"""What workers and clients tell those who watch a run: topics of Dask's events."""

from __future__ import annotations

from typing import Any

from trackkit.core.tasks import Progress

PROGRESS_TOPIC = "trackkit-progress"
LAST_WORDS_TOPIC = "trackkit-last-words"  # what a worker says of a video before it ends its process
BEGUN = "trackkit-begun"  # the action of an event in a worker's own log: it has begun the task ``key``
RUN_TOPIC = "trackkit-run"  # what the client says: a run begins, a video is done, the run ends


def read_progress(fields: dict[str, Any]) -> Progress:
    """A ``Progress`` that went through an event as a dict."""
    return Progress(**{**fields, "notes": tuple(fields["notes"])})
