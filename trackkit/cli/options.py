"""Flags and tables made from classes of options: see :mod:`trackkit.core.options`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from trackkit.cli.parser import Many, Parser, reader
from trackkit.core.options import Option, options_of

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
"""What ``add_subparsers`` gives, to which each command adds itself."""
METAVARS = {int: "N", float: "NUMBER", str: "TEXT"}


class _Switch(argparse.BooleanOptionalAction):
    """``--resume`` and ``--no-resume``; giving both is an error."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest, None)
        super().__call__(parser, namespace, values, option_string)
        if before is not None and before != getattr(namespace, self.dest):
            parser.error(
                f"argument {option_string}: not allowed with argument {self.option_strings[before is False]}"
            )


def flag_of(known: Option) -> str | None:
    """``patience_s`` -> ``--patience-s``, unless the option names its flag, or has none."""
    return known.flag if known.flag != "" else "--" + known.name.replace("_", "-")


def add_options(group: Any, cls: type, choices: Mapping[str, Sequence[str]] | None = None) -> None:
    """Add a flag for each option of a class.

    What is not given is not in the namespace either, so that a preset, or the class, decides.

    Args:
        group: Of an argument parser.
        cls: The class.
        choices: Of options whose values are known to the program only.
    """
    for known in options_of(cls).values():
        flag = flag_of(known)
        if flag is None:
            continue
        names = known.choices or tuple((choices or {}).get(known.name, ()))
        facts: dict[str, Any] = {"metavar": known.metavar or METAVARS.get(known.kind), "type": reader(known)}
        if names:
            facts = {"choices": names}
        elif known.kind is bool:
            facts = {"action": _Switch}
        elif known.many:
            facts |= {"nargs": "+", "action": Many}
        text = f"{known.help} (default: {known.default_text})".replace("%", "%%")
        group.add_argument(flag, dest=known.name, default=argparse.SUPPRESS, help=text, **facts)


def given(options: argparse.Namespace, cls: type) -> dict[str, Any]:
    """The options of a class that were given on the command line."""
    return {name: value for name, value in vars(options).items() if name in options_of(cls)}


def options_table(*classes: type) -> str:
    """A Markdown table of the flags of these classes, for the README."""
    rows = ["| flag | default | |", "|---|---|---|"]
    for known in (known for cls in classes for known in options_of(cls).values()):
        flag = flag_of(known)
        if flag is None:
            continue
        flags = f"`{flag}`"
        if known.default is True:
            flags += f" / `--no-{flag.removeprefix('--')}`"
        text = known.help
        if known.choices:
            text += f" ({', '.join(f'`{each}`' for each in known.choices)})"
        if known.details:
            text += f". {known.details.removesuffix('.')}"
        rows.append(f"| {flags} | {known.default_text} | {text} |")
    return "\n".join(rows)
