"""Frames of a tracked video with its objects drawn in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from trackkit.core.arrays import Image
from trackkit.core.errors import ResultsError
from trackkit.core.frames import Frame, VideoInfo
from trackkit.core.tasks import VideoTask
from trackkit.core.words import plural
from trackkit.results.rows import objects_in
from trackkit.video.draw import draw, fit
from trackkit.video.reader import read_frames

THUMBNAIL = 170  # pixels wide


class TrackedVideo(Protocol):
    """What pictures need of a :class:`trackkit.VideoResult`, which stands above them; see there."""

    @property
    def task(self) -> VideoTask:
        """What was asked for."""

    @property
    def info(self) -> VideoInfo:
        """Size, rate and length."""

    @property
    def tracks(self) -> pd.DataFrame:
        """Rows with the columns of ``TRACK_DTYPES``."""

    @property
    def frames(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
        """``(idx, time_s)`` of every processed frame."""

    @property
    def truncated(self) -> str | None:
        """Why reading broke off before the end."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know."""


def annotated_frames(result: TrackedVideo, indices: Iterable[int]) -> Iterator[Frame]:
    """Frames of the source video with the objects drawn in, in order.

    Args:
        result: A video.
        indices: Processed frames, 0-based in the source video.

    Raises:
        ResultsError: A frame was not processed, or the file is not the one that was tracked.
        VideoOpenError: The source video is not there any more.
    """
    wanted = sorted(set(map(int, indices)))
    processed = result.frames[0]
    if unknown := sorted(set(wanted).difference(processed.tolist())):
        near = processed[np.argsort(np.abs(processed - unknown[0]), kind="stable")[:2]].tolist()
        msg = (
            f"{result.task.video_path}: frame {unknown[0]} was not processed, so nothing is known of it; "
            f"nearest are {' and '.join(map(str, sorted(near))) or 'none'}"
        )
        raise ResultsError(msg)
    rows = result.tracks[result.tracks["frame_idx"].isin(wanted)]
    of_frame = dict(iter(rows.groupby("frame_idx")))
    for frame in source_frames(result, wanted):
        yield replace(frame, image=draw(objects_in(of_frame.get(frame.idx, rows[:0]), frame)))


def source_frames(result: TrackedVideo, indices: Iterable[int]) -> Iterator[Frame]:
    """Frames of the source video: of the file that was opened or, where it is gone, of the path as written.

    Raises:
        ResultsError: The file is not the one that was tracked.
        VideoOpenError: It is not there any more.
    """
    task, size = result.task, (result.info.height, result.info.width)
    moved = not Path(task.source).exists() and Path(task.video_path).exists()
    for frame in read_frames(task.video_path if moved else task.source, set(indices)):
        if frame.image.shape[:2] != size:
            msg = (
                f"{task.source} has frames of (height, width) {frame.image.shape[:2]}, the results are "
                f"of {size}: it is not the file that was tracked"
            )
            raise ResultsError(msg)
        yield frame


def spread(result: TrackedVideo, count: int) -> list[int]:
    """Indices of ``count`` processed frames, evenly spread, without the ends; fewer in a short video."""
    idx = result.frames[0]
    return sorted(set(idx[np.linspace(0, len(idx) - 1, count + 2).round().astype(int)[1:-1]].tolist()))


def headline(result: TrackedVideo) -> str:
    """One line about a video."""
    objects, frames = (
        plural(result.tracks["obj_id"].nunique(), "object"),
        plural(len(result.frames[0]), "frame"),
    )
    return f"{Path(result.task.video_path).name}: {objects} in {frames}"


def close_up(result: TrackedVideo, obj_id: int, frame: Frame) -> tuple[str, Image]:
    """The object, it alone drawn in, and what is around it; with a caption."""
    tracks = result.tracks
    rows = tracks[(tracks["obj_id"] == obj_id) & (tracks["frame_idx"] == frame.idx)]
    drawn, row = draw(objects_in(rows, frame)), rows.iloc[0]
    height, width = drawn.shape[:2]
    side = int(min(max(2 * row["width"], 2 * row["height"], width / 4), width, height))
    left = int(np.clip(row["x"] + row["width"] / 2 - side / 2, 0, width - side))
    top = int(np.clip(row["y"] + row["height"] / 2 - side / 2, 0, height - side))
    image = fit(drawn[top : top + side, left : left + side], THUMBNAIL)
    return f"frame {frame.idx}, {frame.time_s:.2f} s", image
