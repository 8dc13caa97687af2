"""What the user points out is checked when it is said."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from by_hand import CONFIG

from trackkit.core.errors import PromptError
from trackkit.core.prompts import Prompt, settle_prompts


def test_prompts_are_plain_values() -> None:
    mask = np.zeros((6, 8), bool)
    mask[2:4, 3:7] = True
    for prompt in (
        Prompt(3, 1, "car", box=np.array([1, 2, 3.5, 4], np.float32), points=[[2, 3]], point_labels=[0]),
        Prompt(np.int64(0), 2, mask=mask),  # type: ignore[arg-type]
    ):
        assert Prompt(**asdict(prompt)) == prompt
        assert hash(replace(prompt, label="x")) != hash(prompt)
    assert (prompt.decode_mask() == mask).all()
    assert repr(Prompt(3, 1, "car", box=(1, 2, 3.5, 4), points=[(2, 3)])) == (
        "Prompt(frame 3, object 1 'car', box 1 2 3.5 4, +(2, 3))"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "expected a box, points or both; or else a mask"),
        ({"box": (1, 2, 3)}, "expected four finite numbers"),
        ({"box": (1, 2, 3, np.nan)}, "expected four finite numbers"),
        ({"points": [(1, 2, 3)]}, "expected pairs of finite"),
        ({"points": [(1, 2)], "point_labels": [1, 0]}, "a 1 or 0 for each"),
        ({"mask": np.zeros((4, 4))}, "the mask is empty"),
        ({"mask": np.ones((4, 4)), "box": (1, 2, 3, 4)}, "or else a mask"),
        ({"frame_idx": -1, "box": (1, 2, 3, 4)}, "frame_idx is -1"),
        ({"obj_id": 0, "box": (1, 2, 3, 4)}, "obj_id is 0"),
        ({"obj_id": 2**31, "box": (1, 2, 3, 4)}, "obj_id is 2147483648"),
    ],
)
def test_what_does_not_fit_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        Prompt(**{"frame_idx": 0, "obj_id": 1, **values})  # type: ignore[arg-type]


def test_labels_are_classes_of_the_prompt() -> None:
    start = Prompt(0, 1, "cyan star", box=(1, 2, 3, 4))
    later = Prompt(5, 1, points=[(1, 2)], point_labels=[0])
    assert [p.label for p in settle_prompts([later, start], CONFIG.classes, 100)] == ["cyan star"] * 2
    for bad, message in (
        ([Prompt(0, 1, box=(1, 2, 3, 4))], "expected one of 'cyan star'"),
        ([Prompt(0, 1, "dog", box=(1, 2, 3, 4))], "label is 'dog'"),
        ([start, replace(later, label="cyan square")], "expected 'cyan star', as before"),
        ([start, start], "there are two"),
        ([replace(later, label="cyan star")], "begins with clicks off the object"),
    ):
        with pytest.raises(PromptError, match=message):
            settle_prompts(bad, CONFIG.classes, 100)
    with pytest.raises(PromptError, match="max_objects is 1"):
        settle_prompts([start, replace(start, obj_id=2)], CONFIG.classes, 1)
