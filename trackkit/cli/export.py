"""The command ``trackkit export``."""

from __future__ import annotations

import argparse

from rich.console import Console

from trackkit.cli.exit_codes import OK
from trackkit.cli.options import Commands
from trackkit.core.words import plural
from trackkit.formats.writers import EXPORT_FORMATS
from trackkit.tracking_results import export_results


def add_command(commands: Commands) -> None:
    """Add the command and its options."""
    width = max(map(len, EXPORT_FORMATS))
    parser = commands.add_parser(
        "export",
        help="write results in a format of other tools",
        description="Write results in a format that other tools read.",
        epilog="formats:\n"
        + "\n".join(f"  {name:{width}}  {kind.about}" for name, kind in EXPORT_FORMATS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("results", metavar="JSONL", help="results of trackkit track")
    add("--format", required=True, choices=EXPORT_FORMATS, help="see below")
    add(
        "--output", required=True, metavar="PATH", help="file to write, or folder, which must be new or empty"
    )
    add(
        "--with-frames",
        action="store_true",
        help="write the processed frames, too: PATH_frames/<video>/<frame_idx>.jpg, PATH without a suffix",
    )
    parser.set_defaults(command=_export)


def _export(options: argparse.Namespace, console: Console) -> int:
    done = export_results(options.results, options.output, options.format, with_frames=options.with_frames)
    rows, videos = plural(done.rows, "row"), plural(done.videos, "video")
    lines = [f"{done.path}: {rows} of {videos}; {done.list_path} lists the videos"]
    lines += [f"{done.frames_path}: the frames"] if done.frames_path else []
    for line in [*lines, *(f"note: {note}" for note in done.notes)]:
        console.print(line, markup=False, highlight=False)
    return OK
