"""The rows of one video: collected frame by frame, and back to the objects of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from trackkit.core.frames import Frame, TrackedObjects
from trackkit.results.columns import TRACK_DTYPES, boxes_of_rows
from trackkit.results.spool import Spool


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


def objects_in(rows: pd.DataFrame, frame: Frame) -> TrackedObjects:
    """The objects of one frame, from its rows of ``tracks``: the inverse of :meth:`TrackTable.add`.

    Example:
        >>> annotated = draw(objects_in(tracks[tracks.frame_idx == frame.idx], frame))  # doctest: +SKIP
    """
    has_masks = bool(rows["mask_rle"].notna().all())
    return TrackedObjects(
        frame=frame,
        obj_ids=rows["obj_id"].to_numpy(np.int32),
        xyxy=boxes_of_rows(rows),
        scores=rows["score"].to_numpy(np.float32),
        labels=tuple(rows["label"]),
        detected=rows["detected"].to_numpy(np.bool_),
        areas=rows["area_px"].to_numpy(np.int32),
        rles=tuple(counts.encode() for counts in rows["mask_rle"]) if has_masks else None,
        pred_ious=rows["pred_iou"].to_numpy(np.float32),
    )
