"""What synthetic videos are painted with: shapes, textures, shades of the named colours, and backgrounds.

Shapes and textures are functions of ``u`` to the right and ``v`` down, in radii of the object, and of a
random generator that is the same in every frame of an object.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from trackkit.core.arrays import Masks

Floats: TypeAlias = npt.NDArray[np.float32]
Rng: TypeAlias = np.random.Generator
RGB: TypeAlias = tuple[float, float, float]


# ---- shapes: is the point (u, v) inside? All fit the unit circle; v points down. ----


def _circle(u: Floats, v: Floats) -> Masks:
    return np.asarray(u * u + v * v <= 1)


def _square(u: Floats, v: Floats) -> Masks:
    return np.asarray(np.maximum(abs(u), abs(v)) <= np.sqrt(0.5))


def _triangle(u: Floats, v: Floats) -> Masks:
    return np.asarray((v <= 0.5) & (np.sqrt(3) * abs(u) - v <= 1))


def _diamond(u: Floats, v: Floats) -> Masks:
    return np.asarray(abs(u) / 0.62 + abs(v) <= 1)


def _star(u: Floats, v: Floats) -> Masks:
    # A pentagram is what lies beyond at most one of its five lines.
    angles = [0.4 * np.pi * k for k in range(5)]
    beyond = [u * np.sin(a) - v * np.cos(a) > np.cos(0.4 * np.pi) for a in angles]
    return np.asarray(sum(line.astype(np.int8) for line in beyond) <= 1)


def _ring(u: Floats, v: Floats) -> Masks:
    return np.asarray(abs(np.hypot(u, v) - 0.75) <= 0.25)


def _cross(u: Floats, v: Floats) -> Masks:
    return (np.minimum(abs(u), abs(v)) <= 0.3) & (np.maximum(abs(u), abs(v)) <= 0.95)


SHAPES: dict[str, Callable[[Floats, Floats], Masks]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "diamond": _diamond,
    "ring": _ring,
    "cross": _cross,
}


def thing(u: Floats, v: Floats, rng: Rng) -> Masks:
    """An object without a name, such as a cup, a box or a stone: each generator gives another one."""
    kind = rng.integers(4)
    if kind == 0:  # a cup: a trapezoid, wide or narrow at the top
        half, top, bottom = rng.uniform(0.6, 0.8), *rng.uniform(0.3, 0.55, 2)
        width = top + (bottom - top) * (v / half + 1) / 2
        return np.asarray((abs(v) <= half) & (abs(u) <= width))
    if kind == 1:  # a box with round corners, never nearly square
        a = rng.uniform(0.75, 0.9)
        b = a * rng.uniform(0.35, 0.6)
        power = rng.uniform(2.5, 8)
        return np.asarray((abs(u) / a) ** power + (abs(v) / b) ** power <= 1)
    theta = np.arctan2(v, u)
    if kind == 2:  # a lump
        waves = [rng.uniform(-0.5, 0.5) / k * np.cos(k * theta + rng.uniform(0, 6.3)) for k in (2, 3, 4, 5)]
        return np.asarray(np.hypot(u, v) <= 0.7 + 0.45 * sum(waves))
    corners = int(rng.integers(5, 8))  # a stone: a convex polygon with uneven sides
    angles = 2 * np.pi * (np.arange(corners) + rng.uniform(-0.3, 0.3, corners)) / corners
    sides = [u * np.cos(a) + v * np.sin(a) <= rng.uniform(0.45, 0.75) for a in angles]
    return np.asarray(np.logical_and.reduce([*sides, np.hypot(u, v) <= 1]))


# ---- textures: brightness of the fill at (u, v), 1 where it is as in the table ----


def _ball(u: Floats, v: Floats, rng: Rng) -> Floats:
    light = rng.uniform(-0.45, 0.45, 2)
    distance = (u - light[0]) ** 2 + (v - light[1]) ** 2
    return np.asarray(1.12 - 0.32 * distance + rng.uniform(0.3, 1.5) * np.exp(-distance / 0.02))


def _ribbed(u: Floats, v: Floats, rng: Rng) -> Floats:
    ribs = np.sin(rng.uniform(8, 22) * v + rng.uniform(0, 6.3)) > rng.uniform(0.2, 0.9)
    return np.asarray(1.08 - 0.35 * (u - rng.uniform(-0.4, 0.4)) ** 2 - 0.16 * ribs)


def _speckled(u: Floats, v: Floats, rng: Rng) -> Floats:
    waves = [np.sin(a * u + b * v + c) for a, b, c in rng.normal(0, [7, 7, 3], (4, 3))]
    return np.asarray(1 + rng.uniform(0.03, 0.1) * sum(waves))


def _marked(u: Floats, v: Floats, rng: Rng) -> Floats:
    """With a sign of a few strokes, as on a toy block; bright strokes are nearly white."""
    mark = np.zeros(np.broadcast(u, v).shape, np.bool_)
    for _ in range(rng.integers(1, 4)):
        x, y, angle = rng.uniform(-0.25, 0.25), rng.uniform(-0.25, 0.25), rng.uniform(0, np.pi)
        along = (u - x) * np.cos(angle) + (v - y) * np.sin(angle)
        across = (v - y) * np.cos(angle) - (u - x) * np.sin(angle)
        mark |= (abs(along) < 0.28) & (abs(across) < 0.07)
    return np.where(mark, rng.choice([0.35, 3.5]), 1 - 0.2 * (v > 0.4)).astype(np.float32)


TEXTURES: dict[str, Callable[[Floats, Floats, Rng], Floats]] = {
    "flat": lambda u, v, rng: np.ones_like(u),
    "shaded": lambda u, v, rng: 1 - 0.18 * (u + v),
    "striped": lambda u, v, rng: 1 - 0.25 * (np.sin(9 * (u + v)) > 0).astype(np.float32),
    "ball": _ball,
    "ribbed": _ribbed,
    "speckled": _speckled,
    "marked": _marked,
}

# ---- colours: hue in degrees, saturation and value in 0..1, each with its lowest and highest ----

_SHADES = {
    "red": ((-14, 7), (0.7, 1.0), (0.5, 0.98)),
    "orange": ((21, 34), (0.72, 1.0), (0.75, 1.0)),
    "yellow": ((42, 58), (0.5, 1.0), (0.72, 1.0)),
    "green": ((85, 150), (0.45, 1.0), (0.3, 0.9)),
    "cyan": ((172, 192), (0.45, 1.0), (0.5, 1.0)),
    "blue": ((208, 240), (0.5, 1.0), (0.35, 1.0)),
    "purple": ((262, 288), (0.4, 0.9), (0.35, 0.95)),
    "pink": ((310, 338), (0.35, 0.7), (0.8, 1.0)),
}


def shade(rng: Rng, color: str) -> RGB:
    """A random shade of one of ``colors.SATURATED``, RGB 0..255."""
    hue, saturation, value = (float(rng.uniform(*limits)) for limits in _SHADES[color])
    return _rgb(hue, saturation, value)


def dull(rng: Rng) -> RGB:
    """A random colour that has none of these names, RGB 0..255: grey, skin, wood, foliage in the shade."""
    hue, value = rng.uniform(0, 360), rng.uniform(0.05, 0.97)
    pale = 0.6 if value < 0.3 else 0.5 if 10 < hue < 40 and value < 0.85 else 0.28
    return _rgb(hue, pale * float(rng.beta(1, 2)), value)


def _rgb(hue: float, saturation: float, value: float) -> RGB:
    r, g, b = colorsys.hsv_to_rgb(hue / 360 % 1, saturation, value)
    return 255 * r, 255 * g, 255 * b


# ---- backgrounds: neutral, so that no named colour but gray, white or black is in them ----


def _plain(rng: np.random.Generator, height: int, width: int) -> Floats:
    return np.full((height, width, 3), rng.uniform(60, 190), np.float32)


def _gradient(rng: np.random.Generator, height: int, width: int) -> Floats:
    dark, light = rng.uniform(50, 100), rng.uniform(150, 210)
    direction = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    ramp = (x * np.cos(direction) + y * np.sin(direction)) / np.sqrt(2)
    return _gray(dark + (light - dark) * (ramp + 1) / 2)


def _noise(rng: np.random.Generator, height: int, width: int) -> Floats:
    clouds = rng.normal(0, 1, (10, max(10 * width // height, 2))).astype(np.float32)
    smooth = cv2.resize(clouds, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, 1, (height, width))
    return _gray(rng.uniform(90, 160) + 18 * smooth + 5 * grain)


def _gray(lightness: npt.NDArray[np.floating]) -> Floats:
    return np.asarray(lightness[..., None].repeat(3, 2), np.float32)


BACKGROUNDS: dict[str, Callable[[np.random.Generator, int, int], Floats]] = {
    "plain": _plain,
    "gradient": _gradient,
    "noise": _noise,
}


# ---- backgrounds as a camera sees them: full of things, but none in a named colour ----


def _clouds(rng: Rng, height: int, width: int, octaves: int = 6) -> Floats:
    """Noise with the spectrum of natural images: every octave has half the amplitude of the one below."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        cells = rng.normal(0, 1, (2 + 2**octave, 2 + 2**octave * width // height)).astype(np.float32)
        total += cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC) / 2**octave
    return total


def _haze(rng: Rng, height: int, width: int) -> Floats:
    t = 1 / (1 + np.exp(-1.2 * _clouds(rng, height, width, int(rng.integers(2, 7)))))[..., None]
    return np.asarray(t * dull(rng) + (1 - t) * dull(rng), np.float32)


def _leaves(rng: Rng, height: int, width: int) -> Floats:
    """Dead leaves: things of all sizes that hide each other, which gives the statistics of natural images.

    Lee, Mumford and Huang, "Occlusion models for natural images", 2001.
    """
    canvas = _haze(rng, height, width)
    smallest, largest = 0.03 * height, rng.uniform(0.15, 0.7) * height
    for _ in range(int(rng.integers(8, 70))):
        size = smallest / (1 - rng.uniform(0, 1 - smallest / largest))
        center = rng.uniform(0, (width, height))
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 12)))
        stretch = rng.uniform(0.3, 1, 2)
        corners = center + size * stretch * np.stack([np.cos(angles), np.sin(angles)], 1)
        cv2.fillPoly(canvas, [corners.round().astype(np.int32)], dull(rng), cv2.LINE_AA)
    return canvas * (1 + rng.uniform(0, 0.12) * _clouds(rng, height, width)[..., None])


def _tiles(rng: Rng, height: int, width: int) -> Floats:
    """Planks, tiles or the lines of a cutting mat."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.uniform(-0.5, 0.5)
    across, along = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    sizes = rng.uniform(0.05, 0.35, 2) * height
    edge = rng.uniform(0.03, 0.2)
    seams = (across % sizes[0] < edge * sizes[0]) | (
        (along % sizes[1] < edge * sizes[1]) & (rng.random() < 0.6)
    )
    tone = np.sin(across // sizes[0] * 12.9898 + along // sizes[1] * 78.233) * rng.uniform(0, 0.2)
    canvas = np.where(seams[..., None], dull(rng), (1 + tone[..., None]) * dull(rng))
    return np.asarray(canvas * (1 + 0.05 * _clouds(rng, height, width)[..., None]), np.float32)


NATURAL_BACKGROUNDS: dict[str, Callable[[Rng, int, int], Floats]] = {
    "haze": _haze,
    "leaves": _leaves,
    "tiles": _tiles,
}
