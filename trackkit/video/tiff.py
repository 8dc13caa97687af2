"""The pages of a TIFF, each as a TIFF of its own: any page is read at once, however many there are."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from PIL.TiffImagePlugin import ImageFileDirectory_v2

_BEGINNINGS = (b"II\x2a\0", b"MM\0\x2a", b"II\x2b\0", b"MM\0\x2b")
# Tags of TIFF 6.0 and BigTIFF, by their numbers there.
_DESCRIPTION, _SUBFILE_KIND = 270, 254
_STRIPS, _TILES = (273, 279), (324, 325)  # where they are, and how long
_KEPT = (256, 257, 258, 259, 262, 266, 277, 278, 284, 292, 293, 317, 320, 322, 323, 338, 339, 347, 530)
_REDUCED_OR_MASK = 1 | 4
_TYPES = {1: "B", 3: "H", 4: "I", 7: "B"}
_SHORT, _LONG, _UNDEFINED = 3, 4, 7


@dataclass(frozen=True, slots=True)
class TiffPage:
    """A picture in a TIFF.

    Attributes:
        number: Its place in the file, from 1.
        header: The first bytes of the file.
        offset: Where its tags are.
    """

    number: int
    header: bytes
    offset: int


def is_tiff(path: str | Path) -> bool:
    """Whether a file begins as a TIFF.

    Raises:
        OSError: It cannot be read.
    """
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read(4) in _BEGINNINGS


def tiff_pages(path: str | Path) -> list[TiffPage]:
    """The pictures of a TIFF, none of another file. What is marked as a small copy or a mask is no picture.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is damaged, or states more pictures than it has pages.
    """
    if not is_tiff(path):
        return []
    with open(path, "rb") as file:  # noqa: PTH123
        pages, stated = [], 1
        for number, (page, tags) in enumerate(_walk(file), start=1):
            if not int(tags.get(_SUBFILE_KIND, 0)) & _REDUCED_OR_MASK:
                pages.append(TiffPage(number, *page))
            # ImageJ puts large stacks behind one page.
            found = re.match(r"ImageJ=.*\nimages=(\d+)", str(tags.get(_DESCRIPTION, "")), re.DOTALL)
            stated = max(stated, int(found[1]) if found else 1)
    if not pages:
        msg = "there is no picture in it"
        raise ValueError(msg)
    if stated > len(pages):
        msg = (
            f"ImageJ states {stated} pictures in it, but {len(pages)} can be found: save it as single images"
        )
        raise ValueError(msg)
    return pages


def page_tags(path: str | Path, page: TiffPage) -> dict[int, Any]:
    """The tags of a page.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is damaged.
    """
    with open(path, "rb") as file:  # noqa: PTH123
        return dict(_tags_at(file, page.header, page.offset))


def page_alone(path: str | Path, page: TiffPage) -> bytes:
    """A TIFF of this page alone, without its orientation.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is damaged.
    """
    order = ">" if page.header.startswith(b"MM") else "<"
    with open(path, "rb") as file:  # noqa: PTH123
        tags = _tags_at(file, page.header, page.offset)
        where, length = _TILES if _TILES[0] in tags else _STRIPS
        data, places = bytearray(8), []
        try:
            for place, size in zip(tags[where], tags[length], strict=True):
                places.append(len(data))
                file.seek(place)
                data += file.read(size)
        except KeyError as error:
            msg = f"the tag {error} is missing"
            raise ValueError(msg) from None
    data += bytes(len(data) % 2)
    entries = {where: (_LONG, tuple(places)), length: (_LONG, tuple(tags[length]))}
    for tag in _KEPT:
        if tag in tags:
            value, kind = tags[tag], tags.tagtype[tag]
            many = value if isinstance(value, tuple | bytes) else (value,)
            entries[tag] = kind if kind in _TYPES else _LONG, tuple(many)
    return bytes(_with_tags(data, entries, order))


def _with_tags(data: bytearray, entries: dict[int, tuple[int, tuple[int, ...]]], order: str) -> bytearray:
    data[:8] = struct.pack(f"{order}2sHI", b"MM" if order == ">" else b"II", 42, len(data))
    after = len(data) + 2 + 12 * len(entries) + 4  # where the values are that are longer than 4 bytes
    tags, values = bytearray(struct.pack(f"{order}H", len(entries))), bytearray()
    for tag, (kind, many) in sorted(entries.items()):
        value = struct.pack(f"{order}{len(many)}{_TYPES[kind]}", *many)
        if len(value) > 4:
            place, value = after + len(values), value + bytes(len(value) % 2)
            values += value
            value = struct.pack(f"{order}I", place)
        tags += struct.pack(f"{order}HHI", tag, kind, len(many)) + value.ljust(4, b"\0")
    return data + tags + bytes(4) + values


def _walk(file: BinaryIO) -> Iterator[tuple[tuple[bytes, int], ImageFileDirectory_v2]]:
    """Header and place of the tags of each page, and the tags."""
    header = file.read(8)
    if header[:4] in _BEGINNINGS[2:]:  # BigTIFF
        header += file.read(8)
    try:
        offset, seen = ImageFileDirectory_v2(header).next, set[int]()
    except (struct.error, SyntaxError) as error:
        msg = f"it is cut ({error})"
        raise ValueError(msg) from None
    while offset and offset not in seen:
        seen.add(offset)
        tags = _tags_at(file, header, offset)
        yield (header, offset), tags
        offset = tags.next


def _tags_at(file: BinaryIO, header: bytes, offset: int) -> ImageFileDirectory_v2:
    tags = ImageFileDirectory_v2(header)
    # Pillow is content with a part of them.
    order, big = ">" if header.startswith(b"MM") else "<", header[:4] in _BEGINNINGS[2:]
    count_bytes, entry_bytes = (8, 20) if big else (2, 12)
    try:
        file.seek(offset)
        count = struct.unpack(f"{order}{'Q' if big else 'H'}", file.read(count_bytes))[0]
        if file.seek(0, 2) < offset + count_bytes + entry_bytes * count + (8 if big else 4):
            msg = f"it is cut: a page is at byte {offset}, but the file ends there"
            raise ValueError(msg)
        file.seek(offset)
        tags.load(file)
    except (struct.error, SyntaxError, TypeError) as error:
        msg = f"its tags are damaged ({error})"
        raise ValueError(msg) from None
    return tags
