"""Imports go down only: late imports, and those for type checkers, count as any other."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "trackkit"

_MODELS = {"core", "weights", "config"}
_DATA = {"core", "video", "config", "results"}
_VIDEO = _MODELS | _DATA | {"detectors", "trackers", "tracking"}
#: What the modules of each room may import, beside those of their own room.
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "video": {"core"},
    "weights": {"core"},
    "config": {"core", "weights"},
    "detectors": _MODELS,
    "trackers": _MODELS,
    "trackers.by_mask": _MODELS,  # knows no model: any engine can be driven
    "trackers.sam2": _MODELS | {"trackers.by_mask"},
    "results": _DATA - {"results"},
    "tracking": _VIDEO - {"tracking"},
    "formats": _DATA,
    "monitor": _DATA - {"config"},
    "synthetic": _DATA,
    "tracking_results": _DATA | {"formats"},
    "run": _VIDEO | {"monitor", "tracking_results"},
    "notebook": _VIDEO | {"tracking_results"},
    "evaluation": _DATA | {"formats", "tracking_results"},
    "datasets": {"synthetic"},
    "cli": _VIDEO | {"formats", "monitor", "synthetic", "tracking_results", "run", "notebook", "evaluation"},
    "__init__": _VIDEO | {"formats", "tracking_results", "run", "notebook", "evaluation"},
    "__main__": {"cli"},
}
MOST_FLOORS = 9


def modules_of(package: Path) -> dict[str, Path]:
    """Every module by its dotted name below ``trackkit``; a package goes by its own name."""
    names = {path.relative_to(package).with_suffix(""): path for path in package.rglob("*.py")}
    return {
        ".".join(name.parts[:-1] if name.name == "__init__" and len(name.parts) > 1 else name.parts): path
        for name, path in names.items()
    }


def imports_of(path: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    """Modules of ``trackkit`` that a file imports, wherever in it, by their names in ``modules``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where they lead"
            dotted = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            dotted = [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and str(node.value).startswith("trackkit."):
            dotted = [str(node.value)]  # import_module("trackkit.notebook.show")
        else:
            continue
        for name in dotted:
            first, _, rest = name.partition(".")
            if first == "trackkit":
                while rest and rest not in modules:
                    rest = rest.rpartition(".")[0]
                yield rest or "__init__"


def room_of(module: str) -> str:
    """The room of a module: its package, and in ``trackers`` the package within."""
    parts = module.split(".")
    inner = ".".join(parts[:2])
    return inner if inner in MAY_IMPORT else parts[0]


def graph_of(package: Path) -> dict[str, set[str]]:
    """Each module and what it imports."""
    modules = modules_of(package)
    return {name: set(imports_of(path, modules)) - {name} for name, path in modules.items()}


def problems_of(package: Path) -> list[str]:
    """What is wrong with the imports of a package, in words."""
    graph = graph_of(package)
    found = []
    for module, imported in sorted(graph.items()):
        room = room_of(module)
        if room not in MAY_IMPORT:
            found.append(f"{module}: no room of that name")
            continue
        for other in sorted(imported):
            target = room_of(other)
            if {target, target.split(".")[0]}.isdisjoint(MAY_IMPORT[room] | {room}):
                found.append(f"{module} imports {other}: {room} may not import {target}")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append("circle: " + " -> ".join(reversed(error.args[1])))
    return found


def floors_of(package: Path) -> dict[str, int]:
    """The floor of each room: one above the highest that it imports."""
    rooms: dict[str, set[str]] = {}
    for module, imported in graph_of(package).items():
        room = room_of(module).split(".")[0]
        rooms.setdefault(room, set()).update({room_of(other).split(".")[0] for other in imported} - {room})
    floors: dict[str, int] = {}
    for room in TopologicalSorter(rooms).static_order():
        floors[room] = 1 + max((floors[other] for other in rooms[room]), default=0)
    return floors


def test_imports_go_down_only() -> None:
    assert problems_of(PACKAGE) == []


def test_the_house_has_few_floors() -> None:
    floors = floors_of(PACKAGE)
    assert max(floors.values()) <= MOST_FLOORS, floors
    assert set(floors) == {room for room in MAY_IMPORT if "." not in room}


def test_no_two_rooms_may_import_each_other() -> None:
    order = list(TopologicalSorter(MAY_IMPORT).static_order())  # raises CycleError if some may
    assert order[0] == "core"


@pytest.mark.parametrize(
    ("module", "planted", "told"),
    [
        ("core/masks.py", "from trackkit.config import TrackConfig", "core may not import config"),
        ("core/masks.py", "from trackkit.core.prompts import Prompt", "circle"),
        (
            "results/rows.py",
            "def late():\n    from trackkit.tracking_results import TrackingResults",
            "results may not import tracking_results",
        ),
        (
            "trackers/by_mask/window.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import trackkit.trackers.sam2.engine",
            "trackers.by_mask may not import trackers.sam2",
        ),
        ("formats/mot.py", "import trackkit.monitor.status", "formats may not import monitor"),
        ("run/job.py", "import trackkit as tk", "run may not import __init__"),
        ("attic.py", "", "no room of that name"),
    ],
)  # fmt: skip
def test_a_planted_import_is_found(tmp_path: Path, module: str, planted: str, told: str) -> None:
    copy = tmp_path / "trackkit"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / module).open("a") as file:
        file.write(f"\n{planted}\n")
    assert any(told in problem for problem in problems_of(copy))
