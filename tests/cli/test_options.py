from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Literal

import pytest

from trackkit.cli.options import add_options, given, options_table
from trackkit.core.options import option


@dataclass(frozen=True, kw_only=True)
class Boat:
    oars: int = option(2, "how many oars it has", metavar="OARS")
    top_speed: float | None = option(None, "knots", none="unknown")
    colour: Literal["red", "white"] = option("white", "what colour 100% of it has", details="Red is faster.")
    owner: str = option("", "who owns it")
    crates: tuple[int, ...] = option((), "what it carries", flag=None)
    leaky: bool = option(False, "whether it leaks")
    manned: bool = option(True, "whether someone is aboard", flag="--crew")


def parse(*words: str) -> dict[str, object]:
    parser = argparse.ArgumentParser()
    add_options(parser, Boat, {"owner": ["me", "you"]})
    return given(parser.parse_args(words), Boat)


def test_only_what_is_given_is_there() -> None:
    assert parse() == {}
    assert parse("--oars", "4", "--top-speed", "3", "--leaky", "--no-crew", "--owner", "me") == {
        "oars": 4, "top_speed": 3.0, "leaky": True, "manned": False, "owner": "me",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--oars", "two"], "invalid int value: 'two'"),
        (["--colour", "blue"], "invalid choice: 'blue' (choose from 'red', 'white')"),
        (["--owner", "they"], "invalid choice: 'they'"),
        (["--crates", "3"], "unrecognized arguments"),
        (["--crew", "--no-crew"], "--no-crew: not allowed with argument --crew"),
        (["--no-leaky", "--leaky"], "--leaky: not allowed with argument --no-leaky"),
    ],
)
def test_what_cannot_be(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(*words)
    assert left.value.code == 2
    assert told in capsys.readouterr().err


def test_help_and_table_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--help")
    told = capsys.readouterr().out
    for part in (
        "--oars OARS",
        "how many oars it has (default: 2)",
        "knots (default: unknown)",
        "100% of it",
    ):
        assert part in " ".join(told.split())
    assert options_table(Boat).splitlines()[2:] == [
        "| `--oars` | 2 | how many oars it has |",
        "| `--top-speed` | unknown | knots |",
        "| `--colour` | white | what colour 100% of it has (`red`, `white`). Red is faster |",
        "| `--owner` |  | who owns it |",
        "| `--leaky` | off | whether it leaks |",
        "| `--crew` / `--no-crew` | on | whether someone is aboard |",
    ]
