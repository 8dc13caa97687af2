"""Folders of images, read as videos."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from clips import number_of, open_error, picture, read_all
from PIL import Image as PilImage

from trackkit.core.errors import VideoDecodeError, VideoOpenError
from trackkit.video.reader import VideoReader


class TestFolder:
    def test_order_and_times(self, tmp_path: Path) -> None:
        for i in range(12):
            PilImage.fromarray(picture(i)).save(tmp_path / f"img{i}.{'png' if i % 2 else 'BMP'}")
        (tmp_path / "readme.txt").touch()
        (tmp_path / ".img0.png").touch()
        frames, reader = read_all(tmp_path)
        assert [number_of(frame.image) for frame in frames] == list(range(12))
        assert [frame.time_s for frame in frames] == pytest.approx([i / 30 for i in range(12)])
        assert (reader.info.fps, reader.info.num_frames, reader.expected_frames) == (30, 12, 12)
        frames, reader = read_all(tmp_path, fps=4)  # the rate of the images, not a choice among them
        assert [frame.time_s for frame in frames] == pytest.approx([i / 4 for i in range(12)])
        assert (reader.process_fps, reader.info.duration_s) == (4, 3)
        assert frames[3].image.flags.c_contiguous and frames[3].image.flags.writeable

    def test_kinds_of_images(self, tmp_path: Path) -> None:
        grey = np.arange(0, 65536, 32, dtype=np.uint16).reshape(32, 64)
        PilImage.fromarray(grey).save(tmp_path / "1.png")
        PilImage.fromarray((grey >> 8).astype(np.uint8)).save(tmp_path / "2.png")
        colour = PilImage.fromarray(picture(3, 64, 32))
        colour.convert("RGBA").save(tmp_path / "3.png")
        colour.convert("P").save(tmp_path / "4.png")
        colour.convert("CMYK").save(tmp_path / "5.jpg")
        exif = PilImage.Exif()
        exif[0x0112] = 6  # to be turned by a quarter, clockwise
        PilImage.fromarray(np.rot90(picture(3, 64, 32)).copy()).save(
            tmp_path / "6.jpg", exif=exif, quality=95
        )
        images = [frame.image for frame in VideoReader(tmp_path)]
        np.testing.assert_array_equal(images[0], images[1])
        np.testing.assert_array_equal(images[2], picture(3, 64, 32))
        assert [number_of(image) for image in images[2:]] == [3, 3, 3, 3]

    def test_sizes_differ(self, tmp_path: Path) -> None:
        for i, width in enumerate((64, 64, 66)):
            PilImage.fromarray(picture(i, width)).save(tmp_path / f"{i}.png")
        with pytest.raises(VideoDecodeError, match=r"2\.png: is 66 x 64 pixels, but 0\.png is 64 x 64"):
            list(VideoReader(tmp_path))

    def test_broken_images(self, tmp_path: Path) -> None:
        PilImage.fromarray(picture(1)).save(tmp_path / "1.jpg")
        os.truncate(tmp_path / "1.jpg", 700)
        with pytest.raises(VideoOpenError, match=r"1\.jpg.*truncated"):
            VideoReader(tmp_path)

    def test_folder_without_images(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("x")
        assert "a folder without images" in open_error(tmp_path)
