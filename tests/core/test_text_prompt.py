# ruff: noqa: RUF001 - the punctuation of other scripts is meant
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
        # Separators.
        ("person | car", ("person", "car")),
        ("person|car|", ("person", "car")),
        ("person。car", ("person", "car")),
        ("人，猫；犬、鳥。", ("人", "猫", "犬", "鳥")),
        ("قطة، كلب", ("قطة", "كلب")),
        ("person \u2022 car", ("person", "car")),
        ("- person\n- red cup\r\n* dog\u2028cat", ("person", "red cup", "dog", "cat")),
        ("car...dog", ("car", "dog")),
        # Brackets and quotes of lists.
        ("[person, car]", ("person", "car")),
        ('["person", "red cup"]', ("person", "red cup")),
        ("['person', 'car']", ("person", "car")),
        ("('person', 'car')", ("person", "car")),
        ('{"person","car"}', ("person", "car")),
        ('[["person"], ["car"]]', ("person", "car")),
        ("[person], (car)", ("person", "car")),
        ("[person", ("person",)),
        ("（人）。「猫」", ("人", "猫")),
        ("“person”, «car», `dog`", ("person", "car", "dog")),
        # In quotes as a whole.
        ('"person. car."', ("person", "car")),
        ("'person, car'", ("person", "car")),
        # What stays whole.
        ('"U.S. flag"', ("U.S. flag",)),
        ("'U.S. flag'. car", ("U.S. flag", "car")),
        ('["U.S. flag", "salt, pepper"]', ("U.S. flag", "salt, pepper")),
        ('a "U.S." flag. St. Bernard', ("a U.S. flag", "St", "Bernard")),
        ("1.5 l bottle. car 2.0", ("1.5 l bottle", "car 2.0")),
        # What is part of a name.
        ("cup (red). red (or pink) cup (big)", ("cup (red)", "red (or pink) cup (big)")),
        ("person/car, black & white cow", ("person/car", "black & white cow")),
        ('7" tablet, 10" tablet', ('7" tablet', '10" tablet')),
        ("driver's seat, girls' bike, 'n' roll", ("driver's seat", "girls' bike", "'n' roll")),
        ("'60s car, girls' bike", ("'60s car", "girls' bike")),
        ('the "stop" sign, "go" sign', ('the "stop" sign', '"go" sign')),
        ('["driver\'s seat", car]', ("driver's seat", "car")),
        ("0.1.2, 3,4", ("0", "1", "2", "3", "4")),
        ('"a, b', ('"a', "b")),
        ("-5 sign", ("-5 sign",)),
    ],
)
def test_classes_of_a_prompt(text: str, classes: tuple[str, ...]) -> None:
    assert parse_prompt(text) == classes


@pytest.mark.parametrize("text", ["", "  ", ".", ". , ;", "\x00\x01", None, 7])
def test_a_prompt_that_names_nothing(text: object) -> None:
    with pytest.raises(PromptError, match="text_prompt"):
        parse_prompt(text)  # type: ignore[arg-type]


def test_a_list_is_told_how_to_be_a_string() -> None:
    with pytest.raises(PromptError, match=r"""one string, 'person\. "U\.S\. flag"\.'"""):
        parse_prompt(["person", "U.S. flag"])  # type: ignore[arg-type]
    assert parse_prompt('person. "U.S. flag".') == ("person", "U.S. flag")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("U.S. flag. car", "reads as 4 classes, U | S | flag | car: "),
        ("St. Bernard", "reads as 2 classes, St | Bernard"),
        ("1. person. 2. dog", "reads as 4 classes, 1 | person | 2 | dog"),
        ('"person. car"', "one class each, as it is in quotes: person. car"),
    ],
)
def test_what_may_be_meant_otherwise_is_told(text: str, told: str) -> None:
    (note,) = TrackConfig(text).notes
    assert told in note


@pytest.mark.parametrize("text", ["car", "a", "a | b", "x, y\nz", "person. red cup.", "1.5 l bottle, car"])
def test_what_is_plain_is_not(text: str) -> None:
    assert TrackConfig(text).notes == ()


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
