"""The command ``trackkit status``."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trackkit.cli.exit_codes import OK
from trackkit.cli.options import Commands
from trackkit.monitor.status import RunStatus, read_status


def add_command(commands: Commands) -> None:
    """Add the command and its options."""
    about = "say what is done, failed and left, and how fast it goes"
    parser = commands.add_parser("status", help=about, description=f"{about.capitalize()}.")
    parser.add_argument("output_jsonl", metavar="FILE", help="the --output-jsonl of the run")
    parser.add_argument("--video-list", metavar="PATH", help="of the run, to count what is left")
    parser.set_defaults(command=_status)


def _status(options: argparse.Namespace, console: Console) -> int:
    console.print(status_table(read_status(options.output_jsonl, options.video_list)))
    return OK


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
