"""Names of videos become names of files that lead nowhere else."""

from __future__ import annotations

from pathlib import Path

from trackkit.video.inputs import make_tasks
from trackkit.video.names import output_video_name


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
