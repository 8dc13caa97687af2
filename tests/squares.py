"""Squares that stand still, as ground truth and as predictions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

import trackkit as tk
from trackkit.config import TrackConfig
from trackkit.core.frames import VideoInfo
from trackkit.core.masks import boxes_of_masks, encode_masks
from trackkit.core.tasks import VideoTask
from trackkit.results.columns import TRACK_DTYPES
from trackkit.results.video_result import VideoResult

HEIGHT, WIDTH = 40, 60
CONFIG = TrackConfig("car. person")
SHARES = ["HOTA", "DetA", "AssA", "IDF1", "MOTA", "precision", "recall"]
MASKS = ["J", "F", "J&F"]

# (frame_idx, obj_id, left, top): a square of 10 pixels; its label is the fifth, else "car".
Square = tuple[int, int, int, int] | tuple[int, int, int, int, str]
STILL: list[Square] = [(t, 1, 5, 5) for t in range(4)] + [(t, 2, 40, 20) for t in range(4)]


def table(squares: Iterable[Square], *, masks: bool = True) -> pd.DataFrame:
    rows = []
    for frame_idx, obj_id, x, y, *label in squares:
        mask = np.zeros((1, HEIGHT, WIDTH), np.bool_)
        mask[:, y : y + 10, x : x + 10] = True
        x1, y1, x2, y2 = boxes_of_masks(mask)[0]
        counts = encode_masks(mask)[0].decode() if masks else None
        place = {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1, "area_px": mask.sum()}
        row = {"frame_idx": frame_idx, "time_s": frame_idx / 10, "obj_id": obj_id, **place}
        rows.append(row | {"label": label[0] if label else "car", "mask_rle": counts})
    columns = [name for name in TRACK_DTYPES if name not in ("video_path", "score", "detected", "pred_iou")]
    return pd.DataFrame(rows, columns=columns)


def info(num_frames: int = 4) -> VideoInfo:
    return VideoInfo(WIDTH, HEIGHT, 10.0, num_frames, num_frames / 10)


def predicted(
    squares: Iterable[Square],
    name: str = "car.mp4",
    *,
    frames: Iterable[int] = range(4),
    num_frames: int = 4,
    masks: bool = True,
) -> VideoResult:
    idx = np.array(list(frames), np.int32)
    tracks = table(squares, masks=masks).assign(video_path=name, score=0.5, detected=True, pred_iou=np.nan)
    return VideoResult(
        task=VideoTask(name, "/videos/" + name),
        info=info(num_frames),
        tracks=tracks.astype(TRACK_DTYPES),
        frames=(idx, idx / 10),
        process_fps=10.0,
        seconds={"total": 1.0},
        peak_rss_mb=1.0,
    )


def results(*videos: VideoResult) -> tk.TrackingResults:
    return tk.TrackingResults(videos, CONFIG)


def mot(path: Path, squares: Iterable[tuple[int, ...]], tail: str = "") -> Path:
    lines = (f"{t + 1},{obj_id},{x},{y},10,10{tail}\n" for t, obj_id, x, y in squares)
    path.write_text("".join(lines))
    return path
