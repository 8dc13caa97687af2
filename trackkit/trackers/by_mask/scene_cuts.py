"""Finds the frames where another scene begins, from small copies of the frames.

A cut changes nearly all of the picture, its colours and its layout. Each alone has harmless causes: an object
that moves changes a part of the picture; a moving camera changes its layout and keeps most of its colours; a
lamp or a flash changes the colours and keeps the layout. Only all three together are a cut. That is stricter
than one threshold on the mean difference in HSV (PySceneDetect's ``ContentDetector``), which also fires on
flashes and fast motion. What leads over gradually, such as a fade, is no cut.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from trackkit.core.arrays import Image

T = TypeVar("T")
Small = npt.NDArray[np.float32]

#: Frames that a disturbance may last, such as a flash, before it is a cut.
FLASH_FRAMES = 2

_SIDE = 64
_BLOCKS = 8
# On four real clips and one of DAVIS frames a second apart stay within 75% changed blocks; cuts between them
# change 92% to 100%, the colours by 21 to 92 grey levels, and correlate by at most 0.6.
_BLOCK_CHANGE = 12.0  # grey levels by which a block has changed,
_CHANGED_BLOCKS = 0.8  # and the share of blocks that have
_COLOR_CHANGE = 12.0  # grey levels
_SAME_LAYOUT = 0.8  # correlation


class SceneCuts(Generic[T]):
    """Passes items on, each with whether a new scene begins there; holds them back while that is open.

    After a sudden change it waits for ``lookahead`` more frames: if one of them is like the last one before
    the change, it was a disturbance and no cut.

    Args:
        lookahead: Most items that are held back; with 0 every sudden change is a cut at once.
    """

    def __init__(self, lookahead: int = FLASH_FRAMES) -> None:
        self._lookahead = lookahead
        self._last: Small | None = None  # of the last frame that was passed on
        self._open: list[tuple[T, Small]] = []  # frames unlike it

    def __len__(self) -> int:
        """Items that are held back."""
        return len(self._open)

    def push(self, item: T, image: Image) -> list[tuple[T, bool]]:
        """Take the next frame; gives what is decided now, in order."""
        return self._push(item, shrink(image))

    def flush(self) -> list[tuple[T, bool]]:
        """No frame follows: a sudden change that was not undone is a cut."""
        decided: list[tuple[T, bool]] = []
        while self._open:
            decided += self._cut()
        return decided

    def _push(self, item: T, small: Small) -> list[tuple[T, bool]]:
        if self._last is None or not is_cut(self._last, small):
            decided = [(held, False) for held, _ in self._open] + [(item, False)]
            self._open, self._last = [], small
            return decided
        self._open.append((item, small))
        return self._cut() if len(self._open) > self._lookahead else []

    def _cut(self) -> list[tuple[T, bool]]:
        """The first of the open frames begins a scene; look at the others from there."""
        (item, self._last), *others = self._open
        self._open = []
        return [(item, True), *(each for other in others for each in self._push(*other))]


def shrink(image: Image) -> Small:
    """What is compared: ``float32 (64, 64, 3)``."""
    step = max(min(image.shape[:2]) // (4 * _SIDE), 1)  # four samples a pixel and axis are plenty
    small = cv2.resize(image[::step, ::step], (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def is_cut(before: Small, after: Small) -> bool:
    """Whether two frames, as :func:`shrink` gives them, are of different scenes."""
    return (
        _changed_blocks(before, after) >= _CHANGED_BLOCKS
        and _color_change(before, after) >= _COLOR_CHANGE
        and _layout_correlation(before, after) < _SAME_LAYOUT
    )


def _changed_blocks(before: Small, after: Small) -> float:
    """Share of the blocks whose mean colour is another."""
    size = (_BLOCKS, _BLOCKS)
    blocks = [cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (before, after)]
    return float((np.abs(blocks[0] - blocks[1]).max(axis=2) > _BLOCK_CHANGE).mean())


def _color_change(before: Small, after: Small) -> float:
    """Mean distance of the colour distributions in grey levels (earth mover's, channel by channel)."""
    levels = [np.sort(x.reshape(-1, 3), axis=0) for x in (before, after)]
    return float(np.abs(levels[0] - levels[1]).mean())


def _layout_correlation(before: Small, after: Small) -> float:
    """Pearson correlation of the brightness: blind to exposure; 0 where a frame is of one shade."""
    bright = [cv2.blur(x.mean(axis=2), (3, 3)) for x in (before, after)]
    a, b = (x - x.mean() for x in bright)
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 1e-3 else 0.0
