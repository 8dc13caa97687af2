"""What a video reader reads from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from trackkit.core.arrays import Image
from trackkit.core.frames import VideoInfo

MAX_SIDE = 16384  # pixels; a header that states more is damaged, or meant to exhaust memory
DEFAULT_FPS = 30.0  # where the container states no rate


class VideoSource(Protocol):
    """Frames in order. All fields are final when :meth:`pictures` has ended."""

    info: VideoInfo
    truncated: str | None
    is_folder: bool

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know."""

    def pictures(self) -> Iterator[tuple[float, Callable[[], Image]]]:
        """For every frame its time in seconds and a function that gives its RGB image."""

    def times(self) -> Iterator[float]:
        """The time of every frame, as far as that can be told without decoding."""

    def close(self) -> None:
        """Let go of the files."""
