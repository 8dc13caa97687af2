from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackkit.errors import PromptError
from trackkit.prompts import MAX_PROMPT_CHARS, parse_prompt


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("car", ("car",)),
        ("person. car.", ("person", "car")),
        ("person, car", ("person", "car")),
        ("person;car\nred  cup", ("person", "car", "red cup")),
        ("Person. person. PERSON", ("Person",)),
        (" . , a . ", ("a",)),
        ("Straße. 自転車", ("Straße", "自転車")),
        ("t-shirt", ("t-shirt",)),
    ],
)
def test_classes_of_a_prompt(text: str, classes: tuple[str, ...]) -> None:
    assert parse_prompt(text) == classes


@pytest.mark.parametrize("text", ["", "  ", ".", ". , ;", "\x00\x01", None, 7])
def test_a_prompt_that_names_nothing(text: object) -> None:
    with pytest.raises(PromptError, match="text_prompt"):
        parse_prompt(text)  # type: ignore[arg-type]


def test_a_prompt_that_is_too_long() -> None:
    with pytest.raises(PromptError, match="10000 characters"):
        parse_prompt("x" * 10_000)


@given(st.text(max_size=MAX_PROMPT_CHARS))
def test_any_text_gives_classes_or_a_prompt_error(text: str) -> None:
    try:
        classes = parse_prompt(text)
    except PromptError:
        return
    assert classes
    assert all(name == " ".join(name.split()) and name for name in classes)
    assert len({name.casefold() for name in classes}) == len(classes)
