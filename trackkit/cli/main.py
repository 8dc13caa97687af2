"""The command line: ``trackkit track``, ``status``, ``eval``, ``export``, ``demo``, ``models``, ``doctor``.

Exit codes: 0 all videos are done, 1 some failed or the run broke off, 2 the command cannot work as given,
130 Ctrl-C, 143 SIGTERM.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version

from rich.console import Console

from trackkit.cli import demo, doctor, evaluate, export, models, status, track
from trackkit.cli.exit_codes import USAGE
from trackkit.cli.parser import Parser
from trackkit.core.errors import TrackkitError
from trackkit.monitor.displays import NoteHandler
from trackkit.run.interrupts import Interrupted, orderly_end


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = [to_kebab(word) for word in (sys.argv[1:] if argv is None else argv)]
    options = make_parser().parse_args(arguments)
    console = Console(soft_wrap=True)
    try:
        with orderly_end(), _notes_on(console):
            code: int = options.command(options, console)
    except TrackkitError as error:
        print(f"trackkit: {error}", file=sys.stderr)
        return USAGE
    except Interrupted as interrupted:
        kept = getattr(options, "output_jsonl", None) is not None
        advice = "the same command goes on from here" if kept else "no --output-jsonl was given to go on from"
        print(f"trackkit: interrupted; {advice}", file=sys.stderr)
        return interrupted.exit_code
    return code


@contextmanager
def _notes_on(console: Console) -> Iterator[None]:
    """What trackkit tells Python's logging is told on the console, above the bars of a run."""
    log = logging.getLogger("trackkit")
    level = log.level
    notes = NoteHandler(lambda text: console.print(f"note: {text}", markup=False, highlight=False))
    log.addHandler(notes)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(notes)
        log.setLevel(level)


def to_kebab(word: str) -> str:
    """``--video_list=a_b`` -> ``--video-list=a_b``: both spellings of every flag are understood."""
    if not word.startswith("--"):
        return word
    flag, equals, value = word.partition("=")
    return flag.replace("_", "-") + equals + value


def make_parser() -> Parser:
    """The parser of all commands; each stands in a file of its own."""
    parser = Parser(
        prog="trackkit",
        description="Track what a text prompt names through many videos, on every GPU you have.",
        epilog="Flags may be spelled with - or _ between words.",
    )
    parser.add_argument("--version", action="version", version=f"trackkit {version('trackkit')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (track, evaluate, export, status, demo, models, doctor):
        command.add_command(commands)
    return parser
