"""Figures of results. Each draws on an ``ax`` of matplotlib, a new one where none is given, and returns it.

matplotlib comes with the extra ``notebook`` and is imported when a figure is made.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from trackkit.core.clock import STAGES
from trackkit.core.errors import ConfigError, VideoError
from trackkit.core.words import plural
from trackkit.results.trust import by_track
from trackkit.results.video_result import VideoResult
from trackkit.tracking_results import TrackingResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_trajectories(
    results: TrackingResults,
    video: str | os.PathLike[str],
    *,
    ax: Axes | None = None,
    background: bool = True,
) -> Axes:
    """The way of every object's centre through the picture, in source pixels, y down.

    A line is broken where the object was out of sight; a dot marks its end. Colours are those of the
    annotated frames.

    Args:
        results: Of a run.
        video: As for :meth:`TrackingResults.of`.
        ax: Where to draw; None makes a figure.
        background: Draw over the first processed frame, pale, which needs the source video.

    Raises:
        ConfigError: matplotlib is not installed.
        ResultsError: The video is not in the results.
        VideoOpenError: The source video is not there any more.
    """
    from trackkit.video.draw import color_of

    result = results.of(video)
    ax = _axes(ax)
    if background:
        ax.imshow(_first_frame(result), alpha=0.4, extent=(0, result.info.width, result.info.height, 0))
    tracks, _ = by_track(result, results.config)
    tracks = tracks.assign(x=tracks["x"] + tracks["width"] / 2, y=tracks["y"] + tracks["height"] / 2)
    for _, rows in tracks.groupby("obj_id"):
        color, last = color_of(rows["obj_id"].iloc[0]), rows.iloc[-1]
        for _, span in rows.groupby("span"):
            ax.plot(span["x"], span["y"], color=color, linewidth=2, solid_capstyle="round")
        ax.plot(last["x"], last["y"], "o", color=color, label=_name(rows))
    ax.set(xlim=(0, result.info.width), ylim=(result.info.height, 0), xlabel="x [px]", ylabel="y [px]")
    ax.set(title=Path(result.task.video_path).name, aspect="equal")
    _legend(ax)
    return ax


def plot_timeline(results: TrackingResults, video: str | os.PathLike[str], *, ax: Axes | None = None) -> Axes:
    """When every object was seen: a bar while in sight, a thin line while lost, a triangle where it is back.

    Black ticks are frames in which the detector found it.

    Args:
        results: Of a run.
        video: As for :meth:`TrackingResults.of`.
        ax: Where to draw; None makes a figure.

    Raises:
        ConfigError: matplotlib is not installed.
        ResultsError: The video is not in the results.
    """
    from trackkit.video.draw import color_of

    result = results.of(video)
    tracks, _ = by_track(result, results.config)
    tables = [rows for _, rows in tracks.groupby("obj_id")]
    ax = _axes(ax, height=1 + 0.3 * len(tables))
    for place, rows in enumerate(tables):
        color, times = color_of(rows["obj_id"].iloc[0]), rows["time_s"]
        ax.hlines(place, times.iloc[0], times.iloc[-1], color=color, linewidth=1, linestyle="dotted")
        spans = rows.groupby("span")["time_s"].agg(["first", "last"])
        lasted = spans["last"] - spans["first"] + 1 / result.process_fps
        ax.barh(place, lasted, left=spans["first"], height=0.6, color=color)
        back = spans["first"].iloc[1:]
        ax.plot(back, np.full(len(back), place), "k>", markersize=5)
        found = times[rows["detected"]]
        ax.plot(found, np.full(len(found), place + 0.3), "|", color="black", markersize=4)
    ax.set_yticks(range(len(tables)), labels=[_name(rows) for rows in tables])
    ax.set(xlabel="time [s]", title=Path(result.task.video_path).name)
    ax.invert_yaxis()
    return ax


def plot_stages(results: TrackingResults, *, ax: Axes | None = None) -> Axes:
    """Where the time went: the seconds of each stage, added up over the videos of each worker.

    ``other`` is what no stage counts. ``load`` is left out: models load once, for all videos.

    Args:
        results: Of a run.
        ax: Where to draw; None makes a figure.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    stages = [f"seconds_{stage}" for stage in STAGES]
    done = results.videos.dropna(subset=stages)
    seconds = done.groupby("worker")[[*stages, "seconds_total"]].sum().astype("float64")
    seconds["other"] = (seconds["seconds_total"] - seconds[stages].sum(axis=1)).clip(lower=0)
    ax = _axes(ax, height=1.2 + 0.4 * len(seconds))
    left = pd.Series(0.0, index=seconds.index)
    for name in [*stages, "other"]:
        label = name.removeprefix("seconds_")
        ax.barh([f"worker {worker}" for worker in seconds.index], seconds[name], left=left, label=label)
        left += seconds[name]
    ax.set(xlabel="time [s]", title=plural(len(done), "video"))
    ax.invert_yaxis()
    _legend(ax)
    return ax


def _axes(ax: Axes | None, height: float | None = None) -> Axes:
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "matplotlib":
            raise
        msg = "figures need matplotlib, which is not installed: pip install 'trackkit[notebook]'"
        raise ConfigError(msg) from error
    size = None if height is None else (8.0, min(height, 20.0))
    axes: Axes = plt.figure(figsize=size, layout="constrained").subplots()
    return axes


def _name(rows: pd.DataFrame) -> str:
    return f"{rows['label'].iloc[0]} #{rows['obj_id'].iloc[0]}"


def _legend(ax: Axes) -> None:
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize="small", frameon=False)


def _first_frame(result: VideoResult) -> Any:
    from trackkit.results.pictures import source_frames

    try:
        return next(source_frames(result, result.frames[0][:1].tolist())).image
    except VideoError as error:
        error.add_note("background=False draws without the video")
        raise
