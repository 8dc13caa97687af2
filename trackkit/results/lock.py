"""One writer for a results file: a lock that ends with the process that holds it, however that ends."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from pathlib import Path
from typing import BinaryIO

from trackkit.core.errors import ResultsError

_HELD = (errno.EAGAIN, errno.EACCES)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class FileLock:
    """Holds ``.<name>.lock`` beside a file; the kernel lets go of it when the process ends, even by kill -9.

    ``flock`` holds among the processes of one machine. Over NFS, Linux passes it on to the server, so that it
    holds between machines too; on other network file systems (Lustre with ``localflock``, some FUSE mounts)
    it may hold on each machine for itself only. Where there are no locks at all, ``note`` says so.

    Args:
        path: The file to guard. Different names of one file are one.

    Attributes:
        note: What the user should know, None where the lock holds.

    Raises:
        ResultsError: Another process holds the lock; the message names the file and the process.
        OSError: The lock file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.note: str | None = None
        self._path = _lock_path(path)
        self._file = self._take(path)
        self._file.truncate(0)
        self._file.write(f"pid {os.getpid()} on {socket.gethostname()}".encode())
        self._file.flush()

    def _take(self, path: Path) -> BinaryIO:
        while True:
            file = self._path.open("a+b")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in _NO_LOCKS:
                    self.note = f"the folder of {path} has no file locks: let no second run write to it"
                    return file
                owner = _owner(file)
                file.close()
                if error.errno not in _HELD:
                    raise
                msg = (
                    f"{path} is being written by another run ({owner}): wait for its end, "
                    "or give this run another --output-jsonl"
                )
                raise ResultsError(msg) from None
            if _is_at(file, self._path):
                return file
            file.close()  # its owner ended, and removed it, after it was opened here

    def release(self) -> None:
        """Let go, and leave nothing behind. Safe to call twice."""
        if not self._file.closed:
            self._path.unlink(missing_ok=True)  # first: whoever takes the lock now, takes that of a new file
            self._file.close()


def held_by(path: Path) -> str | None:
    """Who writes the file now (``"pid 12 on host"``), None where nobody does."""
    try:
        file = _lock_path(path).open("rb")
    except OSError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return _owner(file) if error.errno in _HELD else None
    return None


def _lock_path(path: Path) -> Path:
    real = Path(os.path.realpath(path))
    return real.with_name(f".{real.name}.lock")


def _owner(file: BinaryIO) -> str:
    file.seek(0)
    return file.read(200).decode(errors="replace") or "just starting"


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
