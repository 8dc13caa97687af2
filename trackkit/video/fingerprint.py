"""Whether a video is the same as before: by what the file system says of it, and by its content."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from trackkit.core.tasks import VideoTask
from trackkit.video.listing import Listing

KEY_BYTES = 1 << 16
_STRETCHES, _STRETCH_BYTES = 64, 1 << 14  # of an image: closer than an object that can be seen is high


@dataclass(frozen=True, slots=True)
class FileState:
    """What the file system says of a video.

    Attributes:
        size_bytes: Of the file; of all files in the folder.
        mtime_ns: When the file or the list of files in the folder was modified. Programs that copy set it.
        changed_ns: When the file, the folder or any image in it changed last. Nobody can set it back, so it
            tells of every change; and of some that are none, as when the file was copied.
    """

    size_bytes: int
    mtime_ns: int
    changed_ns: int

    @classmethod
    def of(cls, source: str) -> FileState:
        """Look at a video. What cannot be looked at in a folder counts nothing.

        Raises:
            OSError: It is not there.
            ValueError: There is a NUL in its name.
        """
        own = os.stat(source)  # noqa: PTH116 - lists have 100,000 lines
        if not stat.S_ISDIR(own.st_mode):
            return cls(own.st_size, own.st_mtime_ns, own.st_ctime_ns)
        size_bytes, changed_ns = 0, own.st_ctime_ns
        with contextlib.suppress(OSError), os.scandir(source) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    found = entry.stat()
                    size_bytes += found.st_size
                    changed_ns = max(changed_ns, found.st_ctime_ns)
        return cls(size_bytes, own.st_mtime_ns, changed_ns)


def changed_at(task: VideoTask) -> int | None:
    """:attr:`FileState.changed_ns` of a video, None where it is gone."""
    try:
        return FileState.of(task.source).changed_ns
    except (OSError, ValueError):
        return None


def content_key(task: VideoTask) -> str | None:
    """16 hex digits that tell content apart, without reading all of it.

    Of a file: its first, middle and last ``KEY_BYTES``, and its size. Of a folder of images: their names and
    sizes, and of each up to 1 MiB: all of it, or 64 stretches of 16 KiB that are spread over it.

    None where the video is gone, or is no longer the one of the task, and for a folder without images.
    """
    found = hashlib.sha256()
    try:
        state = FileState.of(task.source)
        if (state.size_bytes, state.mtime_ns) != (task.size_bytes, task.mtime_ns):
            return None
        if not os.path.isdir(task.source):  # noqa: PTH112
            found.update(str(state.size_bytes).encode())
            places = (0, state.size_bytes // 2, max(0, state.size_bytes - KEY_BYTES))
            _add(found, task.source, places, KEY_BYTES)
            return found.hexdigest()[:16]
        images = Listing.of(task.source).images
        if not images:
            return None
        for name in images:
            path = os.path.join(task.source, name)  # noqa: PTH118
            size = os.stat(path).st_size  # noqa: PTH116
            found.update(f"{name}/{size}/".encode())
            _add(found, path, range(0, size, max(_STRETCH_BYTES, size // _STRETCHES)), _STRETCH_BYTES)
    except (OSError, ValueError):
        return None
    return found.hexdigest()[:16]


def _add(found: hashlib._Hash, path: str, places: Iterable[int], length: int) -> None:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        for place in places:
            file.seek(place)
            found.update(file.read(length))
