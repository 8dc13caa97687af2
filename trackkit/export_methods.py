"""What ``TrackingResults`` can be written as, or handed over as; see :mod:`trackkit.export`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

import numpy as np

from trackkit.geometry import decode_rle
from trackkit.structures import VideoResult
from trackkit.tables import boxes_of_rows

if TYPE_CHECKING:  # they stand on the results that have these methods
    import supervision as sv

    from trackkit.export import Exported
    from trackkit.results import TrackingResults

_Path = str | os.PathLike[str]


class ExportMethods:
    """The ``to_*`` methods of results. What holds for all of them is said in :mod:`trackkit.export`."""

    def to_csv(self, path: _Path, *, with_frames: bool = False) -> Exported:
        """Write the rows of ``tracks`` as text."""
        return self._export(path, "csv", with_frames)

    def to_parquet(self, path: _Path, *, with_frames: bool = False) -> Exported:
        """Write the rows of ``tracks`` with their types: ``pandas.read_parquet`` gives the table back."""
        return self._export(path, "parquet", with_frames)

    def to_coco(self, path: _Path, *, with_frames: bool = False) -> Exported:
        """Write COCO JSON: an image per processed frame, RLE masks; ``track_id`` is unique over videos."""
        return self._export(path, "coco", with_frames)

    def to_youtube_vis(self, path: _Path, *, with_frames: bool = False) -> Exported:
        """Write YouTube-VIS JSON: an annotation per object, with a mask or null per processed frame.

        Raises:
            ConfigError: There are boxes without masks.
        """
        return self._export(path, "youtube-vis", with_frames)

    def to_mot(self, path: _Path, *, with_frames: bool = False) -> Exported:
        """Write MOTChallenge results, ``<video>.txt``: ``frame,id,x,y,w,h,score,-1,-1,-1``, frames from 1."""
        return self._export(path, "mot", with_frames)

    def to_cvat(self, path: _Path, *, with_frames: bool = False) -> Exported:
        """Write CVAT for video 1.1, ``<video>.xml``: a track of boxes per object, to be corrected there."""
        return self._export(path, "cvat", with_frames)

    def to_davis(self, path: _Path, *, with_frames: bool = False) -> Exported:
        """Write DAVIS masks, ``<video>/<frame_idx>.png``: the pixel value is the object's id, 0 none.

        Where objects overlap, the smaller one (of two as large, that with the higher id) has the pixels,
        as in annotated videos.

        Raises:
            ConfigError: There are boxes without masks, or more than 254 objects in a video.
        """
        return self._export(path, "davis", with_frames)

    def to_supervision(self, video_path: _Path | None = None) -> Iterator[tuple[int, sv.Detections]]:
        """The objects of one video as ``supervision.Detections``, frame by frame.

        Args:
            video_path: As in :meth:`TrackingResults.of`; may be left out where only one was tracked.

        Returns:
            ``(frame_idx, detections)`` of every processed frame, those without objects included.
            ``class_id`` counts the classes of the prompt from 0, ``data["class_name"]`` has the labels,
            ``tracker_id`` is ``obj_id``, ``mask`` is ``bool (N, H, W)``, or None where there are boxes only.

        Raises:
            ResultsError: The results do not hold that video, it failed, or none of several is named.
        """
        results = cast("TrackingResults", self)
        return _detections(results.of(video_path), results.config.classes)

    def _export(self, path: _Path, format: str, with_frames: bool) -> Exported:
        from trackkit.export import export_results

        return export_results(cast("TrackingResults", self), path, format, with_frames=with_frames)


def _detections(result: VideoResult, classes: tuple[str, ...]) -> Iterator[tuple[int, sv.Detections]]:
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
