"""MOTChallenge text (Dendorfer et al. 2020, arXiv 2003.09003), written and read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from trackkit.core.errors import ResultsError
from trackkit.formats.base import Video
from trackkit.formats.truth import VideoTruth, truth_table


def write_mot(place: Path, videos: Iterable[Video], classes: tuple[str, ...]) -> Iterable[str]:
    """MOTChallenge text: ``<video>.txt``, a line per box, frames from 1."""
    place.mkdir()
    for video in videos:
        rows = video.result.tracks.assign(frame=video.result.tracks["frame_idx"] + 1, none=-1)
        columns = ["frame", "obj_id", "x", "y", "width", "height", "score", "none", "none", "none"]
        rows = rows.sort_values(["frame", "obj_id"])
        with (place / f"{video.name}.txt").open("x", encoding="utf-8") as file:
            rows[columns].to_csv(file, header=False, index=False)
    if len(classes) > 1:
        return [f"MOTChallenge has no labels: objects of {', '.join(classes)} are not told apart"]
    return ()


def mot_files(path: Path) -> list[tuple[str, Path]]:
    """Name of the video and file of each."""
    if path.is_file():
        is_gt = path.name == "gt.txt" and path.parent.name == "gt"
        return [(path.resolve().parents[1].name if is_gt else path.stem, path)]
    if (path / "gt" / "gt.txt").is_file():
        return [(path.resolve().name, path / "gt" / "gt.txt")]
    nested = [(file.parents[1].name, file) for file in sorted(path.glob("*/gt/gt.txt"))]
    return nested or [(file.stem, file) for file in sorted(path.glob("*.txt"))]


def read_mot(name: str, file: Path) -> VideoTruth:
    """The boxes of one video.

    Raises:
        ResultsError: The file is damaged, or no MOTChallenge file.
    """
    if file.stat().st_size == 0:
        return VideoTruth(name, truth_table([]), names=frozenset([name]))
    try:
        table = pd.read_csv(file, header=None).to_numpy(np.float64)
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        msg = (
            f"{file} is no MOTChallenge file ({error}): expected lines frame,id,x,y,w,h,flag,class,visibility"
        )
        raise ResultsError(msg) from None
    columns = table.shape[1]
    if not 6 <= columns <= 10 or not np.isfinite(table).all() or (table[:, 0] < 1).any():
        msg = (
            f"{file} is no MOTChallenge file: expected 6 to 10 numbers in every line, the first a frame from "
            f"1 up; it has {columns} columns, and frames from {table[:, 0].min():g}"
        )
        raise ResultsError(msg)
    rows = pd.DataFrame(table[:, 1:6], columns=["obj_id", "x", "y", "width", "height"])
    rows["frame_idx"] = table[:, 0] - 1
    rows["ignored"] = table[:, 6] == 0 if columns > 6 else False
    rows["visibility"] = table[:, 8] if columns == 9 else 1.0  # ten columns end in a place in the world
    return VideoTruth(name, truth_table(rows), names=frozenset([name]))
