from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest

from trackkit.core.errors import ConfigError
from trackkit.core.options import (
    also_takes,
    check_options,
    documented,
    option,
    options_of,
    takes,
    values_of,
)


@documented()
@dataclass(frozen=True, kw_only=True)
class Ship:
    """A ship."""

    name: str | None = option(None, "what it is called", tidy=lambda ship, name: name.title())
    masts: int = option(3, "how many masts it has", at_least=1, at_most=7)
    draught_m: float = option(2.0, "metres below the water", above=0)
    speed: float | None = option(None, "knots", at_least=0, none="whatever the wind gives")
    rig: Literal["brig", "sloop"] = option("brig", "how the sails are set", details="Sloops have one mast.")
    crew: Sequence[int] | None = option(None, "numbers of the sailors")
    armed: bool = option(False, "with guns", used=lambda ship: ship.rig == "brig")
    cargo: Any = option(None, "what it carries")
    not_an_option: int = 0

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class Steamer(Ship):
    coal_t: float = option(10.0, "tonnes of coal", at_least=0)


def test_what_an_option_knows_comes_from_its_field() -> None:
    known = options_of(Ship)
    assert list(known) == ["name", "masts", "draught_m", "speed", "rig", "crew", "armed", "cargo"]
    assert [(each.kind, each.many) for each in known.values()] == [
        (str, False), (int, False), (float, False), (float, False), (str, False), (int, True), (bool, False),
        (object, False),
    ]  # fmt: skip
    assert known["rig"].choices == ("brig", "sloop")
    assert known["masts"].default == 3
    assert [known[name].default_text for name in ("masts", "draught_m", "speed", "name", "armed")] == [
        "3", "2", "whatever the wind gives", "none", "off",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"masts": 0}, "masts is 0: expected a whole number from 1 to 7"),
        ({"masts": 8}, "masts is 8: expected a whole number from 1 to 7"),
        ({"masts": 1.0}, "masts is 1.0: expected a whole number"),
        ({"masts": True}, "masts is True: expected a whole number"),
        ({"masts": None}, "masts is None: expected a whole number"),
        ({"draught_m": 0}, "draught_m is 0: expected a number above 0"),
        ({"draught_m": float("inf")}, "draught_m is inf"),
        ({"draught_m": float("nan")}, "draught_m is nan"),
        ({"draught_m": "deep"}, "draught_m is 'deep'"),
        ({"speed": -1}, "speed is -1: expected a number from 0 up, or None for whatever the wind gives"),
        ({"rig": "raft"}, "rig is 'raft': choose one of brig, sloop"),
        ({"armed": 1}, "armed is 1: expected True or False"),
        ({"name": 5}, "name is 5: expected a text"),
        ({"draught_m": 10**400}, "expected a number above 0"),
    ],
)
def test_a_wrong_value_says_what_is_right(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        Ship(**change)
    assert words in str(error.value)


def test_values_are_brought_into_one_form() -> None:
    ship = Ship(name="black pearl", draught_m=3, crew=[1, 2])
    assert (ship.name, ship.draught_m, ship.crew) == ("Black Pearl", 3.0, [1, 2])
    assert isinstance(ship.draught_m, float)
    assert Ship(speed=None, name=None).speed is None


def test_numbers_of_numpy_are_numbers() -> None:
    ship = Ship(masts=np.int64(2), draught_m=np.float32(1.5), armed=np.True_)
    assert [type(value) for value in (ship.masts, ship.draught_m, ship.armed)] == [int, float, bool]
    assert ship == Ship(masts=2, draught_m=1.5, armed=True)


def test_values_of_a_class_from_one_made_from_it() -> None:
    steamer = Steamer(masts=2, coal_t=5)
    assert values_of(steamer, Ship) == {
        "name": None, "masts": 2, "draught_m": 2.0, "speed": None, "rig": "brig", "crew": None,
        "armed": False, "cargo": None,
    }  # fmt: skip
    assert Ship(**values_of(steamer, Ship)) == Ship(masts=2)


def test_docstrings_have_every_option() -> None:
    assert Ship.__doc__ is not None
    assert "A ship." in Ship.__doc__
    assert (
        "rig: How the sails are set (default: brig; one of brig, sloop). Sloops have one mast."
        in Ship.__doc__
    )
    assert "not_an_option" not in Ship.__doc__


@takes(Ship)
def launch(port: str, day: int, **options: Any) -> str:
    """Put it to sea."""
    return f"{port} {day} {Ship(**options).masts}"


@takes(Ship)
def sail(port: str, day: int, **options: Any) -> Iterator[int]:
    yield Ship(**options).masts


def test_a_function_takes_the_options_of_a_class() -> None:
    assert launch("Cadiz", 3, masts=2) == "Cadiz 3 2"
    parameters = inspect.signature(launch).parameters
    assert list(parameters) == ["port", "day", *options_of(Ship), "not_an_option"]
    assert parameters["masts"].default == 3
    assert launch.__doc__ is not None
    assert "masts: How many masts it has (default: 3)." in launch.__doc__
    with pytest.raises(
        TypeError,
        match=r"launch\(\) has no option mast [(]did you mean masts[?][)]: it has name, masts, draught_m",
    ):
        launch("Cadiz", 3, mast=2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="has no option mast"):
        sail("Cadiz", 3, mast=2)  # type: ignore[call-arg]  # at once, though it is a generator
    assert list(sail("Cadiz", 3)) == [3]


def test_a_function_takes_them_among_others() -> None:
    @also_takes(Ship)
    def launch_any(port: str, **options: Any) -> int:
        """Put it to sea."""
        return len(options)

    parameters = inspect.signature(launch_any).parameters
    assert list(parameters) == ["port", *options_of(Ship), "not_an_option", "options"]
    assert launch_any("Cadiz", masts=2, wind=3) == 2
