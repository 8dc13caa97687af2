"""The columns of the tables of results, and small operations on such tables."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from trackkit.core.arrays import Boxes
from trackkit.core.clock import STAGES

TRACK_DTYPES: dict[str, str] = {
    "video_path": "category",
    "label": "category",
    "frame_idx": "int32",  # 0-based, in the source video
    "time_s": "float64",  # presentation time
    "obj_id": "int32",  # unique in its video
    "score": "float32",  # of the last matched detection
    "x": "float32",  # left edge, source pixels
    "y": "float32",  # top edge
    "width": "float32",
    "height": "float32",
    "area_px": "int32",  # pixels of the mask; of the box where there is no mask
    "detected": "bool",  # matched to a detection in this frame, not only propagated
    "pred_iou": "float32",  # IoU that SAM 2 expects of its mask and the object; missing with other trackers
    "mask_rle": "str",  # compressed COCO RLE counts of the full frame; missing where there is no mask
}
VIDEO_DTYPES: dict[str, str] = {
    "video_path": "str",
    "status": "str",  # ok, truncated, failed
    "width": "Int32",
    "height": "Int32",
    "source_fps": "Float64",
    "process_fps": "Float64",
    "num_frames": "Int64",  # of the source
    "duration_s": "Float64",
    "frames": "Int64",  # processed
    "objects": "Int64",  # distinct ids
    "fps": "Float64",  # processed frames per wall second
    **{f"seconds_{stage}": "Float64" for stage in ("load", *STAGES, "total")},
    "peak_rss_mb": "Float64",
    "peak_gpu_mb": "Float64",
    "worker": "str",
    "gpu": "str",
    "output_video": "str",
    "message": "str",  # why it is truncated or failed
    "warnings": "str",
}
FAILURE_DTYPES: dict[str, str] = {
    "video_path": "str",
    "error_type": "str",
    "message": "str",
    "traceback": "str",
    "attempts": "int32",
    "worker": "str",
    "gpu": "str",
    "seconds": "float64",
}


def empty_frame(dtypes: dict[str, str]) -> pd.DataFrame:
    """A DataFrame without rows, with these columns."""
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in dtypes.items()})


def concat_tables(tables: Iterable[pd.DataFrame], dtypes: dict[str, str]) -> pd.DataFrame:
    """One table out of those of several videos, with these columns; categories are united."""
    filled = [table for table in tables if len(table)]
    if not filled:
        return empty_frame(dtypes)
    categorical = [name for name, dtype in dtypes.items() if dtype == "category"]
    united = {name: union_categoricals([table[name] for table in filled]) for name in categorical}
    rest = pd.concat([table.drop(columns=categorical) for table in filled], ignore_index=True)
    return rest.assign(**united)[list(dtypes)]


def boxes_of_rows(rows: pd.DataFrame) -> Boxes:
    """``float32 (N, 4)``, xyxy, of rows with ``x``, ``y``, ``width`` and ``height``."""
    xywh = rows[["x", "y", "width", "height"]].to_numpy(np.float32)
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
