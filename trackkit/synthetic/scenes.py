"""Synthetic scenes: what is in them, where it moves, and how a camera sees it. All of it is decided here.

Two makers: :func:`make_scene` for clean scenes whose course is known, and :func:`make_natural_scene` for
scenes that are as varied as a camera's: cluttered, shaded, blurred, with several things of a kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from scipy.interpolate import PchipInterpolator

from trackkit.core.colors import NAMED_COLORS, SATURATED
from trackkit.core.errors import ConfigError
from trackkit.synthetic.scenery import (
    BACKGROUNDS,
    NATURAL_BACKGROUNDS,
    RGB,
    SHAPES,
    TEXTURES,
    Rng,
    dull,
    shade,
)

Waypoint: TypeAlias = tuple[float, float, float]

THING = "object"
"""The shape of what has none of the named shapes; see :func:`trackkit.synthetic.scenery.thing`."""


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One moving shape.

    Attributes:
        obj_id: Unique in the scene, from 1 up.
        shape: One of ``SHAPES``, or ``THING``.
        color: A name of ``colors.NAMED_COLORS``.
        radius: Pixels of the circle around the shape, in frame 0.
        path: Waypoints ``(frame, x, y)`` of the centre in pixels; between them it moves smoothly and never
            outside of their bounding box (monotone cubic, Fritsch and Carlson 1980).
        angle: Radians in frame 0, clockwise.
        spin: Radians a frame.
        texture: One of ``TEXTURES``.
        rgb: Its very colour, 0..255; None is the typical one of ``color``.
        growth: Radius at the end of the path, relative to that in frame 0.
        stretch: Width to height, up to 1.
        seed: Decides what texture and ``THING`` leave open.
        is_clutter: It moves about and hides others, but is nothing to find: the ground truth leaves it out.
    """

    obj_id: int
    shape: str
    color: str
    radius: float
    path: tuple[Waypoint, ...]
    angle: float = 0.0
    spin: float = 0.0
    texture: str = "flat"
    rgb: RGB | None = None
    growth: float = 1.0
    stretch: float = 1.0
    seed: int = 0
    is_clutter: bool = False

    @property
    def label(self) -> str:
        """What a prompt would call it: ``"red circle"``."""
        return f"{self.color} {self.shape}"

    def center(self, idx: int) -> tuple[float, float]:
        """Where its centre is in frame ``idx``, pixels."""
        t, x, y = np.array(self.path).T
        at = np.clip(idx, t[0], t[-1])
        return float(PchipInterpolator(t, x)(at)), float(PchipInterpolator(t, y)(at))

    def radius_at(self, idx: int) -> float:
        """Its radius in frame ``idx``, pixels."""
        return self.radius * (1 + (self.growth - 1) * min(idx / max(self.path[-1][0], 1), 1.0))


@dataclass(frozen=True, slots=True)
class Camera:
    """How a scene is seen.

    Attributes:
        pan: Pixels ``(x, y)`` a frame by which the background moves; it is endless.
        blur: Standard deviation of the blur, pixels.
        noise: Standard deviation of the noise, grey levels.
        exposure: Brightness relative to that of the scene.
    """

    pan: tuple[float, float] = (0.0, 0.0)
    blur: float = 0.0
    noise: float = 0.0
    exposure: float = 1.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A synthetic video.

    Attributes:
        width: Pixels.
        height: Pixels.
        num_frames: Length.
        fps: Frames per second.
        objects: From back to front: later ones hide earlier ones.
        background: A name of ``BACKGROUNDS`` or ``NATURAL_BACKGROUNDS``.
        seed: Decides the background's look and the noise.
        camera: How it is seen.
    """

    width: int
    height: int
    num_frames: int
    fps: float
    objects: tuple[SceneObject, ...]
    background: str = "plain"
    seed: int = 0
    camera: Camera = field(default=Camera())


def make_scene(
    seed: int,
    *,
    width: int = 320,
    height: int = 240,
    num_frames: int = 60,
    num_objects: int = 3,
    fps: float = 25.0,
    occlusion: bool = True,
    entries_and_exits: bool = True,
    shapes: Sequence[str] = tuple(SHAPES),
    colors: Sequence[str] = SATURATED,
    background: str = "plain",
    texture: str = "flat",
) -> Scene:
    """A random scene, the same for the same arguments.

    No two objects have the same colour while there are colours left.

    Args:
        seed: Decides everything that the other arguments leave open.
        width: Pixels.
        height: Pixels.
        num_frames: Length.
        num_objects: How many shapes move about.
        fps: Frames per second.
        occlusion: Whether every second object passes in front of the one before it, near the middle of the
            video. Without it every object keeps to its own column of the frame, and none are ever hidden.
        entries_and_exits: Whether the second of every three objects comes in over the border of the frame
            and the third leaves over it. Otherwise all are inside from the first frame to the last.
        shapes: Names of ``SHAPES`` to choose from.
        colors: Names of ``colors.NAMED_COLORS`` to choose from.
        background: One of ``BACKGROUNDS``.
        texture: One of ``TEXTURES``.

    Raises:
        ConfigError: A name is unknown.
    """
    for what, names, known in (
        ("shape", shapes, SHAPES),
        ("color", colors, NAMED_COLORS),
        ("background", [background], BACKGROUNDS),
        ("texture", [texture], TEXTURES),
    ):
        if unknown := [name for name in names if name not in known]:
            msg = f"{what} {unknown[0]!r} is unknown: choose from {', '.join(known)}"
            raise ConfigError(msg)
    rng = np.random.default_rng(seed)
    column = width / max(num_objects, 1)
    size = min(width, height) if occlusion else min(column, height)
    shuffled = [str(name) for name in rng.permutation(list(colors))]
    objects: list[SceneObject] = []
    for i in range(num_objects):
        radius = size * float(rng.uniform(0.1, 0.16) if occlusion else rng.uniform(0.2, 0.32))
        left, right = (0.0, float(width)) if occlusion else (i * column, (i + 1) * column)
        route = "stay" if not entries_and_exits else ("stay", "enter", "leave")[i % 3]
        path = _random_path(rng, (left, right), height, num_frames, radius, route)
        if occlusion and i % 2:
            path = _through(path, num_frames // 2, objects[-1].center(num_frames // 2))
        objects.append(
            SceneObject(
                obj_id=i + 1,
                shape=str(rng.choice(list(shapes))),
                color=shuffled[i % len(shuffled)],
                radius=radius,
                path=path,
                angle=float(rng.uniform(-0.4, 0.4)),
                spin=float(rng.uniform(-0.02, 0.02)),
                texture=texture,
            )
        )
    return Scene(width, height, num_frames, fps, tuple(objects), background, seed)


def make_natural_scene(
    seed: int,
    *,
    width: int = 320,
    height: int = 240,
    num_frames: int = 60,
    num_objects: int | None = None,
    fps: float = 25.0,
    names: Sequence[tuple[str, str]] = (),
    things: float = 0.0,
) -> Scene:
    """A random scene as a camera would see it, the same for the same arguments.

    Objects in many shades and textures, often several of a colour, a shape or both, come in, leave, come
    back, grow, turn and hide each other, before and behind dull clutter that moves too.

    Args:
        seed: Decides everything that the other arguments leave open.
        width: Pixels.
        height: Pixels.
        num_frames: Length.
        num_objects: How many there are to find; None is 2 to 6.
        fps: Frames per second.
        names: Colour and shape of the objects, ``("red", "circle")``, to choose from; any if there are none.
        things: Share of the objects that have no named shape; their label is ``"red object"``.
    """
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 7)) if num_objects is None else num_objects
    size = min(width, height)
    objects: list[SceneObject] = []
    for i in range(count + int(rng.integers(0, 3))):
        is_clutter = i >= count
        color, shape = _name(rng, objects[:count], things)
        if names:
            color, shape = names[int(rng.integers(len(names)))]
        radius = size * float(rng.uniform(0.08, 0.25) if is_clutter else np.exp(rng.uniform(-2.8, -1.55)))
        route = str(rng.choice(["stay", "enter", "leave", "visit", "return"], p=[0.6, 0.1, 0.1, 0.1, 0.1]))
        path = _random_path(rng, (0.0, float(width)), height, num_frames, radius, route)
        if objects and rng.random() < 0.25:
            path = _through(path, num_frames // 2, objects[-1].center(num_frames // 2))
        objects.append(
            SceneObject(
                obj_id=i + 1,
                shape=THING if is_clutter else shape,
                color=color,
                radius=radius,
                path=path,
                angle=float(rng.uniform(-0.5, 0.5)),
                spin=float(rng.normal(0, 0.02)),
                texture=str(rng.choice(list(TEXTURES))),
                rgb=dull(rng) if is_clutter else shade(rng, color),
                growth=float(rng.uniform(0.8, 1.25)),
                stretch=float(rng.uniform(0.85, 1.0)),
                seed=int(rng.integers(2**31)),
                is_clutter=is_clutter,
            )
        )
    camera = Camera(
        pan=tuple(rng.normal(0, 0.5, 2).tolist()),
        blur=float(max(rng.normal(0.3, 0.4), 0)),
        noise=float(rng.uniform(0, 7)),
        exposure=float(rng.uniform(0.75, 1.15)),
    )
    depth = [objects[i] for i in rng.permutation(len(objects))]
    backgrounds = [*NATURAL_BACKGROUNDS, "leaves", *BACKGROUNDS] if rng.random() < 0.9 else [*BACKGROUNDS]
    return Scene(width, height, num_frames, fps, tuple(depth), str(rng.choice(backgrounds)), seed, camera)


def _name(rng: Rng, others: Sequence[SceneObject], things: float) -> tuple[str, str]:
    """Colour and shape of a new object; often it shares one of them, or both, with another one."""
    color = str(rng.choice(SATURATED))
    shape = THING if rng.random() < things else str(rng.choice(list(SHAPES)))
    if others and rng.random() < 0.5:
        other = others[int(rng.integers(len(others)))]
        kept = rng.integers(3)
        color = other.color if kept != 1 else color
        shape = other.shape if kept != 0 else shape
    return color, shape


def _random_path(
    rng: np.random.Generator,
    columns: tuple[float, float],
    height: int,
    num_frames: int,
    radius: float,
    route: str,
) -> tuple[Waypoint, ...]:
    """Waypoints some 20 frames apart, so that the object lies inside of ``columns``; see ``make_scene``."""
    low = np.array([columns[0], 0]) + radius
    high = np.array([columns[1], height]) - radius
    frames = np.linspace(0, max(num_frames - 1, 1), max(num_frames // 20, 1) + 1).round()
    points = rng.uniform(low, high, (len(frames), 2))
    # No wild jumps: at most 0.6 frame heights from waypoint to waypoint.
    for before, point in pairwise(points):
        step = point - before
        point[:] = before + step * min(1.0, 0.6 * height / max(float(np.hypot(*step)), 1e-6))
    outside = rng.choice([-radius - 1, height + radius + 1])
    if route in ("enter", "visit"):
        points[0, 1] = outside
    if route in ("leave", "visit"):
        points[-1, 1] = outside
    if route == "return":
        points[len(points) // 2, 1] = outside
    return tuple((float(t), float(x), float(y)) for t, (x, y) in zip(frames, points, strict=True))


def _through(path: tuple[Waypoint, ...], idx: int, point: tuple[float, float]) -> tuple[Waypoint, ...]:
    """The path with a detour: at frame ``idx`` it goes through ``point``."""
    kept = [p for p in path if abs(p[0] - idx) > 15 or (p in (path[0], path[-1]) and p[0] != idx)]
    return tuple(sorted([*kept, (float(idx), *point)]))
