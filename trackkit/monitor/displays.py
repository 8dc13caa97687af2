"""A run as it goes on: bars in a terminal, a view in a notebook, a line per video where output is piped."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from threading import Lock
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from trackkit.core.tasks import Progress, VideoFailure
from trackkit.core.words import plural
from trackkit.monitor.html import run_html, short, thumbnails_html
from trackkit.monitor.run_state import RunState
from trackkit.results.video_result import Outcome, video_row

if TYPE_CHECKING:
    from trackkit.monitor.thumbnails import Thumbnails

NOTEBOOK_INTERVAL_S = 0.5
QUIET_S = 30.0  # where output is piped, a running video says how far it is after so long a silence


class NoteHandler(logging.Handler):
    """Shows what trackkit tells Python's logging: the sentences on a run's workers.

    Args:
        show: Called with each sentence; in any thread.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__()
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        """See ``logging.Handler.emit``."""
        self._show(record.getMessage())


class RunDisplay(Protocol):
    """Shows a run while it is entered."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def report(self, progress: Progress) -> None:
        """Take what a worker says of its running video; may be called from any thread."""
        ...

    def finish(self, outcome: Outcome) -> None:
        """Take a video that is done."""
        ...


class TerminalDisplay:
    """Shows a run on ``console``.

    Args:
        console: A terminal gets bars, anything else plain lines.
        run: How it stands; kept up to date here.
    """

    def __init__(self, console: Console, run: RunState) -> None:
        self._console, self._run, self._lock = console, run, Lock()
        self._bars: Bars | None = None
        self._running: dict[str, TaskID] = {}
        self._noted: set[str] = set()
        self._next_line = monotonic() + QUIET_S
        if console.is_terminal:
            self._bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[count]}"),
                TextColumn("{task.fields[note]}"),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._videos = self._bars.add_task(
                "[bold]videos", total=run.so_far[1], completed=run.skipped, count=self._count, note=""
            )

    @property
    def _count(self) -> str:
        over, total = self._run.so_far
        return f"{over} of {total}" + (f", {self._run.skipped} done before" if self._run.skipped else "")

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
        with self._lock:
            self._report(progress)

    def _report(self, progress: Progress) -> None:
        self._run.report(progress)
        for note in progress.notes:
            if note not in self._noted:
                self._noted.add(note)
                self._print(f"note: {progress.video_path}: {note}")
        worker = self._run.workers[progress.worker]
        if self._bars is None and monotonic() >= self._next_line:
            far = f"frame {progress.frames}" + (f" of {progress.total}" if progress.total else "")
            self._print(f"[{self._run.over}/{self._run.total}] {progress.video_path}: at {far}")
        if self._bars is None or worker.now is not progress:  # overtaken by the outcome
            return
        bar = self._running.get(progress.video_path)
        if bar is None:
            name = Text(short(progress.video_path)).markup
            bar = self._bars.add_task(f"  {name}", total=progress.total or None, count="", note="")
            self._running[progress.video_path] = bar
        # Frames are held back to be revised: nothing is settled for a while.
        objects = f"{plural(progress.objects, 'object')} so far  " if progress.objects else ""
        self._bars.update(
            bar,
            completed=progress.frames,
            total=progress.total or None,  # the container does not say
            count=f"{progress.frames} of {progress.total}" if progress.total else f"{progress.frames}",
            note=f"{objects}{worker.rate:.0f} frames/s  [dim]{worker.name}",
        )

    def finish(self, outcome: Outcome) -> None:
        """Count a video that is done, and say what is worth saying."""
        with self._lock:
            self._finish(outcome)

    def _finish(self, outcome: Outcome) -> None:
        row = video_row(outcome)
        self._run.finish(row)
        path = row["video_path"]
        if isinstance(outcome, VideoFailure):
            line = f"failed: {row['message']}"
        else:
            counts = f"{plural(row['frames'], 'frame')}, {plural(row['objects'], 'object')}"
            line = f"{counts}, {row['fps']:.1f} frames/s"
            notes = [warning for warning in outcome.warnings if warning not in self._noted]
            if outcome.truncated:
                notes.append(f"truncated: {outcome.truncated}")
            line = "; ".join([line, *notes])
        over, total = self._run.so_far
        self._print(f"[{over}/{total}] {path}: {line}")
        if self._bars is not None:
            self._bars.update(self._videos, advance=1, count=self._count)
            if path in self._running:
                self._bars.remove_task(self._running.pop(path))

    def _print(self, line: str) -> None:
        self._next_line = monotonic() + QUIET_S
        self._console.print(line, markup=False, highlight=False)


class NotebookDisplay:
    """Shows a run under a notebook's cell: the counts, a row and a picture per worker, what was done last.

    Args:
        run: How it stands; kept up to date here.
    """

    def __init__(self, run: RunState) -> None:
        self._run, self._lock = run, Lock()
        self._notes = NoteHandler(self._note)
        self._thumbnails: Thumbnails | None = None
        self._next = 0.0

    def __enter__(self) -> Self:
        from IPython.display import DisplayHandle

        # Two outputs, as pictures are large and change seldom.
        self._counts, self._pictures = DisplayHandle(), DisplayHandle()
        self._shown = ""
        self._counts.display(_html(run_html(self._run)))
        self._pictures.display(_html(""))
        logging.getLogger("trackkit").addHandler(self._notes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger("trackkit").removeHandler(self._notes)
        with self._lock:
            self._run.end("done" if error is None else "broke off")
            self._show()

    def report(self, progress: Progress) -> None:
        """Take what a worker says of its running video; what is shown follows twice a second."""
        if progress.latest is not None:  # tracked in this process
            from trackkit.monitor.thumbnails import Thumbnails  # takes a second

            self._thumbnails = self._thumbnails or Thumbnails()
            progress = self._thumbnails.add(progress)
        with self._lock:
            self._run.report(progress)
            self._show_now_and_then()

    def finish(self, outcome: Outcome) -> None:
        """Take a video that is done."""
        with self._lock:
            self._run.finish(video_row(outcome))
            self._show_now_and_then()

    def _note(self, text: str) -> None:
        with self._lock:
            self._run.notes.append(text)
            self._show()

    def _show_now_and_then(self) -> None:
        if monotonic() >= self._next and self._run.ended is None:
            self._next = monotonic() + NOTEBOOK_INTERVAL_S
            self._show()

    def _show(self) -> None:
        self._counts.update(_html(run_html(self._run)))
        pictures = thumbnails_html(self._run)
        if pictures != self._shown:
            self._shown = pictures
            self._pictures.update(_html(pictures))


def open_display(run: RunState, wanted: bool | None = None) -> RunDisplay | None:
    """What shows a run where this process runs.

    Args:
        run: The run.
        wanted: None: only in a notebook. True: in a terminal, too, on stderr. False: nowhere.
    """
    ipython = sys.modules.get("IPython")
    shell: Any = ipython and ipython.get_ipython()
    if wanted is not False and getattr(shell, "kernel", None) is not None:
        return NotebookDisplay(run)
    return TerminalDisplay(Console(stderr=True), run) if wanted else None


def _html(text: str) -> Any:
    from IPython.display import HTML

    return HTML(text)
