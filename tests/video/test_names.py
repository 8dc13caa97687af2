"""Names of videos become names of files that lead nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from trackkit.video.inputs import make_tasks
from trackkit.video.names import natural_sorted, output_video_name


def test_output_names_cannot_collide_or_leave_the_folder(clips: Path) -> None:
    tasks, _ = make_tasks(["a/car.mp4", "b/car.mp4", "straße 東京.mkv"], output_video_dir="out")
    outputs = [Path(task.output_video or "") for task in tasks]
    assert len(set(outputs)) == 3
    assert {path.parent for path in outputs} == {clips / "out"}
    for evil in (
        "/x/..",
        "/x/.mp4",
        "/x/a\nb.mp4",
        "/x/" + "n" * 300 + ".mp4",
        "/x/..\\..\\a.mp4",
        "/x/a%2fb.mp4",
    ):
        name = output_video_name(evil)
        assert Path(name).name == name
        assert name.endswith(".mp4")
        assert not name.startswith(".")
        assert len(name.encode()) < 255
        assert name.isprintable()


@pytest.mark.parametrize(
    "names",
    [
        ["999.0.png", "1623.25.png", "1623.5.png", "1623.75.png", "1624.0.png"],
        ["img2.png", "img10.png"],
        ["img1.2.png", "img1.25.png", "img1.3.png", "img2.png"],
        ["v1.2.png", "v1.9.png", "v1.10.png", "v2.0.png"],  # versions
        ["1.2.9.png", "1.2.10.png", "1.10.1.png"],
        ["shot01.1.png", "shot01.2.png", "shot01.10.png"],
        ["shot01.0009.png", "shot01.0010.png"],
        ["f.9.png", "f.10.png"],
        ["frame_9.5s.png", "frame_10.125s.png", "frame_10.25s.png"],
        ["cam1.5_frame9.png", "cam1.5_frame10.png", "cam10.5_frame1.png"],
        ["t-2.png", "t-1.png", "t0.png", "t1.png"],  # signs
        ["-1.5.png", "-1.25.png", "0.5.png", "1.png"],
        ["f-9.png", "f-10.png"],  # dashes
        ["2023-12-31.png", "2024-01-02.png", "2024-01-15.png"],
        ["2024.01.15.png", "2024.02.03.png", "2024.10.01.png"],
        ["img007.png", "img7.png", "img8.png"],
        ["1.png", "1.5.png", "2.png"],
        ["1623.999999.png", "1624.000001.png"],
        ["run1.25", "run1.5", "run2"],  # folders
        ["a2.264", "a10.264"],
        ["9007199254740992.5.png", "9007199254740993.25.png"],  # more digits than a float has
    ],
)
def test_natural_order(names: list[str]) -> None:
    assert natural_sorted(reversed(names)) == names
    assert natural_sorted(names) == names


@pytest.mark.parametrize("letter", ["a", "é", "東", "\U00020000"])
def test_output_names_fit_the_file_system(tmp_path: Path, letter: str) -> None:
    longest = letter * (250 // len(letter.encode()))
    names = {output_video_name(f"/x/{longest[:-1]}{end}.mp4") for end in "12"}
    assert len(names) == 2
    for name in names:
        (tmp_path / name).touch()
        assert name.startswith(letter * 40)
    assert output_video_name("/x/" + "東" * 80 + ".mp4").startswith("東" * 80 + "-")  # as ever
