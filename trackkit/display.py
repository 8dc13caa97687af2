"""What a notebook shows of results: frames, clips, sheets and summaries.

Pictures are drawn on demand, from the results and the source videos. Whatever comes from a path, a prompt or
an error is escaped before it becomes HTML.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from PIL import Image as PillowImage

from trackkit import render
from trackkit.errors import ResultsError, VideoError
from trackkit.results import TrackingResults, objects_in
from trackkit.structures import Frame, Image, VideoResult
from trackkit.trust import PARTS
from trackkit.video import read_frames
from trackkit.video_writer import VideoWriter

STRIP_FRAMES = 5
THUMBNAIL = 170  # pixels wide
_SHOWN = 10  # rows of a table in a summary


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


def annotated_frames(result: VideoResult, indices: Iterable[int]) -> Iterator[Frame]:
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
        yield replace(frame, image=render.draw(objects_in(of_frame.get(frame.idx, rows[:0]), frame)))


def source_frames(result: VideoResult, indices: Iterable[int]) -> Iterator[Frame]:
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
        small = render.fit(first.image, min(width, result.info.width))
        size = {"width": small.shape[1], "height": small.shape[0]}
        with VideoWriter(path, **size, fps=result.process_fps) as writer:
            writer.write(small, 0.0)
            for frame in frames:
                writer.write(render.fit(frame.image, size["width"]), frame.time_s - first.time_s)
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
        (_headline(result), [frame.image for frame in annotated_frames(result, spread(result, columns))])
        for result in sorted(tracked, key=lambda result: result.task.video_path)
    ]
    return PillowImage.fromarray(render.contact_sheet(rows, width=width))


def spread(result: VideoResult, count: int) -> list[int]:
    """Indices of ``count`` processed frames, evenly spread, without the ends; fewer in a short video."""
    idx = result.frames[0]
    return sorted(set(idx[np.linspace(0, len(idx) - 1, count + 2).round().astype(int)[1:-1]].tolist()))


def _headline(result: VideoResult) -> str:
    objects, frames = result.tracks["obj_id"].nunique(), len(result.frames[0])
    return f"{Path(result.task.video_path).name}: {objects} objects in {frames} frames"


# ---- HTML ----


def video_html(result: VideoResult) -> str:
    """One video: a strip of annotated frames, and what the user should know of it."""
    lines = [f"<b>{escape(_headline(result))}</b>"]
    try:
        frames = list(annotated_frames(result, spread(result, STRIP_FRAMES)))
    except (ResultsError, VideoError) as error:
        lines.append(f"no pictures: {escape(str(error))}")
    else:
        lines.append(
            _strip((f"{frame.time_s:.2f} s", render.fit(frame.image, THUMBNAIL)) for frame in frames)
        )
    if result.truncated:
        lines.append(f"truncated: {escape(result.truncated)}")
    lines += [f"warning: {escape(warning)}" for warning in result.warnings]
    return "".join(f"<div>{line}</div>" for line in lines)


def results_html(results: TrackingResults) -> str:
    """A run: how many, how fast, what failed and why, and the tracks that are least to be trusted."""
    failures, trust = results.failures, results.trust
    videos = results.videos[results.videos["status"] != "failed"]
    seconds, frames = videos["seconds_total"].sum(), videos["frames"].sum()
    prompt, label = escape(results.config.text_prompt), escape(repr(results))
    lines = [f"<b>{label}</b>", f"prompt <i>{prompt}</i>"]
    if seconds and frames:
        lines.append(
            f"{frames / seconds:.1f} frames/s a worker, {seconds:.0f} s of work on "
            f"{videos['worker'].nunique()} workers, {frames / len(videos):.0f} frames a video"
        )
    if warned := int(videos["warnings"].notna().sum()):
        lines.append(f"{warned} videos with warnings: <code>results.videos.warnings</code>")
    parts = ["".join(f"<div>{line}</div>" for line in lines)]
    if len(failures):
        columns = ["video_path", "error_type", "message", "attempts"]
        parts.append(_table("Failures", failures[columns], "results.failures"))
    if len(trust):
        worst = trust.sort_values("trust", kind="stable")
        columns = ["video_path", "obj_id", "label", "rows", "trust", *PARTS]
        parts.append(_table("Least trusted tracks", worst[columns], "results.review()", shown=5))
    return "".join(parts)


def _table(title: str, table: pd.DataFrame, whole: str, shown: int = _SHOWN) -> str:
    more = f" ({shown} of {len(table)}, all: <code>{whole}</code>)" if len(table) > shown else ""
    with pd.option_context("display.max_colwidth", None):
        rows = table.head(shown).to_html(index=False, border=0, na_rep="", float_format="{:.2f}".format)
    return f"<div style='margin-top: .6em'><b>{title}</b>{more}</div>{rows}"


def _strip(pictures: Iterable[tuple[str, Image]]) -> str:
    """Small images side by side, with captions."""
    cells = [
        f"<figure style='margin: 0'><img src='{data_url(image)}'>"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, image in pictures
    ]
    return f"<div style='display: flex; flex-wrap: wrap; gap: 4px'>{''.join(cells)}</div>"


def data_url(image: Image) -> str:
    """The image as a JPEG in the text of a page."""
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


# ---- review ----


@dataclass(frozen=True, eq=False)
class Review:
    """The tracks of a run that are least to be trusted, the worst first; a notebook shows them in pictures.

    Attributes:
        tracks: Rows of ``results.trust``, in ascending order of trust.
        thumbnails: For each of them ``(caption, image)``: around the object in its first, its worst and its
            last frame, RGB ``uint8 (H, W, 3)``; empty where the video cannot be read.
        notes: What could not be shown, and why.
    """

    tracks: pd.DataFrame
    thumbnails: tuple[tuple[tuple[str, Image], ...], ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.tracks)

    def _repr_html_(self) -> str:
        parts = [f"<div>{escape(note)}</div>" for note in self.notes]
        for row, pictures in zip(self.tracks.to_dict("records"), self.thumbnails, strict=True):
            numbers = ", ".join(f"{name} {row[name]:.2f}" for name in PARTS if not pd.isna(row[name]))
            head = f"{row['trust']:.2f} {row['label']} #{row['obj_id']} of {row['video_path']}"
            parts.append(
                f"<div style='margin-top: .6em'><b>{escape(head)}</b> {row['rows']} rows; {numbers}</div>"
                f"{_strip(pictures)}"
            )
        return "".join(parts) or "no tracks"


def review(results: TrackingResults, n: int = 12) -> Review:
    """See :meth:`TrackingResults.review`."""
    worst = results.trust.sort_values("trust", kind="stable").head(n).reset_index(drop=True)
    thumbnails: dict[int, tuple[tuple[str, Image], ...]] = {}
    notes = []
    for video, rows in worst.groupby("video_path", observed=True):
        result = results.of(str(video))
        columns = ["first_frame", "worst_frame", "last_frame"]
        try:
            frames = {f.idx: f for f in source_frames(result, np.unique(rows[columns]).tolist())}
        except (ResultsError, VideoError) as error:
            notes.append(f"no pictures: {error}")
            continue
        for i, row in rows.iterrows():
            wanted = sorted({row[name] for name in columns})
            thumbnails[int(str(i))] = tuple(_close_up(result, row["obj_id"], frames[idx]) for idx in wanted)
    return Review(worst, tuple(thumbnails.get(i, ()) for i in range(len(worst))), tuple(notes))


def _close_up(result: VideoResult, obj_id: int, frame: Frame) -> tuple[str, Image]:
    """The object, it alone drawn in, and what is around it; with a caption."""
    tracks = result.tracks
    rows = tracks[(tracks["obj_id"] == obj_id) & (tracks["frame_idx"] == frame.idx)]
    drawn, row = render.draw(objects_in(rows, frame)), rows.iloc[0]
    height, width = drawn.shape[:2]
    side = int(min(max(2 * row["width"], 2 * row["height"], width / 4), width, height))
    left = int(np.clip(row["x"] + row["width"] / 2 - side / 2, 0, width - side))
    top = int(np.clip(row["y"] + row["height"] / 2 - side / 2, 0, height - side))
    image = render.fit(drawn[top : top + side, left : left + side], THUMBNAIL)
    return f"frame {frame.idx}, {frame.time_s:.2f} s", image
