"""A run in the terminal: bars as it goes on, a line per video where output is piped, a table at the end."""

from __future__ import annotations

from collections import Counter
from time import perf_counter
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from trackkit.clock import STAGES
from trackkit.status import RunStatus
from trackkit.structures import Progress, VideoFailure, VideoResult


class RunDisplay:
    """Shows a run on ``console``; ``report`` takes progress from workers, ``finish`` takes outcomes.

    Args:
        console: A terminal gets bars, anything else plain lines.
        total: Number of videos of the run.
    """

    def __init__(self, console: Console, total: int) -> None:
        self._console, self._total = console, total
        self._started = perf_counter()
        self._status: Counter[str] = Counter()
        self._seconds: Counter[str] = Counter()
        self._frames = self._objects = 0
        self._bars: Bars | None = None
        self._running: dict[str, TaskID] = {}
        self._noted: set[str] = set()
        if console.is_terminal:
            self._bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._videos = self._bars.add_task("[bold]videos", total=total, note="")

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def report(self, progress: Progress) -> None:
        """Move the bar of a running video; without a terminal only what it notes is shown, once."""
        for note in progress.notes:
            if note not in self._noted:
                self._noted.add(note)
                self._print(f"note: {progress.video_path}: {note}")
        if self._bars is None:
            return
        bar = self._running.get(progress.video_path)
        if bar is None:
            name = Text(_short(progress.video_path)).markup
            bar = self._running[progress.video_path] = self._bars.add_task(f"  {name}", total=None, note="")
        busy = sum(progress.seconds.values())
        rate = f"{progress.frames / busy:.0f} frames/s" if busy else ""
        note = f"{progress.objects} objects  {rate}  [dim]{progress.worker}"
        self._bars.update(bar, completed=progress.frames, total=progress.total or None, note=note)

    def finish(self, outcome: VideoResult | VideoFailure) -> None:
        """Count a video that is done, and say what is worth saying."""
        path = outcome.task.video_path
        if isinstance(outcome, VideoFailure):
            self._status["failed"] += 1
            line = f"failed: {outcome.error_type}: {outcome.message}"
        else:
            frames, objects = len(outcome.frames[0]), outcome.tracks["obj_id"].nunique()
            self._status["truncated" if outcome.truncated else "ok"] += 1
            self._seconds.update({stage: outcome.seconds[stage] for stage in STAGES})
            self._frames += frames
            self._objects += objects
            line = f"{frames} frames, {objects} objects, {frames / outcome.seconds['total']:.1f} frames/s"
            warnings = [w for w in outcome.warnings if w not in self._noted]
            notes = [*warnings, *([f"truncated: {outcome.truncated}"] if outcome.truncated else [])]
            line = "; ".join([line, *notes])
        self._print(f"[{self._status.total()}/{self._total}] {path}: {line}")
        if self._bars is not None:
            self._bars.advance(self._videos)
            if path in self._running:
                self._bars.remove_task(self._running.pop(path))

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False)

    @property
    def failed(self) -> int:
        """Videos that failed or are truncated, so far."""
        return self._status["failed"] + self._status["truncated"]

    def summary(self) -> Table:
        """What the run did: videos, frames, objects, rate, where the time went."""
        wall = perf_counter() - self._started
        busy = self._seconds.total()
        table = Table(show_header=False, title="trackkit", title_justify="left")
        table.add_column(style="bold")
        table.add_column()
        status = ", ".join(f"{self._status[name]} {name}" for name in ("ok", "truncated", "failed"))
        table.add_row("videos", f"{self._status.total()} of {self._total}: {status}")
        table.add_row("frames", f"{self._frames}")
        table.add_row("objects", f"{self._objects}")
        table.add_row("time", f"{wall:.1f} s, {self._frames / wall:.1f} frames/s")
        if busy:
            shares = ", ".join(f"{stage} {self._seconds[stage] / busy:.0%}" for stage in STAGES)
            table.add_row("stages", shares)
        return table


def status_table(status: RunStatus) -> Table:
    """How far a run is, for ``trackkit status``."""
    table = Table(show_header=False, title="trackkit status", title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    truncated = f", {status.truncated} of them truncated" if status.truncated else ""
    table.add_row("done", f"{status.done}{truncated}")
    table.add_row("failed", f"{sum(status.failed.values())}")
    for reason, count in status.failed.items():
        table.add_row(f"  {reason}", Text(f"{count}, such as: {status.examples[reason]}"))
    if status.left is not None:
        table.add_row("left", f"{status.left}")
    if status.videos_per_hour is not None:
        hours = f", {status.left / status.videos_per_hour:.1f} h for those left" if status.left else ""
        table.add_row("rate", f"{status.videos_per_hour:.0f} videos an hour while it ran{hours}")
    table.add_row("running", "no" if status.writer is None else f"yes, {status.writer}")
    return table


def _short(path: str, width: int = 40) -> str:
    return path if len(path) <= width else "…" + path[1 - width :]
