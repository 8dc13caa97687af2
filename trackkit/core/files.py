"""Files and folders that are whole or absent: written beside their place, renamed at the end."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from trackkit.core.errors import ResultsError

_ABANDONED_S = 24 * 3600.0


def part_path(path: Path) -> Path:
    """Where to write what gets the name ``path`` when it is whole; ``remove_abandoned`` knows the pattern."""
    return path.with_name(f".trackkit-{secrets.token_hex(6)}.part")


def atomic_write(path: Path, data: bytes) -> None:
    """Write a file that has its name only when it is whole.

    Raises:
        ResultsError: It cannot be written.
    """
    with atomic_path(path) as part:
        part.write_bytes(data)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Where to write a file, or a folder, that gets its name when it is whole, and is removed when it fails.

    A file replaces one that is there; a folder replaces an empty one only.

    Raises:
        ResultsError: It cannot be written.
    """
    part = part_path(path)
    try:
        yield part
        part.replace(path)
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror or error}): check the folder"
        raise ResultsError(msg) from None
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def remove_abandoned(folder: Path) -> int:
    """Remove unfinished files and folders that nobody has written to for a day: their processes were killed.

    Returns:
        How many there were.
    """
    removed = 0
    for part in folder.glob(".trackkit-*.part"):
        with contextlib.suppress(FileNotFoundError):  # its process has just given it its name
            if time.time() - part.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(part) if part.is_dir() else part.unlink()
                removed += 1
    return removed
