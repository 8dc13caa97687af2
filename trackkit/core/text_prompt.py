"""Text prompts: what the user types becomes a list of classes."""

from __future__ import annotations

import re
import unicodedata

from trackkit.core.errors import PromptError

MAX_PROMPT_CHARS = 2_000
_SEPARATORS = re.compile(r"[.,;\n\r]+")


def parse_prompt(text_prompt: str) -> tuple[str, ...]:
    """Split a prompt into its classes.

    ``"person. red cup."``, ``"person, red cup"``, ``"person; red cup"`` all give ``("person", "red cup")``.
    Classes keep the user's spelling; one that comes twice (whatever its case) counts once.

    Raises:
        PromptError: There is no class in the prompt, it is too long, or no text (lone surrogates).
    """
    if not isinstance(text_prompt, str):
        msg = f"text_prompt is {text_prompt!r}: expected a string such as 'person. red cup.'"
        raise PromptError(msg)
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
    text = "".join(" " if unicodedata.category(c)[0] == "C" and c not in "\n\r" else c for c in text_prompt)
    classes: dict[str, str] = {}
    for part in _SEPARATORS.split(text):
        name = " ".join(part.split())
        if any(c.isalnum() for c in name):
            classes.setdefault(name.casefold(), name)
    if not classes:
        msg = f"text_prompt {text_prompt!r} names nothing: expected classes such as 'person. red cup.'"
        raise PromptError(msg)
    return tuple(classes.values())
