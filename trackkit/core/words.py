"""Numbers and names as they stand in a sentence."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def plural(count: int, noun: str) -> str:
    """``1 video``, ``2 videos``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration(seconds: float) -> str:
    """``0.8 s``, ``45 s``, ``12 min``, ``3.5 h``, ``2.1 days``: as exact as an estimate is read."""
    for unit, length in (("days", 86_400), ("h", 3_600)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 120 else _short(seconds) + " s"


def pace(per_hour: float, noun: str) -> str:
    """``12 videos an hour``, ``5.2 videos a minute``, ``15 videos a second``: a number that can be read."""
    for unit, length in (("second", 3_600), ("minute", 60)):
        if per_hour >= length:
            return f"{_short(per_hour / length)} {noun}s a {unit}"
    return f"{_short(per_hour)} {noun}s an hour"


def _short(number: float) -> str:
    return f"{number:.0f}" if number >= 9.95 else f"{number:.1f}"


def did_you_mean(word: str, among: Iterable[str], template: str = "; did you mean {}?") -> str:
    """Which of these names a mistyped one is near; empty if it is near none."""
    plain = {_plain(each): each for each in among}
    near = difflib.get_close_matches(_plain(word), plain, n=1)
    return template.format(plain[near[0]]) if near else ""


def _plain(name: str) -> str:
    return name.casefold().lstrip("-").replace("_", "-")


def choose_one(value: object, among: Iterable[str]) -> str:
    """``choose one of color, mini``, and which of them is near."""
    names = list(among)
    return f"choose one of {', '.join(names)}{did_you_mean(value, names) if isinstance(value, str) else ''}"
