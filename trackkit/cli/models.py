"""The command ``trackkit models``."""

from __future__ import annotations

import argparse

from rich.console import Console

from trackkit.cli.exit_codes import OK
from trackkit.cli.options import Commands
from trackkit.weights.catalog import fetch_model, list_models
from trackkit.weights.shipped import is_shipped


def add_command(commands: Commands) -> None:
    """Add the command and its actions."""
    parser = commands.add_parser("models", help="list, fetch and verify weights")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="models, and which of them are here")
    listing.set_defaults(command=_list)
    for name, text, command in (
        ("fetch", "download what is not here yet", _fetch),
        ("verify", "load strictly, on the CPU, and compare checksums", _verify),
    ):
        action = actions.add_parser(name, help=text, description=f"{text.capitalize()}.")
        action.add_argument("name", help="sam2.1_hiera_large, a GroundingDINO hub name, a file, a folder")
        action.set_defaults(command=command)


def _list(options: argparse.Namespace, console: Console) -> int:
    rows = [("model", "kind", "parameters", "size", "where")]
    for model in list_models():
        size = "" if model.size_bytes is None else f"{model.size_bytes / 2**20:.0f} MiB"
        place = "not here" if model.path is None else str(model.path)
        millions = model.parameters / 1e6
        rows.append((model.name, model.kind, f"{millions:.{int(millions < 10)}f} M", size, place))
    # In lines that a narrow terminal does not cut: names and paths are there to be copied.
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True))
        console.print(line.rstrip(), markup=False, highlight=False)
    return OK


def _fetch(options: argparse.Namespace, console: Console) -> int:
    path = fetch_model(options.name)
    note = " ships with trackkit: nothing to fetch" if is_shipped(path) else ""
    console.print(f"{path}{note}", markup=False, highlight=False)
    return OK


def _verify(options: argparse.Namespace, console: Console) -> int:
    from trackkit.tracking.verify import verify

    found = verify(options.name)
    released = {True: "bit for bit a released file", False: "no released file", None: "no checksum known"}
    console.print(f"{found.path} loads strictly as {found.model}", markup=False, highlight=False)
    console.print(f"{found.keys} tensors, {found.parameters:,} weights ({', '.join(found.dtypes)})")
    origin = "ships with trackkit" if is_shipped(found.path) else released[found.released]
    console.print(f"sha256 {found.sha256}: {origin}", highlight=False)
    return OK
