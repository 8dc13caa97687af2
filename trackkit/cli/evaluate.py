"""The command ``trackkit eval``."""

from __future__ import annotations

import argparse

from rich.console import Console

from trackkit.cli.exit_codes import OK
from trackkit.cli.options import Commands
from trackkit.evaluation.evaluate import SIMILARITIES, evaluate
from trackkit.formats.ground_truth import TRUTH_FORMATS


def add_command(commands: Commands) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "eval",
        help="compare results with ground truth",
        description="Compare results with ground truth: HOTA, IDF1, MOTA, precision, recall, J and F.",
    )
    parser.set_defaults(command=_evaluate)
    add = parser.add_argument
    add("predictions", metavar="JSONL", help="results of trackkit track")
    add(
        "--ground-truth",
        required=True,
        metavar="PATH",
        help="trackkit JSONL, MOTChallenge text, DAVIS masks, YouTube-VIS JSON; or a folder of one kind",
    )
    add("--format", choices=TRUTH_FORMATS, help="of the ground truth (default: what PATH looks like)")
    add(
        "--by",
        choices=SIMILARITIES,
        help="compare masks or boxes (default: masks where both sides have them)",
    )
    add("--ignore-labels", action="store_true", help="match objects whatever their labels are")
    add(
        "--min-visibility",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="ignore ground truth of which less than this share is visible (default: %(default)s)",
    )
    add("--json", metavar="FILE", help="write the numbers to this file, too")


def _evaluate(options: argparse.Namespace, console: Console) -> int:
    evaluation = evaluate(
        options.predictions,
        options.ground_truth,
        format=options.format,
        by=options.by,
        ignore_labels=options.ignore_labels,
        min_visibility=options.min_visibility,
    )
    console.print(str(evaluation), markup=False, highlight=False)
    if options.json:
        evaluation.to_json(options.json)
    return OK
