"""JSON files of long lists, written without holding the lists."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import orjson


class JsonLists:
    """A JSON object of lists that grow side by side on disk, and are joined in one file at the end."""

    def __init__(self, place: Path, *names: str) -> None:
        self._place = place
        with ExitStack() as stack:
            self._lists: dict[str, BinaryIO] = {
                name: stack.enter_context(tempfile.TemporaryFile(dir=place.parent)) for name in names
            }
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def add(self, name: str, entry: dict[str, Any]) -> None:
        """Append an entry to the list ``name``."""
        part = self._lists[name]
        part.write(b",\n" if part.tell() else b"\n")
        part.write(orjson.dumps(entry, option=orjson.OPT_SERIALIZE_NUMPY))

    def join(self, **rest: Any) -> None:
        """Write the file: ``rest``, then the lists."""
        with self._place.open("xb") as file:
            file.write(orjson.dumps(rest)[:-1])
            for name, part in self._lists.items():
                file.write(f',\n"{name}":['.encode())
                part.seek(0)
                shutil.copyfileobj(part, file)
                file.write(b"]")
            file.write(b"}\n")


def about_dataset(classes: tuple[str, ...]) -> dict[str, Any]:
    """What stands at the head of a file: who made it, and its categories, from 1."""
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    return {"info": {"description": "tracks found by trackkit"}, "categories": categories}
