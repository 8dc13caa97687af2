from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackkit.config import TrackConfig
from trackkit.core.errors import PromptError
from trackkit.core.text_prompt import MAX_PROMPT_CHARS, parse_prompt


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


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(PromptError, match="no Unicode text at character 3"):
        parse_prompt(b"car\xff".decode("utf-8", "surrogateescape"))


@given(st.text(st.characters(exclude_categories=()), max_size=MAX_PROMPT_CHARS + 10))
def test_any_text_gives_classes_or_a_prompt_error(text: str) -> None:
    try:
        config = TrackConfig.from_preset("color", text)
    except PromptError as error:
        str(error).encode()  # can be printed
        return
    classes = config.classes
    assert classes
    assert TrackConfig.from_dict(orjson.loads(orjson.dumps(config.to_dict()))).hash == config.hash
    assert all(name == " ".join(name.split()) and name for name in classes)
    assert len({name.casefold() for name in classes}) == len(classes)
