"""Reads the command line, and says in a line what is wrong with it."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from trackkit.cli.exit_codes import USAGE
from trackkit.core.errors import ConfigError
from trackkit.core.options import Option
from trackkit.core.words import did_you_mean

_NUMBER = re.compile(r"-\.?\d")
_BETWEEN = re.compile(r"[\s,;\[\]()]+")


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are short, and name what was probably meant."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse does it, but a flag that is not there is named before what is missing."""
        words = sys.argv[1:] if args is None else list(args)
        if self._subparsers is None:
            self._check_flags(words)
        elif words and words[0].startswith("--") and not self._knows(words[0]):
            self.error(f"the command comes first: trackkit track {words[0]} ...")
        found, rest = super().parse_known_args(words, namespace)
        for action in self._actions:  # argparse takes one run of words, and leaves those between flags
            if rest and action.nargs == "*" and not action.option_strings:
                setattr(found, action.dest, [*getattr(found, action.dest), *rest])
                rest = []
        if rest:
            self.error(f"unexpected {' '.join(rest)}; a value with spaces is written in quotes")
        return found, rest

    def _check_flags(self, words: Sequence[str]) -> None:
        for word in words:
            if word == "--":
                break
            if word[:1] != "-" or word == "-" or " " in word or _NUMBER.match(word) or self._knows(word):
                continue
            flag, known = word.partition("=")[0], self._option_string_actions
            self.error(f"no option {flag}{did_you_mean(flag, [name for name in known if name[:2] == '--'])}")

    def _knows(self, word: str) -> bool:
        flag = word.partition("=")[0]  # or the beginning of one
        return any(name.startswith(flag) or name == flag[:2] for name in self._option_string_actions)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            names = [str(each) for each in action.choices]
            listed = ", ".join(map(repr, names))
            msg = f"invalid choice: {value!r} (choose from {listed}){did_you_mean(str(value), names)}"
            raise argparse.ArgumentError(action, msg)

    def error(self, message: str) -> NoReturn:
        """End with the message, and where the options are listed."""
        self.exit(USAGE, f"{self.prog}: {message}\n{self.prog} --help lists what there is\n")


class Many(argparse.Action):
    """Values apart by spaces, by commas, or after the flag once more: ``0 1``, ``0,1``, ``[0, 1]``."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Add them to those that were given before."""
        added = [value for part in values for value in part]
        if not added:
            parser.error(f"argument {option_string}: expected at least one value")
        setattr(namespace, self.dest, [*getattr(namespace, self.dest, ()), *added])


def reader(known: Option) -> Callable[[str], Any]:
    """What makes the value of an option of a word, and refuses one that the option does not take."""

    def read(word: str) -> Any:
        if known.many:
            return [known.kind(part) for part in _BETWEEN.split(word) if part]
        try:
            return known.check(known.kind(word))
        except ConfigError:
            without = f" (without it: {known.none})" if known.none else ""
            msg = f"{word} is out of range: {known.expected}{without}"
            raise argparse.ArgumentTypeError(msg) from None

    read.__name__ = known.kind.__name__  # argparse: "invalid int value"
    return read
