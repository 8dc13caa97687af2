"""What happens to frames on their way into a batch, so that the models learn objects and not scenes.

All functions take the generator first, and what they draw from it holds for all frames of a clip.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import compress

import cv2
import numpy as np
import numpy.typing as npt

Rng = np.random.Generator
Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

SMALLEST_CLOTH = 0.25  # share of the image
SMALLEST_PRINT = 150  # pixels of an object


def photograph(rng: Rng, images: Image) -> Image:
    """Another exposure and white balance of a clip ``(T, H, W, 3)``, and every third time compressed."""
    gain, offset = rng.uniform(0.85, 1.15) * rng.uniform(0.94, 1.06, 3), rng.uniform(-12, 12)
    out = (images * gain.astype(np.float32) + np.float32(offset)).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.33:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))]
        for image in out:
            _, data = cv2.imencode(".jpg", image, quality)
            image[:] = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return out


def redecorate(rng: Rng, images: Image, ids: Image) -> Image:
    """A coloured cloth or a grid behind the objects; side faces, the shading of round things, prints.

    Args:
        rng: Where from.
        images: The frames of a clip, ``(T, H, W, 3)``.
        ids: ``(T, H, W)``: 0 in the background.
    """
    seeds = rng.integers(2**31, size=len(DECORATIONS))
    wanted = rng.random(len(DECORATIONS)) < list(DECORATIONS.values())
    if not wanted.any():
        return images
    chosen = list(compress(zip(DECORATIONS, seeds, strict=True), wanted))
    clip = Clip.of(images, ids)
    decorated = np.empty_like(images)
    for t, image in enumerate(images):
        out = image.astype(np.float32)
        for decorate, seed in chosen:
            out = decorate(np.random.default_rng(seed), out, ids[t], clip)
        decorated[t] = out.clip(0, 255)
    return decorated


@dataclass(frozen=True, slots=True)
class Clip:
    """What holds for all frames of a clip, whichever objects are in one of them.

    Attributes:
        brightness: Mean of all pixels.
        colors: Of each object that is seen, the median colour ``(3,)``.
    """

    brightness: float
    colors: dict[int, Floats]

    @classmethod
    def of(cls, images: Image, ids: Image) -> Clip:
        """Measured in the frames ``(T, H, W, 3)``."""
        seen = images.astype(np.float32)
        colors = {int(k): np.median(seen[ids == k], 0) for k in np.unique(ids) if k}
        return cls(float(seen.mean()), colors)


def _blend(out: Floats, other: Floats, alpha: Floats) -> Floats:
    return out + (other - out) * alpha[..., None]


def _soft(region: npt.NDArray[np.bool_]) -> Floats:
    """1 inside, 0 outside, in between at the border: as a lens sees it."""
    return np.asarray(cv2.GaussianBlur(region.astype(np.float32), (0, 0), 0.7), np.float32)


def _hang_cloth(rng: Rng, out: Floats, ids: Image, clip: Clip) -> Floats:
    """A large region of one vivid colour, with folds, a knit, and the texture of what was there."""
    region = _large_region(rng, ids.shape)
    hue, saturation, value = rng.random(), rng.uniform(0.3, 0.95), rng.uniform(0.3, 0.9)
    apart, place = rng.choice([-1, 1]) * rng.uniform(0.03, 0.12), rng.random()
    if rng.random() < 0.7 and clip.colors:  # the neighbouring colour of an object in front of it is hardest
        own = clip.colors.get(round(1 + place * (max(clip.colors) - 1)))
        if own is not None:
            hue = (colorsys.rgb_to_hsv(*own / 255)[0] + apart) % 1
    color = 255 * np.array(colorsys.hsv_to_rgb(hue, saturation, value))
    light = out.mean(2) / max(clip.brightness, 1.0)
    light = (light.clip(0.4, 1.8) - 1) * np.float32(rng.uniform(0, 0.8)) + 1
    folds, angle = rng.uniform(3, 40), rng.uniform(0, math.pi)
    light *= 1 + np.float32(rng.uniform(0, 0.35)) * np.sin(_along(rng, ids.shape, folds, angle))
    if rng.random() < 0.4:
        knit = _along(rng, ids.shape, rng.uniform(3, 10), angle + math.pi / 2)
        light *= 1 + np.float32(rng.uniform(0, 0.35)) * np.sin(knit)
    cloth = light[..., None] * color.astype(np.float32)
    soft = cv2.GaussianBlur(region.astype(np.float32), (0, 0), 0.8)
    return _blend(out, cloth, soft * _soft(ids == 0) * np.float32(rng.uniform(0.6, 1)))


def _large_region(rng: Rng, shape: tuple[int, ...]) -> Image:
    """An ellipse or a polygon: 1 inside. A small one would be an object that is none."""
    height, width = shape
    while True:
        region = np.zeros((height, width), np.uint8)
        middle = rng.uniform(0, 1, 2) * (width, height)
        if rng.random() < 0.4:
            axes = rng.uniform(0.6, 1.6, 2) * (width, height)
            cv2.ellipse(region, (tuple(middle), tuple(axes), rng.uniform(0, 180)), 1, -1)
        else:
            angles, reach = np.sort(rng.uniform(0, 2 * math.pi, 5)), rng.uniform(0.4, 1.2, (5, 1))
            corners = middle + np.stack([np.cos(angles), np.sin(angles)], 1) * reach * width
            cv2.fillPoly(region, [corners.astype(np.int32)], 1)
        if region.mean() >= SMALLEST_CLOTH:
            return region


def _draw_grid(rng: Rng, out: Floats, ids: Image, clip: Clip) -> Floats:
    """Thin lines in one direction or two, on a background that is mostly darkened."""
    behind = _soft(ids == 0)
    if rng.random() < 0.6:
        out = _blend(out, np.zeros_like(out), behind * np.float32(rng.uniform(0.3, 0.85)))
    period, thickness = rng.uniform(6, 30), rng.uniform(0.4, 1.2)
    color = np.full_like(out, rng.uniform(160, 255) if rng.random() < 0.7 else rng.uniform(0, 60))
    angle = rng.uniform(0, math.pi)
    for turn in (0.0, math.pi / 2)[: int(rng.integers(1, 3))]:
        place = _along(rng, behind.shape, period, angle + turn)
        distance = abs((place / (2 * math.pi)) % 1 - 0.5) * period
        alpha = (thickness + 0.5 - distance).clip(0, 1).astype(np.float32)
        out = _blend(out, color, alpha * behind * np.float32(rng.uniform(0.4, 0.9)))
    return out


def _along(rng: Rng, shape: tuple[int, ...], period: float, angle: float | None = None) -> Floats:
    """Phase of a wave at each pixel."""
    angle = rng.uniform(0, math.pi) if angle is None else angle
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    phase = (x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / period + rng.uniform(0, 2 * math.pi)
    return np.asarray(phase, np.float32)


def _add_sides(rng: Rng, out: Floats, ids: Image, clip: Clip) -> Floats:
    """Side faces or shadows of the objects, all to one side: wood, grey or dark, but of no vivid colour."""
    angle, depth = rng.uniform(0, 2 * math.pi), rng.uniform(0.1, 0.4)
    wood = np.array(colorsys.hsv_to_rgb(rng.uniform(0.06, 0.12), rng.uniform(0, 0.45), rng.uniform(0.1, 0.8)))
    background = ids == 0
    for k in range(1, int(ids.max()) + 1):
        light = rng.uniform(0.8, 1.1)
        mask = (ids == k).astype(np.uint8)
        reach = int(depth * math.sqrt(mask.sum()))
        if reach < 2:
            continue
        line = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
        end = reach + round(reach * math.cos(angle)), reach + round(reach * math.sin(angle))
        cv2.line(line, (reach, reach), end, 1)
        side = (cv2.dilate(mask, line) > 0) & background
        face = np.broadcast_to((255 * light * wood).astype(np.float32), out.shape)
        out = _blend(out, face, _soft(side) * background)
    return out


def _shade_round(rng: Rng, out: Floats, ids: Image, clip: Clip) -> Floats:
    """Objects as round as a cup: darker to both sides, with a reflection and a few lines around them."""
    out = out.copy()
    for k in range(1, int(ids.max()) + 1):
        turn, dark, middle = rng.normal(0, 0.3), rng.uniform(0.1, 0.6), rng.uniform(-0.4, 0.4)
        shine, place, bend = rng.uniform(0, 0.5), rng.uniform(-0.5, 0.5), rng.uniform(-0.3, 0.3)
        lines, tones = rng.uniform(-1, 1, rng.integers(5)), rng.choice([0.7, 0.85, 1.2, 2.5], 5)
        rows, columns = np.nonzero(ids == k)
        if len(rows) < SMALLEST_PRINT:
            continue
        y, x = rows - rows.mean(), columns - columns.mean()
        across, along = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
        u, v = across / abs(across).max(), along / abs(along).max()
        light = 1 - dark * (u - middle) ** 2 + shine * np.exp(-(((u - place) / 0.12) ** 2))
        for line, tone in zip(lines, tones, strict=False):
            light = np.where(abs(v + bend * u**2 - line) < 0.04, light * tone, light)
        out[rows, columns] *= light[:, None].astype(np.float32)
    return out


def _print(rng: Rng, out: Floats, ids: Image, clip: Clip) -> Floats:
    """A letter on each larger object: pale or dark, or in the object's colour on a pale label."""
    for k in range(1, int(ids.max()) + 1):
        # All drawn before it is known whether the object is large enough in this frame of the clip.
        letter, size = chr(int(rng.integers(ord("A"), ord("Z") + 1))), rng.uniform(0.35, 0.6)
        labelled = rng.random() < 0.5
        tone = rng.uniform(0, 60) if rng.random() < 0.3 else rng.uniform(190, 255)
        mask = ids == k
        if mask.sum() < SMALLEST_PRINT:
            continue
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        y, x = (rows[0] + rows[-1]) / 2, (columns[0] + columns[-1]) / 2
        side = size * min(rows[-1] - rows[0], columns[-1] - columns[0])
        layer = np.zeros(ids.shape, np.uint8)
        corner = int(x - 0.35 * side), int(y + 0.4 * side)
        cv2.putText(layer, letter, corner, 0, side / 25, 255, max(1, int(side / 8)), cv2.LINE_AA)
        own = np.median(out[mask], 0).astype(np.float32)
        pale = np.full_like(out, tone)
        inside = mask.astype(np.float32)
        if labelled:
            label = np.zeros(ids.shape, np.float32)
            half = 0.55 * side
            cv2.rectangle(label, (int(x - half), int(y - half)), (int(x + half), int(y + half)), 1.0, -1)
            out = _blend(out, pale, label * inside * np.float32(0.9))
            pale = np.broadcast_to(own, out.shape)
        out = _blend(out, pale, layer.astype(np.float32) / 255 * inside)
    return out


#: What may be changed, in this order, and the share of the images that get it.
DECORATIONS: dict[Callable[[Rng, Floats, Image, Clip], Floats], float] = {
    _hang_cloth: 0.5,
    _draw_grid: 0.15,
    _add_sides: 0.25,
    _shade_round: 0.35,
    _print: 0.25,
}
