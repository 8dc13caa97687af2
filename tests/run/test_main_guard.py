"""Scripts that start workers, run as a user runs them: a new process imports the main script anew."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene

TRACK = 'tk.track("a.mp4", "red", preset="color", session={{"num_workers": {}, "device": "cpu"}}, {})'
TRACK_HERE = TRACK.format(1, 'output_jsonl="t.jsonl"')


def run(folder: Path, script: str, file: str = "script.py") -> subprocess.CompletedProcess[str]:
    write_video(make_scene(1, num_frames=4, num_objects=1, colors=("red",)), folder / "a.mp4")
    (folder / "script.py").write_text(script)
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    return subprocess.run(
        [sys.executable, file],
        input=script,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    "script",
    [
        f"import trackkit as tk\nprint({TRACK_HERE})",
        "import sys\nif __name__ != '__main__':\n    sys.exit(3)\nimport trackkit as tk\n" + TRACK_HERE,
    ],
    ids=["no guard", "a main script that ends when it is imported"],
)
def test_a_script_without_a_guard_ends_with_one_error_that_shows_it(tmp_path: Path, script: str) -> None:
    done = run(tmp_path, script)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("Traceback") == 1
    assert 'if __name__ == "__main__":' in done.stderr
    assert not (tmp_path / "t.jsonl").exists()


def test_a_script_that_is_piped_is_told_to_be_a_file(tmp_path: Path) -> None:
    done = run(tmp_path, f"import trackkit as tk\n{TRACK_HERE}", "-")
    assert done.returncode == 1
    assert "put it into a file, or take num_workers=0" in done.stderr


def test_without_workers_no_guard_is_needed(tmp_path: Path) -> None:
    done = run(tmp_path, f"import trackkit as tk\nprint({TRACK.format(0, '')})")
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 ok" in done.stdout
