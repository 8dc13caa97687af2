"""The files that install trackkit agree with each other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import trackkit
from trackkit.weights.shipped import shipped_detector, shipped_folder, shipped_sam2, shipped_sam2_config

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


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, unpacked; asks for no network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "uv",
        "build",
        "--wheel",
        "--offline",
        "--out-dir",
        str(folder),
        str(ROOT),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if "was not found in the cache" in run.stderr:
        pytest.skip("no hatchling in uv's cache, which `make setup` fills")
    assert run.returncode == 0, run.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_has_the_models_that_ship_and_only_those(built: Path) -> None:
    there = built / "trackkit" / "models" / "mini"
    wanted = [shipped_sam2(), shipped_sam2_config(), *shipped_detector().iterdir()]
    found = {path.relative_to(there): path.read_bytes() for path in there.rglob("*") if path.is_file()}
    assert found == {path.relative_to(shipped_folder()): path.read_bytes() for path in wanted}
    assert {path.name for path in built.iterdir()} == {"trackkit", f"trackkit-{PROJECT['version']}.dist-info"}


def test_an_installed_trackkit_finds_its_own_models(built: Path, tmp_path: Path) -> None:
    code = (
        "import trackkit; from trackkit.weights.catalog import list_models;"
        "print(trackkit.__file__, *(m.path for m in list_models() if m.name.endswith('mini')), sep='\\n')"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(built)},
        check=True,
        capture_output=True,
        text=True,
    )
    places = ("__init__.py", "models/mini/sam2.1_hiera_mini.pt", "models/mini/grounding_dino")
    assert run.stdout.split() == [str(built / "trackkit" / place) for place in places]


def test_git_keeps_the_models_that_ship() -> None:
    for path in (shipped_sam2(), shipped_sam2_config(), *shipped_detector().iterdir()):
        ignored = subprocess.run(["git", "check-ignore", "--quiet", str(path)], cwd=ROOT, check=False)
        assert ignored.returncode != 0, path


def test_importing_trackkit_is_light() -> None:
    heavy = ["torch", "transformers", "sam2", "matplotlib", "hydra", "dask_cuda", "supervision", "scipy"]
    code = f"import sys, trackkit; print(*sorted(set({heavy}) & set(sys.modules)))"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert printed.stdout.split() == []
