"""The examples of the README run."""

from __future__ import annotations

import re
import runpy
import subprocess
from itertools import chain
from pathlib import Path

import pytest

import trackkit as tk
from trackkit.cli import main as cli
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene
from trackkit.video.inputs import find_videos

README = (Path(__file__).parents[1] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_first_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in range(2):
        write_video(make_scene(seed, num_frames=5, colors=("red", "yellow")), tmp_path / f"{seed}.mp4")
    (tmp_path / "videos.txt").write_text("0.mp4\n1.mp4\n")
    names: dict[str, object] = {}
    exec(blocks("python")[0], names)
    assert len(names["results"].tracks) > 0  # type: ignore[attr-defined]
    assert (tmp_path / "tracks.jsonl").read_bytes().count(b"\n") == 2
    assert len(list((tmp_path / "annotated").iterdir())) == 2
    in_a_notebook = next(block for block in blocks("python") if "tk.show_video" in block)
    exec(in_a_notebook.replace("car.mp4", "0.mp4").replace("3.0, 8.0", "0.0, 8.0"), names)


def test_the_lines_that_split_a_list_and_join_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    videos = [f"{k}.mp4" for k in range(10)]
    Path("videos.txt").write_text("\n".join(videos))
    (split,) = re.findall(r"`(split [^`]*)`", README)
    subprocess.run(split, shell=True, check=True)
    parts = sorted(Path().glob("part.*"))
    assert len(parts) == 4
    assert f"--video-list {parts[0]} " in README
    assert sorted(chain.from_iterable(map(find_videos, parts))) == videos
    for k in range(4):
        Path(f"tracks.0{k}.jsonl").write_text(f"{k}\n")
        Path(f"tracks.0{k}.failures.jsonl").write_text("failed\n")
    (join,) = re.findall(r"`(cat [^`]*)`", README)
    subprocess.run(join, shell=True, check=True)
    assert Path("all.jsonl").read_text() == "0\n1\n2\n3\n"


def test_the_table_of_options_is_that_of_the_options() -> None:
    path = Path(__file__).parents[1] / "docs" / "write_options.py"
    writer = runpy.run_path(str(path))
    assert writer["with_table"](README) == README, "write it anew: make readme"
    for name in tk.TrackConfig.__dataclass_fields__.keys() - {"text_prompt", "unknown"}:
        assert f"| `--{name.replace('_', '-')}` " in README


@pytest.mark.parametrize("command", ["track", "eval", "export", "status"])
def test_every_flag_is_explained(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    flags = re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", capsys.readouterr().out, re.MULTILINE)
    assert len(flags) > 1
    for flag in flags:
        assert flag in ("--help", "--no-resume") or f"`{flag}`" in README, flag


def test_links_lead_somewhere() -> None:
    root = Path(__file__).parents[1]
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (root / target).exists(), target
