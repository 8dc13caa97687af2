"""Text prompts: what the user types becomes a list of classes."""

# ruff: noqa: RUF001 - the punctuation of other scripts is meant

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from trackkit.core.errors import PromptError

MAX_PROMPT_CHARS = 2_000
_LINE_ENDS = "\n\r\v\f\x85\u2028\u2029"
#: Full stops, commas, semicolons, bars, of every script that has its own.
_SEPARATORS = ".,;|•。．｡，､、；｜،؛۔।" + _LINE_ENDS
_BRACKETS = {"[": "]", "(": ")", "{": "}", "（": "）", "［": "］", "【": "】"}
_QUOTES = {'"': '"', "＂": "＂", "“": "”", "„": "“”", "«": "»", "「": "」", "『": "』"}
_APOSTROPHES = {"'": "'", "‘": "’", "`": "`"}


_BEGINS = re.escape(_SEPARATORS + "".join(_BRACKETS))
_ENDS = re.escape(_SEPARATORS + "".join(_BRACKETS.values()))


def _quoted(quotes: Mapping[str, str], end: str) -> str:
    """Pattern of what is in quotes if they stand where a name begins, and ``end`` follows."""
    inside = "|".join(f"{opening}[^{closing}]+[{closing}]" for opening, closing in quotes.items())
    return rf"(?<![^\s{_BEGINS}])(?:{inside})(?={end})"


# Marks of inches, and most apostrophes, stand behind a digit or a letter: 7" tablet, girls' bike.
_WHOLE = (
    _quoted(_QUOTES, rf"[{_ENDS}]|$|\s"),
    _quoted(_APOSTROPHES, rf"\s*(?:[{_ENDS}]|$)"),
    r"(?<![\d.])\d+\.\d+(?!\.?\d)",
)
_PARTS = re.compile(f"{'|'.join(_WHOLE)}|(?P<separator>[{re.escape(_SEPARATORS)}]+)")
_QUOTED_STOP = re.compile('["＂“„«「『]([^"＂”»」』]*[.][^"＂”»」』]*)["＂”“»」』]')
_BULLET = re.compile("[-*–—] ")
# What is no name by itself, but before a full stop: an abbreviation, the number of a list.
_NO_NAME = re.compile(r"[a-z]|st|mrs?|ms|dr|no|\d+", re.IGNORECASE)


def parse_prompt(text_prompt: str) -> tuple[str, ...]:
    """Split a prompt into its classes.

    ``"person. red cup."``, ``"person, red cup"``, ``"person | red cup"``, ``"[person, red cup]"`` all give
    ``("person", "red cup")``, and so do a line each, the full stops and commas of other scripts, and
    ``'["person", "red cup"]'``. What is in quotes stays whole, ``'"U.S. flag". car'``, and so does a number,
    ``"1.5 l bottle"``. Classes keep the user's spelling. One that comes twice, whatever its case, is one.

    Raises:
        PromptError: There is no class in the prompt, it is too long, or no text (lone surrogates).
    """
    if not isinstance(text_prompt, str):
        _refuse(text_prompt)
    if len(text_prompt) > MAX_PROMPT_CHARS:
        msg = (
            f"text_prompt has {len(text_prompt)} characters, at most {MAX_PROMPT_CHARS} are supported: "
            "name fewer classes, or run twice"
        )
        raise PromptError(msg)
    try:
        text_prompt.encode()
    except UnicodeEncodeError as error:  # bytes that are not UTF-8, given on a command line
        shown, place = text_prompt[:80], error.start
        msg = f"text_prompt {shown!r} is no Unicode text at character {place}: write it in UTF-8"
        raise PromptError(msg) from None
    text = "".join(
        " " if unicodedata.category(c)[0] == "C" and c not in _LINE_ENDS else c for c in text_prompt
    )
    classes: dict[str, str] = {}
    for part in _split(_unquoted(text.strip())):
        name = _name(part)
        if any(c.isalnum() for c in name):
            classes.setdefault(name.casefold(), name)
    if not classes:
        msg = f"text_prompt {text_prompt!r} names nothing: expected classes such as 'person. red cup.'"
        raise PromptError(msg)
    return tuple(classes.values())


def prompt_note(text_prompt: str, classes: Sequence[str]) -> str | None:
    """What the user should know of how a prompt was read; None where that is plain."""
    if len(classes) > 1 and any(_NO_NAME.fullmatch(name) and f"{name}." in text_prompt for name in classes):
        return (
            f"the prompt reads as {len(classes)} classes, {' | '.join(classes)}: "
            "a name with a full stop in it is written in quotes, '\"U.S. flag\". car.'"
        )
    whole = [name for name in classes if len(list(_split(name))) > 1]
    return f"one class each, as it is in quotes: {' | '.join(whole)}" if whole else None


def _refuse(value: object) -> None:
    expected = "a string such as 'person. red cup.'"
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        names = (each if len(list(_split(each))) == 1 else f'"{each}"' for each in value)
        expected = f"one string, {'. '.join(names) + '.'!r}"
    msg = f"text_prompt is {value!r}: expected {expected}"
    raise PromptError(msg)


def _split(text: str) -> Iterator[str]:
    """The parts between separators, those within quotes and numbers not counted."""
    start = 0
    for found in _PARTS.finditer(text):
        if found["separator"]:
            yield text[start : found.start()]
            start = found.end()
    yield text[start:]


def _unquoted(text: str) -> str:
    """A prompt that is in quotes as a whole, without them; a single name that is in quotes, with them."""
    inner = text[1:-1]
    if not _is_quoted(text) or not (inner.rstrip()[-1:] in _SEPARATORS or set(inner) & set(_SEPARATORS[1:])):
        return text
    return inner


def _is_quoted(text: str) -> bool:
    ends = (_QUOTES | _APOSTROPHES).get(text[:1], "")
    return len(text) > 2 and text[-1] in ends and not set(text[1:-1]) & set(ends)


def _name(part: str) -> str:
    """A class without what is no part of its name: brackets and quotes around it, the bullet of a list."""
    name = " ".join(part.split())
    name = name[2:] if _BULLET.match(name) else name
    shorter = ""
    while shorter != name:
        shorter = name
        for opening, closing in _BRACKETS.items():
            surplus = name.count(opening) - name.count(closing)
            if name[:1] == opening and (surplus > 0 or _encloses(name, opening, closing)):
                name = name[1:].strip()
            elif name[-1:] == closing and surplus < 0:
                name = name[:-1].strip()
        name = name[1:-1].strip() if _is_quoted(name) else name
    return _QUOTED_STOP.sub(r"\1", name)


def _encloses(name: str, opening: str, closing: str) -> bool:
    """Whether the bracket with which a name begins is closed by its last character."""
    depth = 0
    for place, c in enumerate(name):
        depth += (c == opening) - (c == closing)
        if depth == 0:
            return place == len(name) - 1
    return False
