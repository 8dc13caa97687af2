"""Frames of a scene, and what can be seen in each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from trackkit.core.arrays import Boxes, Image, Masks
from trackkit.core.colors import NAMED_COLORS
from trackkit.core.masks import boxes_of_masks
from trackkit.synthetic.scenery import BACKGROUNDS, NATURAL_BACKGROUNDS, SHAPES, TEXTURES, Floats, thing
from trackkit.synthetic.scenes import THING, Scene, SceneObject


@dataclass(frozen=True, slots=True, eq=False)
class GroundTruthFrame:
    """What can be seen in one frame; objects that are hidden or outside are absent, and so is clutter.

    Attributes:
        idx: 0-based index of the frame.
        obj_ids: ``int32 (N,)``.
        labels: ``N`` strings such as ``"red circle"``.
        xyxy: ``float32 (N, 4)``, the tight box of the visible part.
        masks: ``bool (N, H, W)``, the visible part: pixels whose centre lies inside.
        visibility: ``float32 (N,)``, that part as a share of the whole shape, 0 to 1.
    """

    idx: int
    obj_ids: npt.NDArray[np.int32]
    labels: tuple[str, ...]
    xyxy: Boxes
    masks: Masks
    visibility: npt.NDArray[np.float32]


def render_frame(scene: Scene, idx: int) -> tuple[Image, GroundTruthFrame]:
    """Frame ``idx`` of the scene, RGB ``uint8 (H, W, 3)`` with soft edges, and what can be seen in it."""
    canvas = _backdrop(scene, idx)
    masks = np.zeros((len(scene.objects), scene.height, scene.width), np.bool_)
    whole = np.array([_paint(canvas, masks[: i + 1], obj, idx) for i, obj in enumerate(scene.objects)])
    seen = [i for i, mask in enumerate(masks) if mask.any() and not scene.objects[i].is_clutter]
    truth = GroundTruthFrame(
        idx=idx,
        obj_ids=np.array([scene.objects[i].obj_id for i in seen], np.int32),
        labels=tuple(scene.objects[i].label for i in seen),
        xyxy=boxes_of_masks(masks[seen]),
        masks=masks[seen],
        visibility=(masks[seen].sum((1, 2)) / whole[seen]).astype(np.float32),
    )
    return _expose(canvas, scene, idx), truth


def _paint(canvas: Floats, masks: Masks, obj: SceneObject, idx: int) -> int:
    """Draw the object over ``canvas (H, W, 3)``, set the last of ``masks``, and cut it out of the others.

    Returns:
        Pixels of the whole shape, hidden or not.
    """
    height, width = canvas.shape[:2]
    x, y = obj.center(idx)
    radius = obj.radius_at(idx)
    x1, x2 = (int(np.floor(x - radius)), int(np.ceil(x + radius)))
    y1, y2 = (int(np.floor(y - radius)), int(np.ceil(y + radius)))
    if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
        return 0
    # Nine samples a pixel: their mean is the soft edge, the one in the middle is the mask.
    dx = ((np.arange(3 * x1, 3 * x2, dtype=np.float32) + 0.5) / 3 - x) / radius
    dy = ((np.arange(3 * y1, 3 * y2, dtype=np.float32)[:, None] + 0.5) / 3 - y) / radius
    angle = obj.angle + obj.spin * idx
    u = (dx * np.cos(angle) + dy * np.sin(angle)) / obj.stretch
    v = dy * np.cos(angle) - dx * np.sin(angle)
    rng = np.random.default_rng(obj.seed)
    samples = thing(u, v, rng) if obj.shape == THING else SHAPES[obj.shape](u, v)
    # Only what lies inside of the frame is painted.
    left, top = max(-x1, 0), max(-y1, 0)
    rows, columns = slice(y1 + top, min(y2, height)), slice(x1 + left, min(x2, width))
    part = np.s_[top : rows.stop - y1, left : columns.stop - x1]
    inside = samples[1::3, 1::3]
    alpha = samples.reshape(y2 - y1, 3, x2 - x1, 3).mean((1, 3), dtype=np.float32)[part][..., None]
    light = TEXTURES[obj.texture](u[1::3, 1::3][part], v[1::3, 1::3][part], rng)[..., None]
    patch = canvas[rows, columns]
    patch += alpha * (light * np.array(obj.rgb or NAMED_COLORS[obj.color].rgb, np.float32) - patch)
    masks[:-1, rows, columns] &= ~inside[part]
    masks[-1, rows, columns] = inside[part]
    return int(inside.sum())


def _backdrop(scene: Scene, idx: int) -> Floats:
    """The background as it lies behind frame ``idx``, ``float32 (H, W, 3)``; it repeats itself, mirrored."""
    still = _background(scene.background, scene.seed, scene.height, scene.width)
    if scene.camera.pan == (0, 0):
        return still.copy()
    x, y = (-step * idx for step in scene.camera.pan)
    shift = np.array([[1, 0, x], [0, 1, y]], np.float32)
    size = (scene.width, scene.height)
    return np.asarray(cv2.warpAffine(still, shift, size, borderMode=cv2.BORDER_REFLECT), np.float32)


@lru_cache(maxsize=4)
def _background(name: str, seed: int, height: int, width: int) -> Floats:
    paint = {**BACKGROUNDS, **NATURAL_BACKGROUNDS}[name]
    return paint(np.random.default_rng(seed), height, width).astype(np.float32)


def _expose(canvas: Floats, scene: Scene, idx: int) -> Image:
    """What the camera makes of it, RGB ``uint8 (H, W, 3)``."""
    camera = scene.camera
    canvas *= camera.exposure
    if camera.blur > 0:
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), camera.blur))
    if camera.noise > 0:
        rng = np.random.default_rng((scene.seed, idx))
        canvas += camera.noise * rng.standard_normal(canvas.shape, np.float32)
    return canvas.round().clip(0, 255).astype(np.uint8)


def iter_frames(scene: Scene) -> Iterator[tuple[Image, GroundTruthFrame]]:
    """All frames of the scene, in order, each with its ground truth."""
    for idx in range(scene.num_frames):
        yield render_frame(scene, idx)
