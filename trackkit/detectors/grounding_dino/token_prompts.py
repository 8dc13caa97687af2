"""From the classes of the prompt to the tokens that GroundingDINO reads."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trackkit.core.errors import PromptError
from trackkit.weights.releases import DEFAULT_DETECTOR

# The ids are written into the model: these tokens part the phrases of a prompt from each other.
PAD, CLS, SEP, PERIOD, QUESTION_MARK = 0, 101, 102, 1012, 1029
_DELIMITERS = {PAD, CLS, SEP, PERIOD, QUESTION_MARK}


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """As many of the classes as one forward pass takes: ``[CLS] red cup . dog . [SEP]``.

    Attributes:
        input_ids: The tokens.
        spans: Where the tokens of each class stand.
        first: Index, among all classes, of the first one here.
    """

    input_ids: tuple[int, ...]
    spans: tuple[slice, ...]
    first: int


def make_prompts(classes: Sequence[str], tokenizer: Any, max_tokens: int) -> tuple[TokenPrompt, ...]:
    """Turn classes into as few prompts as the model's text length allows.

    Args:
        classes: In the user's spelling; the model reads them in lower case.
        tokenizer: A BERT tokenizer.
        max_tokens: What the model takes at once, the delimiters included (256 for the released models).

    Raises:
        PromptError: A class is too long, or has no word that the model knows; or any word that it does not
            know, where the model cannot spell a word out.
    """
    closed = _closed_vocabulary(tokenizer)
    prompts: list[TokenPrompt] = []
    ids: list[int] = [CLS]
    spans: list[slice] = []
    first = 0
    for index, name in enumerate(classes):
        if closed is not None:
            _check_words(name, closed, tokenizer)
        encoded = tokenizer(name.lower(), add_special_tokens=False, verbose=False)["input_ids"]
        tokens = [token for token in encoded if token not in _DELIMITERS]
        if all(token == tokenizer.unk_token_id for token in tokens):
            msg = f"class {name!r} has no word that GroundingDINO knows: describe it in English words"
            raise PromptError(msg)
        if len(tokens) + 3 > max_tokens:
            limit = max_tokens - 3
            msg = f"class {name!r} is {len(tokens)} tokens long, GroundingDINO takes {limit}: use fewer words"
            raise PromptError(msg)
        if len(ids) + len(tokens) + 2 > max_tokens:
            prompts.append(TokenPrompt((*ids, SEP), tuple(spans), first))
            ids, spans, first = [CLS], [], index
        spans.append(slice(len(ids), len(ids) + len(tokens)))
        ids += [*tokens, PERIOD]
    return (*prompts, TokenPrompt((*ids, SEP), tuple(spans), first))


def _closed_vocabulary(tokenizer: Any) -> list[str] | None:
    """The words of a model that knows these alone; None where it has pieces to spell every word with."""
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    if all(f"##{letter}" in vocabulary for letter in string.ascii_lowercase):
        return None
    return [word for word in sorted(vocabulary, key=vocabulary.__getitem__) if word.isalpha() and word[1:]]


def _check_words(name: str, known: Sequence[str], tokenizer: Any) -> None:
    # An unknown word would be one and the same token whatever it says: the others would decide alone.
    words = [word for word in name.split() if _is_unknown(word, tokenizer)]
    if words:
        rest = [word.lower() for word in name.split() if word.lower() in known]
        rest += ["object"] if len(rest) == 1 and "object" in known else []
        advice = f"Write {' '.join(rest)!r}. " if rest else ""
        msg = (
            f"class {name!r} has words that this GroundingDINO does not know: {', '.join(words)}. {advice}"
            f"It knows {', '.join(known)}. For other words use a released model, such as {DEFAULT_DETECTOR}"
        )
        raise PromptError(msg)


def _is_unknown(word: str, tokenizer: Any) -> bool:
    tokens: list[int] = tokenizer(word.lower(), add_special_tokens=False)["input_ids"]
    return tokenizer.unk_token_id in tokens
