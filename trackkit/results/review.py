"""The tracks that are least to be trusted, in pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from trackkit.core.arrays import Image
from trackkit.core.errors import ResultsError, VideoError
from trackkit.core.words import plural
from trackkit.results.html import picture_strip
from trackkit.results.pictures import TrackedVideo, close_up, source_frames
from trackkit.results.trust import PARTS


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
                f"<div style='margin-top: .6em'><b>{escape(head)}</b> "
                f"{plural(row['rows'], 'row')}; {numbers}</div>"
                f"{picture_strip(pictures)}"
            )
        return "".join(parts) or "no tracks"


def review(trust: pd.DataFrame, find: Callable[[str], TrackedVideo], n: int = 12) -> Review:
    """The tracks that are least to be trusted, in pictures.

    Args:
        trust: ``results.trust``.
        find: Gives the video of a ``video_path``, as ``results.of``.
        n: So many tracks at most.
    """
    worst = trust.sort_values("trust", kind="stable").head(n).reset_index(drop=True)
    thumbnails: dict[int, tuple[tuple[str, Image], ...]] = {}
    notes = []
    for video, rows in worst.groupby("video_path", observed=True):
        result = find(str(video))
        columns = ["first_frame", "worst_frame", "last_frame"]
        try:
            frames = {f.idx: f for f in source_frames(result, np.unique(rows[columns]).tolist())}
        except (ResultsError, VideoError) as error:
            notes.append(f"no pictures: {error}")
            continue
        for i, row in rows.iterrows():
            wanted = sorted({row[name] for name in columns})
            thumbnails[int(str(i))] = tuple(close_up(result, row["obj_id"], frames[idx]) for idx in wanted)
    return Review(worst, tuple(thumbnails.get(i, ()) for i in range(len(worst))), tuple(notes))
