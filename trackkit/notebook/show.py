"""Frames, clips and contact sheets for a notebook, drawn from results and source videos."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image as PillowImage

from trackkit.core.errors import ResultsError
from trackkit.results.pictures import annotated_frames, headline, spread
from trackkit.results.video_result import VideoResult
from trackkit.tracking_results import TrackingResults
from trackkit.video.draw import compose_sheet, fit
from trackkit.video.writer import VideoWriter


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A video that a notebook plays; it is part of the page, and so of a saved notebook.

    Attributes:
        mp4: The file: H.264 in MP4.
        title: What it shows.
    """

    mp4: bytes
    title: str

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file."""
        Path(path).write_bytes(self.mp4)

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.mp4).decode()
        source = f"<source type='video/mp4' src='data:video/mp4;base64,{data}'>"
        player = f"<video controls loop muted playsinline style='max-width: 100%'>{source}</video>"
        return f"<div>{escape(self.title)}</div>{player}"


def show_frame(results: TrackingResults, video: str | os.PathLike[str], frame_idx: int) -> PillowImage.Image:
    """One frame with its objects drawn in, in its full size; a notebook shows it, ``.save(path)`` keeps it.

    Args:
        results: Of a run.
        video: As for :meth:`TrackingResults.of`.
        frame_idx: A processed frame, 0-based in the source video.

    Raises:
        ResultsError: The video is not in the results, or the frame was not processed.
        VideoOpenError: The source video is not there any more.
    """
    (frame,) = annotated_frames(results.of(video), [frame_idx])
    return PillowImage.fromarray(frame.image)


def show_video(
    results: TrackingResults,
    video: str | os.PathLike[str],
    start_s: float = 0.0,
    end_s: float | None = None,
    *,
    width: int = 640,
) -> Clip:
    """A player of an annotated span of a video, made on the spot; no annotated file is needed.

    Args:
        results: Of a run.
        video: As for :meth:`TrackingResults.of`.
        start_s: Presentation time of the first frame, seconds.
        end_s: The first time that is left out; None goes to the end.
        width: Pixels of the clip; a video that is less wide keeps its size.

    Raises:
        ResultsError: The video is not in the results, or no processed frame is in that span.
        VideoOpenError: The source video is not there any more.
    """
    result = results.of(video)
    idx, time_s = result.frames
    chosen = idx[(time_s >= start_s) & (time_s < (np.inf if end_s is None else end_s))]
    if not len(chosen):
        span = f"from {time_s[0]:.2f} to {time_s[-1]:.2f} s" if len(time_s) else "at no time"
        msg = f"{result.task.video_path} has no processed frame from {start_s} s to {end_s} s; it has {span}"
        raise ResultsError(msg)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        frames = annotated_frames(result, chosen.tolist())
        first = next(frames)
        small = fit(first.image, min(width, result.info.width))
        size = {"width": small.shape[1], "height": small.shape[0]}
        with VideoWriter(path, **size, fps=result.process_fps) as writer:
            writer.write(small, 0.0)
            for frame in frames:
                writer.write(fit(frame.image, size["width"]), frame.time_s - first.time_s)
        title = f"{result.task.video_path}, {first.time_s:.2f} to {time_s[idx == chosen[-1]][0]:.2f} s"
        return Clip(path.read_bytes(), title)


def contact_sheet(results: TrackingResults, *, columns: int = 4, width: int = 1600) -> PillowImage.Image:
    """Annotated frames of every video that was tracked, a row each, evenly spread over its length.

    Args:
        results: Of a run.
        columns: Frames of each video.
        width: Pixels of the sheet.

    Raises:
        VideoOpenError: A source video is not there any more.
    """
    tracked = [outcome for outcome in results.outcomes if isinstance(outcome, VideoResult)]
    rows = [
        (headline(result), [frame.image for frame in annotated_frames(result, spread(result, columns))])
        for result in sorted(tracked, key=lambda result: result.task.video_path)
    ]
    return PillowImage.fromarray(compose_sheet(rows, width=width))
