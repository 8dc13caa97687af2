"""One still image: its values as they are stored, or the pixels that they show."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage
from PIL import ImageOps, UnidentifiedImageError

from trackkit.core.errors import VideoDecodeError
from trackkit.video.source import MAX_SIDE
from trackkit.video.tiff import TiffPage, is_tiff, page_alone, page_tags, tiff_pages

Values = npt.NDArray[Any]

_KINDS = {1: "u", 2: "i", 3: "f", 4: "u"}  # of values, by the TIFF tag SampleFormat
_NAMES = {"u": "whole numbers", "i": "signed numbers", "f": "floats", "c": "complex numbers"}
_BITS = {"u": (8, 10, 12, 14, 16, 32, 64), "i": (8, 16, 32, 64), "f": (32, 64)}  # of a deep value
_READ = "expected 8 or 16 bits a channel, or 32 or 64 bits of integers or floats, in grey or RGB: convert it"
_NOT_UNDERSTOOD = f"this kind of image is not understood, or it is damaged; {_READ}"


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that was read.

    Attributes:
        values: RGB of 8 bits, (H, W, 3) uint8, as they are shown; or *deep* ones: grey (H, W) or RGB
            (H, W, 3) of another type, which have to be scaled.
        left_out: What of the file is not in them.
    """

    values: Values
    left_out: str | None = None

    @property
    def is_deep(self) -> bool:
        """Whether the values have to be scaled to be seen."""
        return self.values.dtype != np.uint8


def read_picture(file: Path, page: TiffPage | None = None) -> Picture:
    """Read an image, turned upright; a page of a TIFF if one is given.

    Raises:
        VideoDecodeError: It cannot be read, is a kind of image that is not understood, or an animation.
    """
    name = str(file) if page is None or page.number == 1 else f"{file}, page {page.number}"
    try:
        if not file.is_file():
            there = file.exists()
            msg = "it is a pipe, a device or a folder" if there else "it is a link that leads nowhere"
            raise ValueError(msg)
        return _read(file) if page is None else _read_page(file, page)
    except (OSError, SyntaxError, ValueError, PilImage.DecompressionBombError) as error:
        reason = _NOT_UNDERSTOOD if isinstance(error, UnidentifiedImageError) else error
        msg = f"{name}: the image cannot be read: {reason}"
        raise VideoDecodeError(msg) from error


def is_still(file: Path) -> bool:
    """Whether a file holds an image, or the pages of a TIFF; animations that FFmpeg reads are left to it."""
    try:
        if is_tiff(file):
            return True
        with PilImage.open(file) as image:
            return image.format in ("MPO", "WEBP") or getattr(image, "n_frames", 1) == 1
    except (OSError, SyntaxError, ValueError, PilImage.DecompressionBombError):
        return False


def _read(file: Path) -> Picture:
    with PilImage.open(file) as image:
        _check_size(*image.size)
        pictures = getattr(image, "n_frames", 1)
        if image.format == "TIFF" and pictures == 1:  # by another name
            return _read_page(file, *tiff_pages(file))
        left_out = "further pictures in the same file (MPO)" if pictures > 1 else None
        if pictures > 1 and image.format != "MPO":
            msg = f"it is an animation of {pictures} pictures ({image.format}); expected one a file: split it"
            raise ValueError(msg)
        # What the pixels are made from, known until they are loaded: "RGB;16B"; of PPM, the highest value.
        stored = image.tile[0].args if image.tile else ()
        first, highest, *_ = (*stored, None, None) if isinstance(stored, tuple) else (stored, None)
        deep = ";16" in str(first) or (image.format == "PPM" and isinstance(highest, int) and highest > 255)
        if deep or image.mode[0] in "IF":
            turn = image.getexif().get(0x0112)
            picture = _decode_deep(file.read_bytes(), image.size)
            return Picture(_turned(picture.values, turn), left_out or picture.left_out)
        return _shown(ImageOps.exif_transpose(image), left_out)


def _read_page(file: Path, page: TiffPage) -> Picture:
    tags = page_tags(file, page)
    size = int(tags.get(256, 0)), int(tags.get(257, 0))
    _check_size(*size)
    bits, formats = max(_many(tags.get(258, 1))), set(_many(tags.get(339, 1)))
    channels, white_is_zero, turn = int(tags.get(277, 1)), tags.get(262) == 0, tags.get(274)
    # Colours that are not RGB (CMYK, LAB, ...) are left to Pillow, which makes 8 bits of them.
    if (bits <= 8 and formats <= {1, 4}) or tags.get(262) not in (None, 0, 1, 2):
        if page.number == 1 and turn in (None, 1):  # Pillow scrambles some that are to be turned
            with PilImage.open(file) as image:
                return _shown(image)
        with PilImage.open(io.BytesIO(page_alone(file, page))) as image:
            shown = _shown(image)
        return Picture(_turned(shown.values, turn), shown.left_out)
    kind = _KINDS.get(formats.pop(), "c") if len(formats) == 1 else "mixed"
    if bits not in _BITS.get(kind, ()) or channels not in (1, 3, 4):
        msg = f"it holds {channels} channels of {bits} bits ({_NAMES.get(kind, 'of several types')}); {_READ}"
        raise ValueError(msg)
    if channels > 1 and tags.get(284, 1) != 1:
        msg = f"its channels of {bits} bits are stored one after the other (PlanarConfiguration 2); {_READ}"
        raise ValueError(msg)
    picture = _decode_deep(page_alone(file, page), size)
    values = picture.values
    if values.dtype.kind != kind or not bits <= 8 * values.dtype.itemsize < 2 * bits:
        msg = f"it holds {bits} bits a value ({kind}), read as {values.dtype}; {_READ}"
        raise ValueError(msg)
    if white_is_zero:
        values = np.array(2**bits - 1, values.dtype) - values if kind == "u" else -1.0 * values
    return Picture(_turned(values, turn), picture.left_out)


def _many(value: Any) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _check_size(width: int, height: int) -> None:
    if max(width, height) > MAX_SIDE:
        msg = f"{width} x {height} pixels, at most {MAX_SIDE} a side"
        raise ValueError(msg)


def _shown(image: PilImage.Image, left_out: str | None = None) -> Picture:
    """What an image of 8 bits shows."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if np.asarray(image)[:, :, 3].min() < 255:
            left_out = "transparency"
    return Picture(np.array(image.convert("RGB")), left_out)


def _decode_deep(data: bytes, size: tuple[int, int]) -> Picture:
    """Values as they are stored: grey (H, W), or RGB (H, W, 3)."""
    values: Values | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.shape[:2] != size[::-1]:
        raise ValueError(_NOT_UNDERSTOOD)
    if values.ndim == 2:
        return Picture(values)
    whole = values.shape[2] == 3 or values[:, :, 3].min() >= (
        np.iinfo(values.dtype).max if values.dtype.kind in "ui" else 1
    )
    return Picture(np.ascontiguousarray(values[:, :, 2::-1]), None if whole else "transparency (4th channel)")


def _turned(values: Values, orientation: int | None) -> Values:
    """Upright, by the EXIF and TIFF tag Orientation."""
    if orientation not in range(2, 9):
        return values
    turned = values if orientation in (2, 3, 4) else np.swapaxes(values, 0, 1)
    rows = orientation in (3, 4, 7, 8)
    columns = orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(turned[:: -1 if rows else 1, :: -1 if columns else 1])
