"""Numbered images, read as a video: those of a folder, or the pages of one file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from trackkit.core.arrays import Image
from trackkit.core.errors import VideoDecodeError, VideoOpenError
from trackkit.core.frames import VideoInfo
from trackkit.core.words import plural
from trackkit.video.levels import Levels, has_none
from trackkit.video.listing import IMAGE_SUFFIXES, Listing, endings
from trackkit.video.picture import Picture, Values, read_picture
from trackkit.video.source import DEFAULT_FPS
from trackkit.video.tiff import TiffPage, tiff_pages

_LOOKED_AT = 32  # images, spread over the video, that decide how deep ones are scaled

_Page = tuple[Path, TiffPage | None]
_Kind = tuple[str, int]  # type of the values, and whether they are grey or of colours


class FolderSource:
    """Images in the order of the numbers in their names, at the rate of ``fps`` (default 30).

    Every page of a TIFF is a frame. Images of more than 8 bits a channel, signed ones and floats are scaled,
    all of a video alike: see :class:`~trackkit.video.levels.Levels`. It looks at up to 32 images that are
    spread over the video. ``warnings`` tells what was done, and what was left out.

    Args:
        path: A folder, or one image.
        fps: Images per second.

    Raises:
        VideoOpenError: No image is there, or the first cannot be read.
        VideoDecodeError: From an image: it cannot be read, or has another size than the first.
    """

    is_folder = True
    truncated: str | None = None

    def __init__(self, path: Path, fps: float | None) -> None:
        self._notes: dict[str, tuple[int, str]] = {}  # what: of how many images, and of which first
        self._levels: dict[_Kind, Levels | None] = {}
        self._told: list[str] = []
        try:
            self._pages = [page for file in self._files(path) for page in _pages(file)]
            height, width, _ = self._shown(self._pages[0]).shape
        except VideoDecodeError as error:
            raise VideoOpenError(str(error)) from error
        self._notes.clear()  # the first image comes again
        rate, count = fps or DEFAULT_FPS, len(self._pages)
        self.info = VideoInfo(width, height, rate, count, count / rate)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was left out, and how images were scaled."""
        counted = (
            f"{what}: in {plural(n, 'image')}, the first is {name}" for what, (n, name) in self._notes.items()
        )
        return (*self._told, *counted)

    def pictures(self) -> Iterator[tuple[float, Callable[[], Image]]]:
        """For every image its time and a function that reads it."""
        for idx, page in enumerate(self._pages):
            yield idx / self.info.fps, partial(self._load, *page)

    def times(self) -> Iterator[float]:
        """The time of every image."""
        return (idx / self.info.fps for idx in range(len(self._pages)))

    def close(self) -> None:
        """Nothing is held open."""

    def _files(self, path: Path) -> list[Path]:
        if path.is_file():
            return [path]
        try:
            listing = Listing.of(path)
        except OSError as error:
            msg = f"{path}: the folder cannot be listed: {error.strerror}"
            raise VideoOpenError(msg) from error
        left_out = listing.left_out("videos", "others", "folders")
        if not listing.images:
            inside = f"; it holds {left_out}" if left_out else ""
            name_them = (
                ". To track the videos in it, name each of them, or a pattern" if listing.videos else ""
            )
            msg = (
                f"{path}: a folder without images{inside}; "
                f"expected files in {endings(IMAGE_SUFFIXES)}{name_them}"
            )
            raise VideoOpenError(msg)
        if left_out:
            self._told.append(f"left out of the folder: {left_out}")
        return [path / name for name in listing.images]

    def _load(self, file: Path, tiff_page: TiffPage | None) -> Image:
        image, info = self._shown((file, tiff_page)), self.info
        height, width, _ = image.shape
        if (width, height) != (info.width, info.height):
            first = f"{self._pages[0][0].name} is {info.width} x {info.height}"
            msg = f"{file}: is {width} x {height} pixels, but {first}; all images must have one size"
            raise VideoDecodeError(msg)
        return image

    def _shown(self, page: _Page) -> Image:
        picture = read_picture(*page)
        if picture.left_out is not None:
            self._note(f"left out: {picture.left_out}", page)
        if not picture.is_deep:
            return picture.values
        values = picture.values
        levels = self._levels_of(_kind(values))
        if has_none(values):
            self._note("values that are no numbers (NaN, infinite) are black, or white if +infinite", page)
        if levels is None:
            msg = f"{page[0]}: there are no numbers in it, nor in others: every value is NaN or infinite"
            raise VideoDecodeError(msg)
        if levels.clips(values):
            self._note(f"values beyond {levels.black:g} to {levels.white:g} are clipped", page)
        return levels(values)

    def _levels_of(self, kind: _Kind) -> Levels | None:
        if kind not in self._levels:
            count = len(self._pages)
            some = [
                self._pages[i] for i in sorted({*np.linspace(0, count - 1, _LOOKED_AT).round().astype(int)})
            ]
            levels = Levels.of(self._of_kind(kind, some))
            if levels is None:  # rare among others
                levels = Levels.of(self._of_kind(kind, self._pages))
            self._levels[kind] = levels
            if levels is not None:
                self._told.append(
                    f"images of {kind[0]} values are scaled, all alike: {levels.black:g} is black, "
                    f"{levels.white:g} is white"
                )
        return self._levels[kind]

    @staticmethod
    def _of_kind(kind: _Kind, pages: list[_Page]) -> Iterator[Values]:
        return (p.values for p in map(_read, pages) if p.is_deep and _kind(p.values) == kind)

    def _note(self, what: str, page: _Page) -> None:
        count, first = self._notes.get(what, (0, page[0].name))
        self._notes[what] = count + 1, first


def _read(page: _Page) -> Picture:
    return read_picture(*page)


def _kind(values: Values) -> _Kind:
    return values.dtype.name, values.ndim


def _pages(file: Path) -> list[_Page]:
    """The frames of a file: all pages of a TIFF, one of any other."""
    try:
        if file.suffix.lower() not in (".tif", ".tiff") or not file.is_file():
            return [(file, None)]
        return [(file, page) for page in tiff_pages(file)] or [(file, None)]
    except (OSError, ValueError) as error:
        msg = f"{file}: the image cannot be read: {error}"
        raise VideoDecodeError(msg) from error
