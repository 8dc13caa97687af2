"""The command ``trackkit status``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trackkit.cli.exit_codes import OK
from trackkit.cli.options import Commands
from trackkit.core.words import duration, pace
from trackkit.monitor.status import RunStatus, read_status
from trackkit.results.jsonl import failures_path


def add_command(commands: Commands) -> None:
    """Add the command and its options."""
    about = "say what is done, failed and left, and how fast it goes"
    parser = commands.add_parser("status", help=about, description=f"{about.capitalize()}.")
    parser.add_argument(
        "output_jsonl", nargs="+", metavar="FILE", help="the --output-jsonl of the run; of several, their sum"
    )
    parser.add_argument("--video-list", metavar="PATH", help="of all these runs, to count what is left")
    parser.set_defaults(command=_status)


def _status(options: argparse.Namespace, console: Console) -> int:
    paths = results_files(options.output_jsonl)
    if len(paths) > 1:
        for path in paths:
            each = read_status(path)
            failed, running = sum(each.failed.values()), ", running" if each.writer else ""
            console.print(
                f"{path}: {each.done} done, {failed} failed{running}", markup=False, highlight=False
            )
    title = "trackkit status" if len(paths) == 1 else f"trackkit status, {len(paths)} runs together"
    console.print(status_table(read_status(paths, options.video_list), title))
    return OK


def results_files(paths: Sequence[str]) -> list[Path]:
    """The results files among these, each once: ``out/*.jsonl`` finds those of failures, too."""
    named = [Path(path) for path in paths]
    return list(dict.fromkeys(path for path in named if path not in {failures_path(each) for each in named}))


def status_table(status: RunStatus, title: str = "trackkit status") -> Table:
    """How far a run is, for ``trackkit status``."""
    table = Table(show_header=False, title=title, title_justify="left")
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
        left = 3600 * status.left / status.videos_per_hour if status.left else 0.0
        rest = f", {duration(left)} for those left" if left else ""
        table.add_row("rate", f"{pace(status.videos_per_hour, 'video')} while it ran{rest}")
    table.add_row("running", "no" if status.writer is None else f"yes, {status.writer}")
    return table
