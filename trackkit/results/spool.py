"""Columns that grow with the length of a video, kept on disk."""

from __future__ import annotations

import mmap
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from trackkit.core.errors import StorageError

COLUMN_BYTES = 2**16  # of each column that stay in memory while it grows


RESULT_BYTES = 2**23  # up to so many are read into memory in the end; beyond, the file is mapped


class Spool:
    """Columns of one type each, appended to piece by piece; what is more than a little lies in files.

    The files are where Python puts temporary ones (``TMPDIR``) and have no name: however the process ends,
    nothing is left of them.

    Args:
        dtypes: Type of each column by its name.
    """

    def __init__(self, dtypes: Mapping[str, npt.DTypeLike]) -> None:
        self._dtypes = {name: np.dtype(dtype) for name, dtype in dtypes.items()}
        self._files = {name: tempfile.SpooledTemporaryFile(COLUMN_BYTES) for name in dtypes}  # noqa: SIM115

    def append(self, name: str, values: npt.ArrayLike) -> None:
        """Append values to the column ``name``.

        Raises:
            StorageError: The disk is full.
        """
        with _storage():
            self._files[name].write(np.asarray(values, self._dtypes[name]).tobytes())

    def to_numpy(self) -> dict[str, npt.NDArray[Any]]:
        """The columns, at the end; nothing can be appended any more.

        They may be written to. Those of a long video are pages of a file, which the system brings into memory
        where they are read, and takes back where it is short; one open file for all of them.

        Raises:
            StorageError: The disk is full.
        """
        names = sorted(self._dtypes, key=lambda name: -self._dtypes[name].itemsize)  # so that all are aligned
        sizes = {name: self._files[name].tell() for name in names}
        memory: bytearray | mmap.mmap
        with _storage(), tempfile.SpooledTemporaryFile(RESULT_BYTES) as whole:
            for name in names:
                with self._files[name] as file:
                    file.seek(0)
                    shutil.copyfileobj(file, whole)
            whole.seek(0)
            if sum(sizes.values()) > RESULT_BYTES:
                memory = mmap.mmap(whole.fileno(), 0, access=mmap.ACCESS_COPY)
            else:
                memory = bytearray(whole.read())
        columns, start = {}, 0
        for name in names:
            count = sizes[name] // self._dtypes[name].itemsize
            columns[name] = np.frombuffer(memory, self._dtypes[name], count, start if count else 0)
            start += sizes[name]
        return columns


@contextmanager
def _storage() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = (
            f"the rows of a long video cannot be kept in {tempfile.gettempdir()} ({error.strerror}): "
            "make room there, or set TMPDIR to a folder on a larger disk"
        )
        raise StorageError(msg) from None
