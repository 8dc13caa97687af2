"""Finds regions of a named colour: no weights, no GPU, a few milliseconds a frame.

The prompt names colours: ``"red. yellow object."``. A region is a connected set of pixels of that colour, so
two red things that touch are one region, and a red thing cut in two by a finger is two.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Self, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from trackkit.core.arrays import Image
from trackkit.core.colors import NAMED_COLORS
from trackkit.core.errors import PromptError
from trackkit.core.frames import Detections

Bytes: TypeAlias = npt.NDArray[np.uint8]

NEUTRAL_WORDS = frozenset({"object", "thing", "region", "area", "blob", "a", "an", "the", "any"})


@dataclass(frozen=True, slots=True)
class HsvWindow:
    """The pixels that count as one colour, in OpenCV's HSV: hue 0..179 (half degrees), the others 0..255.

    Attributes:
        hue: First and last hue; the first is above the last where the window goes through 0.
        saturation: Lowest and highest.
        value: Lowest and highest.
    """

    hue: tuple[int, int] = (0, 179)
    saturation: tuple[int, int] = (0, 255)
    value: tuple[int, int] = (0, 255)

    def select(self, hsv: Bytes) -> Bytes:
        """255 where a pixel of ``hsv (H, W, 3)`` is inside, else 0."""
        first, last = self.hue
        if first <= last:
            return self._select(hsv, first, last)
        return self._select(hsv, first, 179) | self._select(hsv, 0, last)

    def vividness(self, saturation: float, value: float) -> float:
        """How far inside of the window these means are: 0 at its limit, 1 from halfway on.

        What counts is the saturation, and for black the value.
        """
        mean, (low, high) = (
            (saturation, self.saturation) if self.saturation != (0, 255) else (value, self.value)
        )
        depth = mean - low if low else high - mean
        return min(2 * depth / (high - low), 1.0)

    def _select(self, hsv: Bytes, first: int, last: int) -> Bytes:
        lower = np.array([first, self.saturation[0], self.value[0]])
        upper = np.array([last, self.saturation[1], self.value[1]])
        return np.asarray(cv2.inRange(hsv, lower, upper))


# The hues share the circle out without gaps; brown is dark orange. Skin and wood have the hues of red, orange
# and yellow (2 to 22) but are paler: saturation 40 to 140 in daylight, 160 in reddish shadow. The floors
# of these three keep clear of them, so cream and salmon are neither yellow nor red. Cold colours are rare in
# skin and wood: paler ones count. In the dark hue is noise, hence the floors of value.
WINDOWS: dict[str, HsvWindow] = {
    "red": HsvWindow((172, 6), (150, 255), (80, 255)),
    "orange": HsvWindow((7, 19), (160, 255), (145, 255)),
    "yellow": HsvWindow((20, 34), (100, 255), (120, 255)),
    "green": HsvWindow((35, 81), (70, 255), (45, 255)),
    "cyan": HsvWindow((82, 99), (70, 255), (60, 255)),
    "blue": HsvWindow((100, 127), (80, 255), (60, 255)),
    "purple": HsvWindow((128, 146), (60, 255), (45, 255)),
    "pink": HsvWindow((147, 171), (60, 255), (90, 255)),
    "brown": HsvWindow((7, 19), (90, 255), (35, 144)),
    "black": HsvWindow(value=(0, 45)),
    "white": HsvWindow(saturation=(0, 30), value=(210, 255)),
    "gray": HsvWindow(saturation=(0, 30), value=(60, 200)),
}

_COLOR_OF = {word: color.name for color in NAMED_COLORS.values() for word in (color.name, *color.synonyms)}


def color_of_class(class_name: str) -> str:
    """The colour that a class of the prompt asks for: ``"Crimson objects"`` gives ``"red"``.

    Raises:
        PromptError: There is not exactly one colour in it, or a word that is neither a colour nor neutral.
    """
    words = re.findall(r"\w+", class_name.casefold())
    colors = [_COLOR_OF[word] for word in words if word in _COLOR_OF]
    others = [word for word in words if word not in _COLOR_OF and word.removesuffix("s") not in NEUTRAL_WORDS]
    if others:
        trouble = f"it knows colours only, and {others[0]!r} is not one"
        trouble += f": write '{colors[0]} object'" if len(set(colors)) == 1 else ""
    elif len(colors) > 1:
        trouble = "it takes one colour a class; separate them: " + repr(". ".join(colors) + ".")
    elif not colors:
        trouble = "it needs a colour"
    else:
        return colors[0]
    msg = (
        f"detector 'color' does not understand {class_name!r}: {trouble}. Known: {', '.join(_COLOR_OF)}. "
        "For things rather than colours use detector 'grounding-dino'"
    )
    raise PromptError(msg)


class ColorDetector:
    """Detects connected regions of named colours, with masks.

    The score is purity times vividness. Purity is the share of the region's pixels that had the colour before
    smoothing, vividness is :meth:`HsvWindow.vividness` of their mean: what only just passes scores low.

    Args:
        classes: Each with one colour word, alone or with "object", "thing", "region", "area" or "blob".
        box_threshold: Lowest score that is reported.
        min_area: Smallest region, as a fraction of the frame.

    Raises:
        PromptError: A class is not understood, or two classes mean the same colour.
    """

    def __init__(self, classes: Sequence[str], box_threshold: float = 0.0, *, min_area: float = 1e-3) -> None:
        self._colors: dict[str, str] = {}
        for name in classes:
            color = color_of_class(name)
            for other, taken in self._colors.items():
                if color == taken:
                    msg = f"classes {other!r} and {name!r} mean the same colour to detector 'color': keep one"
                    raise PromptError(msg)
            self._colors[name] = color
        self._box_threshold = box_threshold
        self._min_area = min_area

    def at_threshold(self, box_threshold: float) -> Self:
        """The same detector with another lowest score."""
        other = copy(self)
        other._box_threshold = box_threshold
        return other

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """Find the regions in each image; see :class:`trackkit.detectors.Detector`."""
        return [self._detect(image) for image in images]

    def _detect(self, image: Image) -> Detections:
        hsv = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
        regions = [
            (score, name, box, mask)
            for name, color in self._colors.items()
            for score, box, mask in _find_regions(hsv, WINDOWS[color], self._min_area)
            if score >= self._box_threshold
        ]
        regions.sort(key=lambda region: -region[0])
        height, width = image.shape[:2]
        masks = np.zeros((len(regions), height, width), np.bool_)
        xyxy = np.zeros((len(regions), 4), np.float32)
        for i, (_, _, (x, y, w, h), mask) in enumerate(regions):
            masks[i, y : y + h, x : x + w] = mask
            xyxy[i] = x, y, x + w, y + h
        return Detections(
            xyxy=xyxy,
            scores=np.array([region[0] for region in regions], np.float32),
            labels=tuple(region[1] for region in regions),
            masks=masks,
        )


_Region: TypeAlias = tuple[float, tuple[int, int, int, int], npt.NDArray[np.bool_]]


def _find_regions(hsv: Bytes, window: HsvWindow, min_area: float) -> list[_Region]:
    """Regions of one colour in ``hsv (H, W, 3)``: score, box ``(x, y, w, h)``, mask within the box."""
    height, width = hsv.shape[:2]
    raw = window.select(hsv)
    # Specks go (opening), then gaps such as glints close. At 720p the kernels have 3 and 9 pixels.
    smooth = cv2.morphologyEx(raw, cv2.MORPH_OPEN, _kernel(cv2.MORPH_ELLIPSE, 0.004 * height))
    smooth = cv2.morphologyEx(smooth, cv2.MORPH_CLOSE, _kernel(cv2.MORPH_RECT, 0.012 * height))
    x0, y0, w0, h0 = cv2.boundingRect(smooth)
    if w0 == 0:
        return []
    used = smooth[y0 : y0 + h0, x0 : x0 + w0]
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(used, ltype=cv2.CV_16U)
    regions: list[_Region] = []
    for number in np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] >= min_area * height * width) + 1:
        x, y, w, h, area = (int(value) for value in stats[number])
        mask = numbers[y : y + h, x : x + w] == number
        x, y = x + x0, y + y0
        pure = mask & raw[y : y + h, x : x + w]
        _, saturation, value, _ = cv2.mean(hsv[y : y + h, x : x + w], pure)
        purity = cv2.countNonZero(pure) / area
        regions.append((purity * window.vividness(saturation, value), (x, y, w, h), mask))
    return regions


def _kernel(shape: int, size: float) -> Bytes:
    side = max(int(size) // 2 * 2 + 1, 3)
    return np.asarray(cv2.getStructuringElement(shape, (side, side)), np.uint8)
