"""Columns that grow with the length of a video, kept on disk."""

from __future__ import annotations

import mmap
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from trackkit.core.errors import StorageError
from trackkit.core.frames import TrackedObjects
from trackkit.results.columns import TRACK_DTYPES

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


class TrackTable:
    """Collects the rows of one video in compact columns, those of a long one on disk, for a DataFrame."""

    def __init__(self, video_path: str, classes: Sequence[str]) -> None:
        self._video_path = video_path
        self._codes = {name: code for code, name in enumerate(classes)}
        dtypes: dict[str, Any] = {k: v for k, v in TRACK_DTYPES.items() if v not in ("category", "str")}
        dtypes |= {"label": np.min_scalar_type(-len(classes)), "rles": np.uint8, "rle_ends": np.int64}
        self._columns = Spool(dtypes)
        self._columns.append("rle_ends", [0])
        self._len = self._rle_end = 0
        self._has_masks = True

    def __len__(self) -> int:
        return self._len

    def add(self, objects: TrackedObjects) -> None:
        """Append the objects of one frame.

        Raises:
            StorageError: The disk is full.
        """
        n = len(objects)
        if n == 0:
            return
        self._len += n
        (x, y, x2, y2), rles = objects.xyxy.T, objects.rles
        self._has_masks = self._has_masks and rles is not None
        ends = self._rle_end + np.cumsum([len(rle) for rle in rles or ()], dtype=np.int64)
        self._rle_end = int(ends[-1]) if rles else 0
        for name, values in {
            "label": [self._codes[label] for label in objects.labels],
            "frame_idx": np.full(n, objects.frame.idx),
            "time_s": np.full(n, objects.frame.time_s),
            "obj_id": objects.obj_ids,
            "score": objects.scores,
            "x": x,
            "y": y,
            "width": x2 - x,
            "height": y2 - y,
            "area_px": objects.areas,
            "detected": objects.detected,
            "pred_iou": np.full(n, np.nan) if objects.pred_ious is None else objects.pred_ious,
            "rles": np.frombuffer(b"".join(rles or ()), np.uint8),
            "rle_ends": ends,
        }.items():
            self._columns.append(name, values)

    def to_frame(self) -> pd.DataFrame:
        """The rows as a DataFrame with the columns and dtypes of ``TRACK_DTYPES``; once, at the end.

        Raises:
            StorageError: The disk is full.
        """
        columns: dict[str, Any] = self._columns.to_numpy()
        codes, zeros = columns["label"], np.zeros(len(self), np.int8)
        columns["video_path"] = pd.Categorical.from_codes(zeros, categories=pd.Index([self._video_path]))
        columns["label"] = pd.Categorical.from_codes(codes, categories=pd.Index(list(self._codes)))
        rles: Any = np.full(len(self), None)
        if self._has_masks:
            buffers = [pa.py_buffer(columns[name]) for name in ("rle_ends", "rles")]
            rles = pa.LargeStringArray.from_buffers(len(self), *buffers)
        columns["mask_rle"] = pd.array(rles, dtype="str")
        # Without a copy: what lies on disk stays there.
        return pd.DataFrame({name: columns[name] for name in TRACK_DTYPES}, copy=False)
