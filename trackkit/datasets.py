"""Synthetic videos of coloured shapes with exact ground truth, for demos, tests, benchmarks and training.

A :class:`Scene` describes a video completely and is the same for the same seed on every machine::

    scene = make_scene(7)
    write_video(scene, "shapes.mp4")
    truth = ground_truth(scene)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.interpolate import PchipInterpolator

from trackkit.colors import NAMED_COLORS, SATURATED
from trackkit.errors import ConfigError
from trackkit.geometry import boxes_of_masks, encode_masks
from trackkit.structures import Boxes, Image, Masks

Floats: TypeAlias = npt.NDArray[np.float32]
Waypoint: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One moving shape.

    Attributes:
        obj_id: Unique in the scene, from 1 up.
        shape: One of ``SHAPES``.
        color: A name of ``colors.NAMED_COLORS``.
        radius: Pixels of the circle around the shape.
        path: Waypoints ``(frame, x, y)`` of the centre in pixels; between them it moves smoothly and never
            outside of their bounding box (monotone cubic, Fritsch and Carlson 1980).
        angle: Radians in frame 0, clockwise.
        spin: Radians a frame.
        texture: One of ``TEXTURES``.
    """

    obj_id: int
    shape: str
    color: str
    radius: float
    path: tuple[Waypoint, ...]
    angle: float = 0.0
    spin: float = 0.0
    texture: str = "flat"

    @property
    def label(self) -> str:
        """What a prompt would call it: ``"red circle"``."""
        return f"{self.color} {self.shape}"

    def center(self, idx: int) -> tuple[float, float]:
        """Where its centre is in frame ``idx``, pixels."""
        t, x, y = np.array(self.path).T
        at = np.clip(idx, t[0], t[-1])
        return float(PchipInterpolator(t, x)(at)), float(PchipInterpolator(t, y)(at))


@dataclass(frozen=True, slots=True)
class Scene:
    """A synthetic video.

    Attributes:
        width: Pixels.
        height: Pixels.
        num_frames: Length.
        fps: Frames per second.
        objects: From back to front: later ones hide earlier ones.
        background: One of ``BACKGROUNDS``.
        seed: Decides the background's look.
    """

    width: int
    height: int
    num_frames: int
    fps: float
    objects: tuple[SceneObject, ...]
    background: str = "plain"
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class GroundTruthFrame:
    """What can be seen in one frame; objects that are hidden or outside are absent.

    Attributes:
        idx: 0-based index of the frame.
        obj_ids: ``int32 (N,)``.
        labels: ``N`` strings such as ``"red circle"``.
        xyxy: ``float32 (N, 4)``, the tight box of the visible part.
        masks: ``bool (N, H, W)``, the visible part: pixels whose centre lies inside.
    """

    idx: int
    obj_ids: npt.NDArray[np.int32]
    labels: tuple[str, ...]
    xyxy: Boxes
    masks: Masks


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

# ---- textures: brightness of the fill at (u, v), 1 where it is as in the table ----

TEXTURES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "flat": lambda u, v: np.ones_like(u),
    "shaded": lambda u, v: 1 - 0.18 * (u + v),
    "striped": lambda u, v: 1 - 0.25 * (np.sin(9 * (u + v)) > 0).astype(np.float32),
}

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
    if route == "enter":
        points[0, 1] = outside
    elif route == "leave":
        points[-1, 1] = outside
    return tuple((float(t), float(x), float(y)) for t, (x, y) in zip(frames, points, strict=True))


def _through(path: tuple[Waypoint, ...], idx: int, point: tuple[float, float]) -> tuple[Waypoint, ...]:
    """The path with a detour: at frame ``idx`` it goes through ``point``."""
    kept = [p for p in path if abs(p[0] - idx) > 15 or (p in (path[0], path[-1]) and p[0] != idx)]
    return tuple(sorted([*kept, (float(idx), *point)]))


def render_frame(scene: Scene, idx: int) -> tuple[Image, GroundTruthFrame]:
    """Frame ``idx`` of the scene, RGB ``uint8 (H, W, 3)`` with soft edges, and what can be seen in it."""
    canvas = _background(scene.background, scene.seed, scene.height, scene.width).copy()
    masks = np.zeros((len(scene.objects), scene.height, scene.width), np.bool_)
    for i, obj in enumerate(scene.objects):
        _paint(canvas, masks[: i + 1], obj, idx)
    seen = [i for i, mask in enumerate(masks) if mask.any()]
    truth = GroundTruthFrame(
        idx=idx,
        obj_ids=np.array([scene.objects[i].obj_id for i in seen], np.int32),
        labels=tuple(scene.objects[i].label for i in seen),
        xyxy=boxes_of_masks(masks[seen]),
        masks=masks[seen],
    )
    return canvas.round().clip(0, 255).astype(np.uint8), truth


def _paint(canvas: Floats, masks: Masks, obj: SceneObject, idx: int) -> None:
    """Draw the object over ``canvas (H, W, 3)``, set the last of ``masks``, and cut it out of the others."""
    height, width = canvas.shape[:2]
    x, y = obj.center(idx)
    x1, x2 = np.clip([np.floor(x - obj.radius), np.ceil(x + obj.radius)], 0, width).astype(int)
    y1, y2 = np.clip([np.floor(y - obj.radius), np.ceil(y + obj.radius)], 0, height).astype(int)
    if x1 >= x2 or y1 >= y2:
        return
    # Nine samples a pixel: their mean is the soft edge, the one in the middle is the mask.
    dx = ((np.arange(3 * x1, 3 * x2, dtype=np.float32) + 0.5) / 3 - x) / obj.radius
    dy = ((np.arange(3 * y1, 3 * y2, dtype=np.float32)[:, None] + 0.5) / 3 - y) / obj.radius
    angle = obj.angle + obj.spin * idx
    u = dx * np.cos(angle) + dy * np.sin(angle)
    v = dy * np.cos(angle) - dx * np.sin(angle)
    samples = SHAPES[obj.shape](u, v)
    inside = samples[1::3, 1::3]
    alpha = samples.reshape(y2 - y1, 3, x2 - x1, 3).mean((1, 3), dtype=np.float32)[..., None]
    light = TEXTURES[obj.texture](u[1::3, 1::3], v[1::3, 1::3])[..., None]
    patch = canvas[y1:y2, x1:x2]
    patch += alpha * (light * np.array(NAMED_COLORS[obj.color].rgb, np.float32) - patch)
    masks[:-1, y1:y2, x1:x2] &= ~inside
    masks[-1, y1:y2, x1:x2] = inside


@lru_cache(maxsize=4)
def _background(name: str, seed: int, height: int, width: int) -> Floats:
    return BACKGROUNDS[name](np.random.default_rng(seed), height, width)


def iter_frames(scene: Scene) -> Iterator[tuple[Image, GroundTruthFrame]]:
    """All frames of the scene, in order, each with its ground truth."""
    for idx in range(scene.num_frames):
        yield render_frame(scene, idx)


def write_video(scene: Scene, path: str | Path) -> Path:
    """Write the scene as an MP4.

    Raises:
        VideoWriteError: The file cannot be written.
    """
    from trackkit.video_writer import VideoWriter

    path = Path(path)
    with VideoWriter(path, width=scene.width, height=scene.height, fps=scene.fps) as writer:
        for image, _ in iter_frames(scene):
            writer.write(image)
    return path


def ground_truth(scene: Scene) -> pd.DataFrame:
    """One row per visible object and frame, with columns as in ``results.tracks``.

    The columns: label, frame_idx, time_s, obj_id, x, y, width, height, area_px, mask_rle.
    """
    tables = []
    for _, truth in iter_frames(scene):
        x1, y1, x2, y2 = truth.xyxy.T
        tables.append(
            pd.DataFrame(
                {
                    "label": list(truth.labels),
                    "frame_idx": np.full(len(truth.labels), truth.idx, np.int32),
                    "time_s": truth.idx / scene.fps,
                    "obj_id": truth.obj_ids,
                    "x": x1,
                    "y": y1,
                    "width": x2 - x1,
                    "height": y2 - y1,
                    "area_px": truth.masks.sum((1, 2)).astype(np.int32),
                    "mask_rle": [rle.decode() for rle in encode_masks(truth.masks, truth.xyxy)],
                }
            )
        )
    return pd.concat(tables, ignore_index=True).astype({"label": "category", "mask_rle": "str"})
