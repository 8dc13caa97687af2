"""What docs/extending.md shows runs: in a notebook, in a script, and as an installed package."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

import trackkit as tk
from trackkit.cli import main as cli
from trackkit.video.writer import VideoWriter

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "extending.md").read_text()
DETECTOR, TRACKER, IN_A_NOTEBOOK, IN_A_SCRIPT, PARTIAL, PREPARE = re.findall(
    r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL
)
(PYPROJECT,) = re.findall(r"^```toml\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
(COMMAND,) = re.findall(r"^```shell\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)

NUM_FRAMES = 6
TABLES = ("tracks", "videos")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
CONFIG = tk.TrackConfig("spot", detector="spots", tracker="nearest", detection_frequency=1, box_threshold=0.6)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the user works: ``clips`` has two videos of two spots that move to the right."""
    (tmp_path / "clips").mkdir()
    for name in "ab":
        with VideoWriter(tmp_path / "clips" / f"{name}.mp4", width=96, height=64, fps=25) as writer:
            for k in range(NUM_FRAMES):
                image = np.full((64, 96, 3), 20, np.uint8)
                image[10:22, 8 + 3 * k : 20 + 3 * k] = 250
                image[40:48, 30 + 2 * k : 40 + 2 * k] = 200
                writer.write(image)
    return tmp_path


def on_two_workers(code: str) -> str:
    """The same code, on any machine."""
    assert "tk.Session(config)" in code
    return code.replace("tk.Session(config)", "tk.Session(config, device='cpu', num_workers=2)")


def run(*words: str, cwd: Path, path: Sequence[Path] = (ROOT,)) -> None:
    """Run Python as a process of its own."""
    env = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(map(str, path))}
    done = subprocess.run(
        [sys.executable, *words], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def check(tracks: pd.DataFrame, videos: pd.DataFrame) -> None:
    """Both spots have one id from the first frame to the last, and workers found them."""
    assert sorted(videos["video_path"]) == ["clips/a.mp4", "clips/b.mp4"]
    assert set(videos["status"]) == {"ok"}
    assert set(videos["worker"]) <= {"0", "1"}
    assert set(tracks["label"]) == {"spot"}
    for (_, obj_id), track in tracks.groupby(["video_path", "obj_id"], observed=True):
        assert list(track["frame_idx"]) == list(range(NUM_FRAMES))
        x, y, step = (8, 10, 3) if obj_id == 1 else (30, 40, 2)
        assert np.allclose(track["x"], x + step * np.arange(NUM_FRAMES), atol=2)
        assert np.allclose(track["y"], y, atol=2)
    assert len(tracks) == 2 * 2 * NUM_FRAMES


@pytest.mark.slow
def test_in_a_notebook(folder: Path) -> None:
    last = "\n".join(f"results.{name}.to_json('{name}.json')" for name in TABLES)
    sources = (DETECTOR, TRACKER, on_two_workers(IN_A_NOTEBOOK), last)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    here = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=here).execute(env=ENVIRONMENT)
    tables = [
        pd.DataFrame(json.loads((folder / name).read_text())) for name in ("tracks.json", "videos.json")
    ]
    check(*tables)


def test_in_a_script(folder: Path) -> None:
    script = folder / "script.py"
    script.write_text("\n\n".join([DETECTOR, TRACKER, on_two_workers(IN_A_SCRIPT)]))
    run(script.name, cwd=folder)
    results = tk.read_jsonl(folder / "tracks.jsonl")
    check(results.tracks, results.videos)


@pytest.fixture
def site(folder: Path) -> Path:
    """Where the package of the guide is installed."""
    project = tomllib.loads(PYPROJECT)
    name, version = project["project"]["name"], project["project"]["version"]
    info = folder / "site" / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = [
        "\n".join([f"[{group}]", *(f"{point} = {value}" for point, value in points.items())])
        for group, points in project["project"]["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups) + "\n")
    (module,) = project["tool"]["setuptools"]["py-modules"]
    (info.parent / f"{module}.py").write_text(f"{DETECTOR}\n\n{TRACKER}")
    return info.parent


def test_an_installed_package_on_the_command_line(folder: Path, site: Path) -> None:
    command = COMMAND.split()
    assert command[0] == "trackkit"
    where = ("--device", "cpu", "--num-workers", "2", "--output-jsonl", "tracks.jsonl")
    run("-m", *command, "--box-threshold", "0.6", *where, cwd=folder, path=(site, ROOT))
    results = tk.read_jsonl(folder / "tracks.jsonl")
    check(results.tracks, results.videos)


def test_the_command_line_lists_an_installed_package_and_does_not_import_it(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(site))
    with pytest.raises(SystemExit):
        cli.main(["track", "--help"])
    told = capsys.readouterr().out
    assert re.search(r"--detector \{[^}]*\bspots\b[^}]*\}", told)
    assert re.search(r"--tracker \{[^}]*\bnearest\b[^}]*\}", told)
    assert "spottrack" not in sys.modules


def test_a_variant_has_a_name_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    for code in (DETECTOR, TRACKER, PARTIAL):
        exec(code, names)
    config = CONFIG.replace(detector="large-spots")
    with tk.Session(config, device="cpu", num_workers=0) as session:
        tracks = session.track("clips/*.mp4").tracks
    assert set(tracks["y"].round(-1)) == {10.0}  # the spot of 80 pixels is too small


def test_weights_are_fetched_before_workers_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "origin.npz").write_bytes(b"weights")
    names: dict[str, Any] = {}
    exec(DETECTOR, names)
    exec(PREPARE.replace("https://example.org/spots.npz", f"file://{folder}/origin.npz"), names)
    with tk.Session(
        CONFIG.replace(detector="trained-spots", tracker="bytetrack"), num_workers=0, device="cpu"
    ):
        assert (folder / "spots.npz").read_bytes() == b"weights"
