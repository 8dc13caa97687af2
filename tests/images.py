"""Images of every kind of value, for tests."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from trackkit.core.arrays import Image

_FORMATS = {"u": 1, "i": 2, "f": 3, "c": 6}


def scene(step: int = 0, width: int = 128, height: int = 64) -> Image:
    """A red square that moves over grey, 2 pixels a step."""
    image = np.full((height, width, 3), 90, np.uint8)
    left = 4 + 2 * step
    image[height // 2 - 10 : height // 2 + 10, left : left + 20] = (230, 20, 20)
    return image


def grey(step: int = 0) -> npt.NDArray[np.uint8]:
    """The same in grey: 90, and 230 in the square."""
    return scene(step)[:, :, 0].copy()


def write_tiff(
    path: Path, *pages: npt.NDArray[Any], order: str = "<", tags: dict[int, int] | None = None
) -> Path:
    """A TIFF of any type of values, which few programs write, with further tags on its pages."""
    data = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)
    for i, page in enumerate(pages):
        (height, width, *channels), bits = page.shape, 8 * page.dtype.itemsize
        count = channels[0] if channels else 1
        entries = {256: width, 257: height, 259: 1, 262: 2 if count > 2 else 1, 277: count, 278: height}
        entries |= {279: page.nbytes, 284: 1, **(tags or {})}
        many = {258: [bits] * count, 339: [_FORMATS[page.dtype.kind]] * count}
        if count == 4:
            many[338] = [2]
        ends = len(data) + 2 + 12 * (len(entries) + len(many) + 1) + 4
        values = b"".join(struct.pack(f"{order}{len(each)}H", *each) for each in many.values())
        table, place = {}, ends
        for tag, value in (entries | {273: ends + len(values)}).items():
            table[tag] = struct.pack(f"{order}HHII", tag, 4, 1, value)
        for tag, each in many.items():
            short = struct.pack(f"{order}{len(each)}H", *each).ljust(4, b"\0")
            at = short if len(each) < 3 else struct.pack(f"{order}I", place)
            table[tag] = struct.pack(f"{order}HHI", tag, 3, len(each)) + at
            place += 2 * len(each)
        pixels = page.astype(page.dtype.newbyteorder(order)).tobytes()
        after = ends + len(values) + len(pixels) if i < len(pages) - 1 else 0
        data += struct.pack(f"{order}H", len(table)) + b"".join(table[tag] for tag in sorted(table))
        data += struct.pack(f"{order}I", after) + values + pixels
    path.write_bytes(data)
    return path


def write_stack(path: Path, count: int = 10) -> Path:
    """The scene in a file of many pictures; its ending says which kind."""
    first, *others = (PilImage.fromarray(scene(i)) for i in range(count))
    first.save(path, save_all=True, append_images=others)
    return path
