from __future__ import annotations

import pytest

from trackkit.core.words import choose_one, did_you_mean, duration, pace, plural


def test_one_and_many() -> None:
    assert [plural(count, "video") for count in (0, 1, 2)] == ["0 videos", "1 video", "2 videos"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *((0, "0.0 s"), (0.84, "0.8 s"), (9.96, "10 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min")),
        *((7200, "2.0 h"), (171_000, "47.5 h"), (259_200, "3.0 days")),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("per_hour", "words"),
    [
        (0.3, "0.3 videos an hour"),
        (12, "12 videos an hour"),
        (90, "1.5 videos a minute"),
        (53_662, "15 videos a second"),
    ],
)
def test_paces(per_hour: float, words: str) -> None:
    assert pace(per_hour, "video") == words


def test_what_is_near() -> None:
    flags = ["--text-prompt", "--text-threshold", "--fps"]
    assert did_you_mean("--txt-prompt", flags) == "; did you mean --text-prompt?"
    assert did_you_mean("text_treshold", flags) == "; did you mean --text-threshold?"
    assert did_you_mean("--foo", flags) == ""
    assert choose_one("COLOUR", ["color", "mini"]) == "choose one of color, mini; did you mean color?"
    assert choose_one(7, ["color"]) == "choose one of color"
