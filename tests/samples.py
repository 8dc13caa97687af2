"""Small results that several tests share."""

from __future__ import annotations

import numpy as np

from trackkit.config import TrackConfig
from trackkit.core.frames import Frame, TrackedObjects, VideoInfo
from trackkit.core.masks import encode_masks
from trackkit.core.tasks import VideoFailure, VideoTask
from trackkit.results.rows import TrackTable
from trackkit.results.video_result import VideoResult

CONFIG = TrackConfig.from_preset("color", "red. Blue cup.")
HEIGHT, WIDTH = 12, 16


def sample_objects(frame_idx: int, ids: list[int], *, masks: bool = True) -> TrackedObjects:
    """Objects ``ids`` in a frame: a box each, three pixels to the right for every id and frame."""
    n = len(ids)
    shape = np.zeros((n, HEIGHT, WIDTH), np.bool_)
    boxes = np.zeros((n, 4), np.float32)
    for k, obj_id in enumerate(ids):
        x = (3 * obj_id + frame_idx) % (WIDTH - 4)
        shape[k, 2:7, x : x + 4] = True
        shape[k, 2, x] = False
        boxes[k] = x, 2, x + 4, 7
    if not masks:
        boxes += np.float32(0.1)
    return TrackedObjects(
        frame=Frame(np.zeros((HEIGHT, WIDTH, 3), np.uint8), frame_idx, frame_idx / 29.97),
        obj_ids=np.array(ids, np.int32),
        xyxy=boxes,
        scores=np.array([0.1 + obj_id / 7 for obj_id in ids], np.float32),
        labels=tuple(CONFIG.classes[obj_id % 2] for obj_id in ids),
        detected=np.array([obj_id % 2 == 0 for obj_id in ids], np.bool_),
        areas=shape.sum((1, 2)).astype(np.int32) if masks else np.full(n, 20, np.int32),
        rles=tuple(encode_masks(shape)) if masks else None,
        pred_ious=np.array([obj_id / 8 for obj_id in ids], np.float32) if masks else None,
    )


def sample_result(name: str = "a/car.mp4", *, masks: bool = True, empty: bool = False) -> VideoResult:
    """A video of four frames: two objects, none, one, one."""
    table = TrackTable(name, CONFIG.classes)
    for frame_idx, ids in enumerate([[1, 2], [], [2], [3]]):
        if not empty:
            table.add(sample_objects(2 * frame_idx, ids, masks=masks))
    return VideoResult(
        task=VideoTask(name, f"/videos/{name}", None, 1000, 123_456_789),
        info=VideoInfo(WIDTH, HEIGHT, 29.97, 8, 8 / 29.97),
        tracks=table.to_frame(),
        frames=(np.arange(0, 8, 2, dtype=np.int32), np.arange(0, 8, 2) / 29.97),
        process_fps=14.985,
        seconds={
            "load": 1.5,
            "decode": 0.1,
            "detect": 0.2,
            "track": 0.3,
            "encode": 0.0,
            "write": 0.0,
            "total": 0.7,
        },
        peak_rss_mb=321.5,
        worker="0",
        truncated="stops after 8 of 10 frames",
        warnings=("one", "two"),
    )


def sample_failure(name: str = "b/car.mp4") -> VideoFailure:
    """A video that is not there."""
    task = VideoTask(name, f"/videos/{name}")
    return VideoFailure(
        task, "VideoOpenError", "no such file: Ünïcödé \u2028", "Traceback", 1, "1", None, 0.25
    )
