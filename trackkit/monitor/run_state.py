"""How a run stands: one picture of it, kept from events, that the bars and the dashboard's page show."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from trackkit.core.clock import STAGES
from trackkit.core.tasks import Progress

RECENT = 6
RATE_OVER_S = 5.0


@dataclass(slots=True)
class WorkerState:
    """What a worker does now, and what it has done in this run.

    Attributes:
        name: Name of the worker.
        gpu: Its GPU, None on a CPU.
        now: The video that it tracks, None between two.
        rate: Frames/s of late.
        peak_gpu_mb: Peak GPU memory allocated, MiB; None on a CPU.
        thumbnail: The newest picture, and the video that it is of.
        videos: Videos that are done, whole or truncated.
        failed: Videos that failed.
        frames: Processed frames of the videos that are done.
        objects: Objects in them.
        seconds: Wall seconds per stage of the videos that are done.
        last: The video whose outcome came last.
    """

    name: str
    gpu: str | None = None
    now: Progress | None = None
    rate: float = 0.0
    peak_gpu_mb: float | None = None
    thumbnail: tuple[bytes, str] | None = None
    videos: int = 0
    failed: int = 0
    frames: int = 0
    objects: int = 0
    seconds: Counter[str] = field(default_factory=Counter)
    last: str | None = None

    def shares(self) -> dict[str, float]:
        """Share of each stage in the time spent so far, the running video included; empty before any."""
        seconds = self.seconds + Counter(self.now.seconds if self.now else {})
        busy = sum(seconds[stage] for stage in STAGES)
        return {stage: seconds[stage] / busy for stage in STAGES} if busy else {}


class RunState:
    """Counts of a run and of each of its workers. Grows with the workers, not with the videos.

    Args:
        total: Number of videos to do.
        prompt: What is looked for.
        skipped: Number of videos that were done before.

    Attributes:
        status: Number of videos per status: ok, truncated, failed.
        frames: Processed frames of the videos that are done.
        objects: Objects in them.
        seconds: Wall seconds per stage of the videos that are done.
        workers: By name.
        recent: Rows of ``TrackingResults.videos`` of those that were done last, the newest first.
        failures: The same of those that failed or are truncated.
        notes: What was said of the run's workers, the newest last.
        ended: How the run ended, None while it goes on.
    """

    def __init__(self, total: int, prompt: str = "", skipped: int = 0) -> None:
        self.total, self.prompt, self.skipped = total, prompt, skipped
        self.status: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self.frames = self.objects = 0
        self.workers: dict[str, WorkerState] = {}
        self.recent: deque[dict[str, Any]] = deque(maxlen=RECENT)
        self.failures: deque[dict[str, Any]] = deque(maxlen=RECENT)
        self.notes: deque[str] = deque(maxlen=RECENT)
        self.ended: str | None = None
        self._began = monotonic()
        self._took = 0.0

    def report(self, progress: Progress) -> None:
        """Take what a worker says of its running video."""
        worker = self._worker(progress.worker)
        if self.ended is not None or worker.last == progress.video_path:  # overtaken by the outcome
            return
        before = worker.now if worker.now and worker.now.video_path == progress.video_path else None
        worker.rate = _rate(worker.rate, before, progress)
        worker.now = progress
        worker.gpu = progress.gpu
        if progress.gpu_mb is not None:
            worker.peak_gpu_mb = max(worker.peak_gpu_mb or 0.0, progress.gpu_mb)
        if progress.thumbnail is not None:
            worker.thumbnail = progress.thumbnail, progress.video_path

    def finish(self, row: dict[str, Any]) -> None:
        """Take a video that is done: its row of ``TrackingResults.videos``."""
        status, path = row["status"], row["video_path"]
        self.status[status] += 1
        self.recent.appendleft(row)
        if status != "ok":
            self.failures.appendleft(row)
        for worker in self.workers.values():
            if worker.now is not None and worker.now.video_path == path:
                worker.now, worker.rate = None, 0.0
        if row["worker"] is None:  # never reached one
            return
        worker = self._worker(row["worker"])
        worker.last, worker.gpu = path, row["gpu"]
        if status == "failed":
            worker.failed += 1
            return
        seconds = {stage: row[f"seconds_{stage}"] for stage in STAGES}
        for each in (self, worker):
            each.frames += row["frames"]
            each.objects += row["objects"]
            each.seconds.update(seconds)
        worker.videos += 1

    def under_way(self) -> list[Progress]:
        """The videos that workers track now."""
        return [worker.now for worker in self.workers.values() if worker.now is not None]

    def end(self, how: str) -> None:
        """The run is over: ``"done"``, or ``"broke off"``."""
        self._took, self.ended = self.elapsed_s, how
        for worker in self.workers.values():
            worker.now, worker.rate, worker.thumbnail = None, 0.0, None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began, until it ended."""
        return monotonic() - self._began if self.ended is None else self._took

    @property
    def so_far(self) -> tuple[int, int]:
        """Videos that are over, and videos of the whole list; those done before are in both."""
        return self.over + self.skipped, self.total + self.skipped

    @property
    def over(self) -> int:
        """Videos that are done or failed."""
        return self.status.total()

    @property
    def rate(self) -> float:
        """Frames/s of all workers: of late while it runs, on the whole when it is over."""
        if self.ended is None:
            return sum(worker.rate for worker in self.workers.values())
        return self.frames / self._took if self._took else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest will take at the pace so far; None before the first video is done."""
        if not self.over or self.ended is not None:
            return None
        return self.elapsed_s / self.over * (self.total - self.over)

    def _worker(self, name: str) -> WorkerState:
        return self.workers.setdefault(name, WorkerState(name))


def _rate(rate: float, before: Progress | None, now: Progress) -> float:
    """Frames/s, with the past of the same video fading over ``RATE_OVER_S``."""
    frames = now.frames - (before.frames if before else 0)
    seconds = sum(now.seconds.values()) - (sum(before.seconds.values()) if before else 0.0)
    if seconds <= 0 or frames < 0:  # nothing new, or the video began anew
        return rate
    weight = 1.0 if before is None else 1 - math.exp(-seconds / RATE_OVER_S)
    return rate + weight * (frames / seconds - rate)
