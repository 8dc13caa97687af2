"""The files that install trackkit agree with each other."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import trackkit

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = {r.name: r for r in map(Requirement, (ROOT / "constraints.txt").read_text().split("\n")[:-1])}


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_requirement_has_an_exact_pin_within_its_bounds() -> None:
    extras = PROJECT["optional-dependencies"]
    for text in [*PROJECT["dependencies"], *(text for extra in extras.values() for text in extra)]:
        requirement = Requirement(text)
        pin = PINS[_normalised(requirement.name)]
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert requirement.specifier.contains(exact.version), text


def test_the_conda_environment_is_that_of_the_project() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, packages = environment["dependencies"]
    assert pip == "pip"
    version = python.removeprefix("python=")
    assert SpecifierSet(PROJECT["requires-python"]).contains(version)
    options = dict(line.removeprefix("--").split(" ", 1) for line in packages["pip"])
    assert (ROOT / options["constraint"]).is_file()
    (extras,) = re.findall(r"^\.\[(.*)\]$", options["editable"])
    assert set(extras.split(",")) == set(PROJECT["optional-dependencies"]) - {"dev"}


def test_no_file_names_a_package_index() -> None:
    for name in ("pyproject.toml", "constraints.txt", "environment.yml", "Makefile", ".ci/run"):
        assert "://" not in (ROOT / name).read_text(), name


def test_the_version_and_the_public_names() -> None:
    assert trackkit.__version__ == PROJECT["version"]
    assert sorted(trackkit.__all__) == sorted(set(trackkit.__all__))
    assert all(hasattr(trackkit, name) for name in trackkit.__all__)


def test_modules_stay_small() -> None:
    sizes = {path: len(path.read_text().splitlines()) for path in (ROOT / "trackkit").rglob("*.py")}
    assert not {path.name: lines for path, lines in sizes.items() if lines > 400}


def test_importing_trackkit_is_light() -> None:
    heavy = ["torch", "transformers", "sam2", "matplotlib", "hydra", "dask_cuda", "supervision"]
    code = f"import sys, trackkit; print(*sorted(set({heavy}) & set(sys.modules)))"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert printed.stdout.split() == []
