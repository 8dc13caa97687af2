"""MOTChallenge text (Dendorfer et al. 2020, arXiv 2003.09003), written and read."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from trackkit.core.errors import ResultsError
from trackkit.core.whole_numbers import INT64_MAX, whole_numbers
from trackkit.core.words import plural
from trackkit.formats.base import Video
from trackkit.formats.truth import VideoTruth, truth_table


def write_mot(place: Path, videos: Iterable[Video], classes: tuple[str, ...]) -> Iterable[str]:
    """MOTChallenge text: ``<video>.txt``, a line per box, frames from 1."""
    place.mkdir()
    for video in videos:
        frames = video.result.tracks["frame_idx"].astype("int64")
        rows = video.result.tracks.assign(frame=frames + 1, none=-1)
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
        # Frames and ids as text: a number with 17 digits is another one as a float.
        table = pd.read_csv(file, header=None, dtype={0: "str", 1: "str"})
        columns = table.shape[1]
        if not 6 <= columns <= 10:
            msg = f"it has {plural(columns, 'column')}"
            raise ValueError(msg)
        numbers = table.iloc[:, 2:].to_numpy(np.float64)
        if not np.isfinite(numbers).all():
            msg = "a number is missing, or infinite"
            raise ValueError(msg)
        rows = pd.DataFrame(numbers[:, :4], columns=["x", "y", "width", "height"])
        rows["frame_idx"] = _named(table[0], "a frame", 1, 2**31) - 1
        rows["obj_id"] = _named(table[1], "an id")
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        msg = (
            f"{file} is no MOTChallenge file ({error}): expected 6 to 10 numbers in every line, "
            "frame,id,x,y,w,h,flag,class,visibility, with frames from 1 up"
        )
        raise ResultsError(msg) from None
    rows["ignored"] = numbers[:, 4] == 0 if columns > 6 else False
    rows["visibility"] = numbers[:, 6] if columns == 9 else 1.0  # ten columns end in a place in the world
    return VideoTruth(name, truth_table(rows), names=frozenset([name]))


def _named(
    texts: pd.Series[str], what: str, low: int = -INT64_MAX - 1, high: int = INT64_MAX
) -> npt.NDArray[np.int64]:
    """The whole numbers that texts such as ``7``, ``7.0`` and ``7e0`` stand for."""
    places, different = pd.factorize(texts, use_na_sentinel=False)
    return whole_numbers([_decimal(text) for text in different], what, low, high)[places]


def _decimal(text: object) -> object:
    """The number in all its digits; the text itself where it is none, or is one in Python alone (``1_1``)."""
    try:
        return text if "_" in str(text) else Decimal(str(text))
    except InvalidOperation:
        return text
