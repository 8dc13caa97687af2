from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trackkit.core.errors import ConfigError
from trackkit.core.registry import Registry

GROUP = "trackkit.things"

Install = Callable[..., None]


@pytest.fixture
def things() -> Registry[str]:
    """One thing that is known."""
    registry: Registry[str] = Registry("thing", GROUP)
    registry.register("plain")(lambda config, device: f"plain {config} on {device}")
    return registry


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package of one module, with an entry point ``load``: of the package's name by default."""

    def make(package: str, code: str, name: str | None = None) -> None:
        site = tmp_path / package
        info = site / f"{package}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{package}.py").write_text(code)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name or package} = {package}:load\n")
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, package, raising=False)

    return make


def test_what_is_registered_is_found(things: Registry[str]) -> None:
    @things.register("able", takes_prompts=True)
    def load(config: int, device: str) -> str:
        return f"able {config} on {device}"

    assert things.names() == ("able", "plain")
    assert things.get("able").loader is load
    assert things.get("able").load(7, "cpu") == "able 7 on cpu"
    assert {name: entry.takes_prompts for name, entry in things.entries().items()} == {
        "plain": False,
        "able": True,
    }
    assert not things.get("able").installed


def test_a_class_is_a_loader(things: Registry[object]) -> None:
    @things.register("class")
    class Thing:
        def __init__(self, config: int, device: str) -> None:
            self.config = config

    made = things.get("class").load(3, "cpu")
    assert isinstance(made, Thing)
    assert made.config == 3


def test_a_cell_that_runs_again_takes_the_place_of_its_first_run(things: Registry[str]) -> None:
    things.register("plain", takes_prompts=True)(lambda config, device: "new")
    assert things.names() == ("plain",)
    assert things.get("plain").load(0, "cpu") == "new"
    assert things.get("plain").takes_prompts


def test_an_unknown_name_is_answered_with_the_known_ones(things: Registry[str], install: Install) -> None:
    install("theirs", "load = print")
    with pytest.raises(ConfigError, match=r"^thing 'mine' is unknown: choose one of plain, theirs$"):
        things.get("mine")


@pytest.mark.parametrize("name", ["", None, print])
def test_a_decorator_needs_a_name(things: Registry[str], name: str) -> None:
    with pytest.raises(ConfigError, match=r"expected a name, @register_thing\('mine'\)"):
        things.register(name)


def test_a_package_is_imported_when_its_name_is_asked_for(things: Registry[str], install: Install) -> None:
    install("theirs", "def load(config, device): return f'theirs on {device}'")
    assert things.names() == ("plain", "theirs")
    assert things.entries().keys() == {"plain"}
    things.get("plain")
    assert "theirs" not in sys.modules
    entry = things.get("theirs")
    assert entry.load(0, "cpu") == "theirs on cpu"
    assert entry.installed
    assert (entry.prepare, entry.takes_prompts) == (None, False)
    assert things.get("theirs") is entry


def test_a_package_may_register_what_it_brings(
    things: Registry[str], install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trackkit.core.registry.things", things, raising=False)
    install(
        "theirs",
        "from trackkit.core.registry import things\n"
        "def fetch(config, progress): pass\n"
        "@things.register('their-name', takes_prompts=True, prepare=fetch)\n"
        "def load(config, device): return 'theirs'\n",
        name="our-name",
    )
    entry = things.get("our-name")
    assert entry.takes_prompts
    assert entry.prepare is sys.modules["theirs"].fetch
    assert entry.installed


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import not_there_at_all", r"ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("this is no Python", "SyntaxError: invalid syntax"),
        ("", "AttributeError: .*'load'"),
    ],
)
def test_a_broken_package_is_named_when_it_is_asked_for(
    things: Registry[str], install: Install, code: str, problem: str
) -> None:
    install("theirs", code)
    assert things.names() == ("plain", "theirs")
    assert things.get("plain").load(1, "cpu") == "plain 1 on cpu"
    told = rf"thing 'theirs' of the package theirs cannot be imported from theirs:load \({problem}"
    with pytest.raises(ConfigError, match=told):
        things.get("theirs")


def test_a_package_that_brings_no_loader_is_named(things: Registry[str], install: Install) -> None:
    install("theirs", "load = 7")
    with pytest.raises(ConfigError, match="of the package theirs: theirs:load is 7, expected a loader"):
        things.get("theirs")


def test_two_packages_of_one_name_are_named(things: Registry[str], install: Install) -> None:
    install("ours", "load = print", name="same")
    install("theirs", "load = print", name="same")
    assert things.names() == ("plain", "same")
    with pytest.raises(ConfigError, match="'same' is brought by ours and theirs: uninstall all but one"):
        things.get("same")


def test_what_is_registered_goes_before_a_package(things: Registry[str], install: Install) -> None:
    install("theirs", "1 / 0", name="plain")
    assert things.names() == ("plain",)
    assert things.get("plain").load(1, "cpu") == "plain 1 on cpu"
