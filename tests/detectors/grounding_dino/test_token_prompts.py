"""Classes become tokens, or the message says what the model does not know."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from dino_detectors import CLASSES, Make, phrases
from small_models import MAX_TEXT_LEN
from transformers import BertTokenizerFast

from trackkit.core.errors import PromptError
from trackkit.detectors.grounding_dino.token_prompts import make_prompts

torch.set_num_threads(1)


def test_the_prompt_is_the_one_of_transformers(loaded: tuple[Any, Any]) -> None:
    processor = loaded[1]
    (prompt,) = make_prompts(CLASSES, processor.tokenizer, MAX_TEXT_LEN)
    theirs = processor(text=[list(CLASSES)], return_tensors="pt").input_ids[0].tolist()
    assert list(prompt.input_ids) == theirs
    assert [list(range(s.start, s.stop)) for s in prompt.spans] == phrases(theirs)


def test_a_class_that_is_too_long(make: Make) -> None:
    with pytest.raises(PromptError, match=r"is 62 tokens long, GroundingDINO takes 61"):
        make("dog", " ".join(["red"] * 62))
    make("dog", " ".join(["red"] * 61))


@pytest.mark.parametrize("name", ["猫", "ж ж"])
def test_a_class_without_a_known_word(make: Make, name: str) -> None:
    with pytest.raises(PromptError, match="has no word that GroundingDINO knows") as error:
        make("dog", name)
    assert repr(name) in str(error.value)


def closed_tokenizer(*more: str) -> BertTokenizerFast:
    """Colours and shapes, and no letters to spell anything else with."""
    vocabulary = [f"[unused{i}]" for i in range(1100)]
    for token, place in {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}.items():
        vocabulary[place] = token
    words = ["red", "blue", "circle", "square", "object", *more]
    vocabulary[110 : 110 + len(words)] = words
    return BertTokenizerFast(vocab={token: place for place, token in enumerate(vocabulary)})


def test_a_closed_vocabulary_refuses_every_class_with_an_unknown_word() -> None:
    tokenizer = closed_tokenizer()
    prompts = make_prompts(["Red circle", "blue object", "red?"], tokenizer, MAX_TEXT_LEN)
    assert prompts[0].input_ids == (101, 110, 112, 1012, 111, 114, 1012, 110, 1012, 102)
    with pytest.raises(PromptError) as error:
        make_prompts(["red circle", "Tiny red Zebra", "car"], tokenizer, MAX_TEXT_LEN)
    message = str(error.value)
    assert "class 'Tiny red Zebra' has words that this GroundingDINO does not know: Tiny, Zebra." in message
    assert "It knows red, blue, circle, square, object." in message
    assert "IDEA-Research/grounding-dino-base" in message
    assert "Write 'red object'. " in message
    with pytest.raises(PromptError, match="Write 'blue square'"):
        make_prompts(["a Blue square lamp"], tokenizer, MAX_TEXT_LEN)


def test_word_endings_do_not_open_a_vocabulary() -> None:
    tokenizer = closed_tokenizer("##s", "a")
    make_prompts(["red circles", "a square"], tokenizer, MAX_TEXT_LEN)
    with pytest.raises(
        PromptError,
        match=r"does not know: cubes\. Write 'red object'\. It knows red, blue, circle, square, object\.",
    ):
        make_prompts(["red cubes"], tokenizer, MAX_TEXT_LEN)


def test_a_vocabulary_with_letters_spells_unknown_words_out(loaded: tuple[Any, Any]) -> None:
    tokenizer = loaded[1].tokenizer
    (prompt,) = make_prompts(["red zebra", "red 猫"], tokenizer, MAX_TEXT_LEN)
    spelled, known = (tokenizer.convert_ids_to_tokens(prompt.input_ids[span]) for span in prompt.spans)
    assert spelled == ["red", "z", "##e", "##b", "##r", "##a"]
    assert known == ["red", "[UNK]"]  # one known word is enough
