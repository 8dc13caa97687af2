"""Results as ``supervision.Detections``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from trackkit.core.masks import decode_rle
from trackkit.results.columns import boxes_of_rows
from trackkit.results.video_result import VideoResult

if TYPE_CHECKING:
    import supervision as sv


def to_detections(result: VideoResult, classes: tuple[str, ...]) -> Iterator[tuple[int, sv.Detections]]:
    """See :meth:`trackkit.TrackingResults.to_supervision`."""
    import supervision as sv

    tracks, size = result.tracks, (result.info.height, result.info.width)
    masks_there = not tracks["mask_rle"].isna().any()
    of_frame = tracks.groupby("frame_idx").indices
    for idx in result.frames[0].tolist():
        rows = tracks.iloc[of_frame.get(idx, [])]
        masks = [decode_rle(counts, *size) for counts in rows["mask_rle"]] if masks_there else None
        labels = rows["label"].tolist()
        yield (
            idx,
            sv.Detections(
                xyxy=boxes_of_rows(rows),
                mask=None if masks is None else np.array(masks, np.bool_).reshape(-1, *size),
                confidence=rows["score"].to_numpy(),
                class_id=np.array([classes.index(label) for label in labels], int),
                tracker_id=rows["obj_id"].to_numpy(int),
                data={"class_name": np.array(labels, str)},
            ),
        )
