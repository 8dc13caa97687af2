"""Results that are written in every format, and what is in them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from pycocotools import mask as coco
from samples import CONFIG, HEIGHT, WIDTH, sample_failure, sample_objects, sample_result

import trackkit as tk
from trackkit.core.masks import decode_rle
from trackkit.core.tasks import VideoTask
from trackkit.results.rows import TrackTable
from trackkit.results.video_result import VideoResult

BOX = ["x", "y", "width", "height"]


def video(source: str, frames: dict[int, list[int]], *, masks: bool = True) -> VideoResult:
    """A video of which every second frame was processed; an odd and an even id may overlap."""
    table = TrackTable(source[1:], CONFIG.classes)
    for frame_idx, ids in frames.items():
        table.add(sample_objects(frame_idx, ids, masks=masks))
    idx = np.array(list(frames), np.int32)
    task = VideoTask(source[1:], source)
    return replace(
        sample_result(), task=task, tracks=table.to_frame(), frames=(idx, idx / 29.97), truncated=None
    )


def tracked(*, masks: bool = True) -> tk.TrackingResults:
    """Two videos of one name, one with nothing in it, one whose name needs care, one that failed."""
    outcomes = [
        video("/a/car.mp4", {0: [1, 3], 2: [], 4: [3], 6: [1, 3]}, masks=masks),
        video("/b/car.mp4", {0: [], 2: [2], 4: [2], 6: []}, masks=masks),
        video("/c/none.mp4", {0: [], 2: [], 4: [], 6: []}, masks=masks),
        video("/d/my clip.mp4", {0: [2], 2: [2, 4], 4: [], 6: [2, 4]}, masks=masks),
        sample_failure("/e/gone.mp4"),
    ]
    return tk.TrackingResults(outcomes, CONFIG)


def names(exported: tk.Exported) -> dict[str, str]:
    """The name in the dataset of every video path."""
    table = pd.read_csv(exported.list_path, keep_default_na=False)
    return dict(zip(table["video_path"], table["name"], strict=True))


def by_path(results: tk.TrackingResults) -> dict[str, VideoResult]:
    return {o.task.video_path: o for o in results.outcomes if isinstance(o, VideoResult)}


def same_masks(found: list[Any], rows: pd.DataFrame) -> bool:
    masks = [coco.decode(each).astype(bool) for each in found]
    wanted = [decode_rle(rle, HEIGHT, WIDTH) for rle in rows["mask_rle"]]
    return len(masks) == len(wanted) and all(map(np.array_equal, masks, wanted))
