"""Videos that a runner is given at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from trackkit.core.tasks import VideoTask
from trackkit.tracking.reporter import ProgressCallback
from trackkit.tracking.track_video import Work, track_video


@dataclass(frozen=True, slots=True)
class Batch:
    """Videos, and what is done to each of them.

    Attributes:
        tasks: In the order in which they should begin.
        work: What is done to each.
        on_progress: Called a few times a second for every running video.
        run_id: Names the run in what the workers say of their progress.
    """

    tasks: Sequence[VideoTask]
    work: Work = track_video
    on_progress: ProgressCallback | None = None
    run_id: str = field(default_factory=lambda: uuid4().hex)
