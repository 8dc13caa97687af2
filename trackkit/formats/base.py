"""What every format writes from, and reads into."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from trackkit.results.video_result import VideoResult


@dataclass(frozen=True, slots=True, eq=False)
class Video:
    """One video of a dataset that is being written.

    Attributes:
        number: Its place in the dataset, from 1.
        name: Unique in the dataset, and safe as the name of a file or folder.
        result: What was found in it.
    """

    number: int
    name: str
    result: VideoResult

    def image(self, frame_idx: int, suffix: str = ".jpg") -> str:
        """``<name>/<frame_idx>.jpg``, with as many digits as sort well and 5 or more."""
        digits = max(5, len(str(self.result.frames[0].max(initial=0))))
        return f"{self.name}/{frame_idx:0{digits}d}{suffix}"


Writer = Callable[[Path, Iterable[Video], tuple[str, ...]], Iterable[str]]
"""Writes videos to a file or folder that is not there yet, given the classes; returns notes for the user.

It gets the videos one after the other and holds no more than one. What the format cannot hold it says in the
notes."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format that results can be written in.

    Attributes:
        write: Its writer.
        about: What it is and what it holds, in one line.
        suffix: Of the file; None where the output is a folder.
        masks_only: Whether boxes alone cannot be written.
    """

    write: Writer
    about: str
    suffix: str | None = None
    masks_only: bool = False
