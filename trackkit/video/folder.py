"""A folder of numbered images, read as a video."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image as PilImage
from PIL import ImageOps

from trackkit.core.arrays import Image
from trackkit.core.errors import VideoDecodeError, VideoOpenError
from trackkit.core.frames import VideoInfo
from trackkit.video.source import DEFAULT_FPS, MAX_SIDE

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


class FolderSource:
    """Images in the order of the numbers in their names, at the rate of ``fps`` (default 30).

    Raises:
        VideoOpenError: No image is there, or the first cannot be read.
        VideoDecodeError: From an image: it cannot be read, or has another size than the first.
    """

    is_folder = True
    truncated: str | None = None
    warnings: tuple[str, ...] = ()

    def __init__(self, folder: Path, fps: float | None) -> None:
        try:
            files = [file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES]
        except OSError as error:
            msg = f"{folder}: the folder cannot be listed: {error.strerror}"
            raise VideoOpenError(msg) from error
        self._files = sorted((file for file in files if not file.name.startswith(".")), key=_by_number)
        if not self._files:
            msg = f"{folder}: a folder without images; expected files in {', '.join(sorted(IMAGE_SUFFIXES))}"
            raise VideoOpenError(msg)
        try:
            height, width, _ = _read_image(self._files[0]).shape
        except VideoDecodeError as error:
            raise VideoOpenError(str(error)) from error
        rate, count = fps or DEFAULT_FPS, len(self._files)
        self.info = VideoInfo(width, height, rate, count, count / rate)

    def pictures(self) -> Iterator[tuple[float, Callable[[], Image]]]:
        """For every image its time and a function that reads it."""
        for idx, file in enumerate(self._files):
            yield idx / self.info.fps, partial(self._load, file)

    def times(self) -> Iterator[float]:
        """The time of every image."""
        return (idx / self.info.fps for idx in range(len(self._files)))

    def _load(self, file: Path) -> Image:
        image, info = _read_image(file), self.info
        height, width, _ = image.shape
        if (width, height) != (info.width, info.height):
            first = f"{self._files[0].name} is {info.width} x {info.height}"
            msg = f"{file}: is {width} x {height} pixels, but {first}; all images must have one size"
            raise VideoDecodeError(msg)
        return image

    def close(self) -> None:
        """Nothing is held open."""


def _by_number(file: Path) -> tuple[list[str | int], str]:
    # Text and number alternate, text first, so that like is compared with like.
    parts = re.split(r"([0-9]+)", file.name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], file.name


def _read_image(file: Path) -> Image:
    try:
        with PilImage.open(file) as image:
            if max(image.size) > MAX_SIDE:
                msg = f"{image.width} x {image.height} pixels, at most {MAX_SIDE} a side"
                raise ValueError(msg)
            turned = ImageOps.exif_transpose(image)
            if not turned.mode.startswith("I"):
                return np.array(turned.convert("RGB"))
            grey = (np.asarray(turned) >> 8).astype(np.uint8)  # 16 bits, which Pillow would clip, not scale
            return np.repeat(grey[:, :, None], 3, axis=2)
    except (OSError, SyntaxError, ValueError, PilImage.DecompressionBombError) as error:
        msg = f"{file}: the image cannot be read: {error}"
        raise VideoDecodeError(msg) from error
