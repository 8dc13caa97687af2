"""Odd things among the videos of a run: the others are done, and each odd one is told."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from clips import make_video
from images import grey, scene, write_stack, write_tiff
from PIL import Image as PilImage

import trackkit as tk
from trackkit.core.errors import ConfigError

IN_PROCESS = {"num_workers": 0}


def test_each_odd_one_is_one_failed_video(tmp_path: Path) -> None:
    (videos := tmp_path / "videos").mkdir()
    make_video(videos / "good.mkv", 4, image=scene)
    (videos / "gone.mp4").symlink_to("nowhere")
    (videos / "circle.mp4").symlink_to("circle.mp4")
    os.mkfifo(videos / "pipe.avi")
    (videos / "._good.mkv").write_bytes(b"\x00\x05\x16\x07")
    (frames := tmp_path / "frames").mkdir()
    PilImage.fromarray(scene()).save(frames / "0.png")
    (frames / "1.png").symlink_to("nowhere")
    (empty := tmp_path / "empty").mkdir()
    inside = [str(videos / name) for name in ("good.mkv", "gone.mp4", "circle.mp4", "pipe.avi")]
    for named, skip_missing in ((videos, False), (videos, True), ([*inside, frames, empty], False)):
        results = tk.track(named, "red", preset="color", session=IN_PROCESS, skip_missing=skip_missing)
        status = {Path(row.video_path).name: row.status for row in results.videos.itertuples()}
        odd = ("gone.mp4", "circle.mp4", "pipe.avi", *(("frames", "empty") if named is not videos else ()))
        assert status == {"good.mkv": "ok", **dict.fromkeys(odd, "failed")}
        reasons = {Path(row.video_path).name: row.message for row in results.failures.itertuples()}
        expected = {
            "gone.mp4": "No such file or directory: it is a link to nowhere",
            "circle.mp4": "symbolic links",
            "pipe.avi": "a device or a pipe",
            "frames": "1.png: the image cannot be read: it is a link that leads nowhere",
            "empty": "a folder without images",
        }
        for name in odd:
            assert expected[name] in reasons[name]
    with pytest.raises(ConfigError, match="is empty"):
        tk.track(empty, "red", preset="color", session=IN_PROCESS)


def test_what_was_left_out_is_told_from_python(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_video(tmp_path / "a.mkv", 2, image=scene)
    (tmp_path / "b.braw").touch()
    with caplog.at_level(logging.WARNING):
        results = tk.track(tmp_path, "red", preset="color", session=IN_PROCESS)
    assert len(results.videos) == 1
    assert "1 file (b.braw)" in caplog.text


def test_a_name_of_long_letters_has_an_annotated_video(tmp_path: Path) -> None:
    video = make_video(tmp_path / ("\U00020000" * 62 + ".mp4"), 3, image=scene)
    results = tk.track(video, "red", preset="color", session=IN_PROCESS, output_video_dir=tmp_path / "out")
    assert results.videos["status"].tolist() == ["ok"]
    assert len(list((tmp_path / "out").glob("*.mp4"))) == 1


def test_stacks_and_floats_are_tracked(tmp_path: Path) -> None:
    stack = write_stack(tmp_path / "s.tif")
    (floats := tmp_path / "floats").mkdir()
    for i in range(6):
        write_tiff(floats / f"{i}.tif", grey(i).astype("f4") / 255)
    red = tk.track(stack, "red", preset="color", session=IN_PROCESS)
    assert (red.videos["frames"].tolist(), red.tracks["obj_id"].nunique()) == ([10], 1)
    white = tk.track(floats, "white", preset="color", session=IN_PROCESS)
    assert len(white.tracks) == 6
    assert "0 is black, 1 is white" in str(white.videos["warnings"].tolist())
