"""How deep images become images of 8 bits: one rule for all images of a video, so that nothing flickers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from trackkit.core.arrays import Image
from trackkit.video.picture import Values

FULL_RANGES = (1, 255, 1023, 4095, 16383, 65535)  # floats, and integers of 8, 10, 12, 14 and 16 bits
_SENTINEL = 1e37  # values beyond stand for "none", as NaN does


@dataclass(frozen=True, slots=True)
class Levels:
    """What becomes black (0) and what becomes white (255); what is beyond is clipped.

    Attributes:
        black: The value that becomes 0.
        white: The value from which on all is 255.
    """

    black: float
    white: float

    @classmethod
    def of(cls, images: Iterable[Values]) -> Levels | None:
        """The levels for a video with these images in it, all of one type; None if they hold no numbers.

        ``0`` to the first of ``FULL_RANGES`` that holds all values, if they fill half of it, or are colours
        in whole numbers. Else the lowest to the highest value that is there, as in thermal images; of colours
        ``0`` to the highest, so that they stay the same colours. Single pixels that stand out from all around
        them (dead and hot ones) do not count.
        """
        found, colour, whole = [], False, False
        for image in images:
            colour, whole = image.ndim == 3, image.dtype.kind in "ui"
            found += [each] if (each := _extremes(image)) is not None else []
        if not found:
            return None
        ends, plain = zip(*found, strict=True)
        black, white = min(low for low, _ in ends), max(high for _, high in ends)
        if black == white:
            black, white = min(low for low, _ in plain), max(high for _, high in plain)
        full = next((top for top in FULL_RANGES if black >= 0 and white <= top), None)
        if full is not None and ((colour and whole) or white - black >= full / 2):
            return cls(0.0, float(full))
        return cls(min(0.0, black) if colour else black, white)

    def __call__(self, values: Values) -> Image:
        """An RGB image; what is no number becomes black."""
        # Of 16 bits there are fewer values than pixels.
        by_value = values.dtype == np.uint16
        scaled = self._scale(np.arange(1 << 16))[values] if by_value else self._scale(values)
        return scaled if scaled.ndim == 3 else np.repeat(scaled[:, :, None], 3, axis=2)

    def clips(self, values: Values) -> bool:
        """Whether a thousandth of the values, or more, is beyond black or white."""
        return bool(np.mean((values < self.black) | (values > self.white)) >= 1e-3)

    def _scale(self, values: Values) -> Image:
        # 16 bits of the full range lose their lower 8.
        scale = 256 / ((self.white - self.black) or 1.0)
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (values.astype(np.float64) - self.black) * scale
        return np.clip(np.nan_to_num(scaled, nan=0.0, posinf=255, neginf=0), 0, 255).astype(np.uint8)


def has_none(values: Values) -> bool:
    """Whether there are values that are no numbers."""
    return values.dtype.kind == "f" and not np.isfinite(values).all()


def _extremes(values: Values) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """Lowest and highest value: without single pixels that stand out, and of all."""
    values = values.astype(np.float64)
    numbers = np.abs(values) < _SENTINEL  # NaN is not
    if not numbers.any():
        return None
    plain = float(values[numbers].min()), float(values[numbers].max())
    # As differences, as OpenCV's median keeps 7 digits.
    differences = np.where(numbers, values - plain[0], np.median(values[numbers]) - plain[0])
    calm = cv2.medianBlur(differences.astype(np.float32), 3)
    return (float(calm.min()) + plain[0], min(float(calm.max()) + plain[0], plain[1])), plain
