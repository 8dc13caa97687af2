"""Drawing tracked objects into frames, and sheets of frames for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import supervision as sv
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from trackkit.core.arrays import Image
from trackkit.core.frames import TrackedObjects
from trackkit.core.masks import decode_rle_crop

# Neighbouring ids get colours that are far apart.
_HEX = (
    "#3d7eff", "#ff9f1c", "#12b886", "#f0438c", "#ffd43b", "#8e5cf7", "#22c1dc", "#ff5a4e",
    "#94d82d", "#c855e8", "#1098ad", "#ffa8c5", "#5c940d", "#b08968", "#a5b4fc", "#e8590c",
)  # fmt: skip


def color_of(obj_id: int) -> str:
    """The colour in which an object is drawn, ``#rrggbb``."""
    return _HEX[obj_id % len(_HEX)]


def draw(objects: TrackedObjects) -> Image:
    """An annotated copy of the frame: masks, boxes, and labels such as ``red cup #3 0.87``.

    Lines and letters grow with the frame. An object keeps its colour as long as it keeps its id.
    """
    image = objects.frame.image.copy()
    if not len(objects):
        return image
    height, width = image.shape[:2]
    pens = _pens(min(height, width))
    if objects.rles is not None:
        for i in np.argsort(-objects.areas, kind="stable"):  # small ones on top
            _draw_mask(image, objects.rles[i], int(objects.obj_ids[i]), pens)
    found = sv.Detections(xyxy=objects.xyxy, tracker_id=objects.obj_ids.astype(int))
    rows = zip(objects.labels, objects.obj_ids, objects.scores, strict=True)
    pens.box.annotate(image, found)
    pens.label.annotate(image, found, [f"{name} #{obj_id} {score:.2f}" for name, obj_id, score in rows])
    return image


def _draw_mask(image: Image, rle: bytes, obj_id: int, pens: _Pens) -> None:
    """Tint the mask and trace its outline, touching only the part of the image that it covers."""
    x, y, mask = decode_rle_crop(rle, *image.shape[:2])
    h, w = mask.shape
    if not mask.size:
        return
    box = np.array([[0, 0, w, h]], np.float32)
    found = sv.Detections(xyxy=box, mask=mask[None], tracker_id=np.array([obj_id]))
    part = image[y : y + h, x : x + w]
    pens.mask.annotate(part, found)
    pens.outline.annotate(part, found)


@dataclass(frozen=True, slots=True)
class _Pens:
    mask: sv.MaskAnnotator
    outline: sv.PolygonAnnotator
    box: sv.BoxAnnotator
    label: sv.LabelAnnotator


@lru_cache(maxsize=8)
def _pens(size: int) -> _Pens:
    """Annotators for frames whose shorter side has ``size`` pixels."""
    line = max(round(size / 400), 1)
    # supervision writes BGR; our images are RGB, so red and blue change places here.
    rgb = [sv.Color.from_hex(code) for code in _HEX]
    palette = sv.ColorPalette([sv.Color(color.b, color.g, color.r) for color in rgb])
    bright = [0.299 * color.r + 0.587 * color.g + 0.114 * color.b > 140 for color in rgb]
    text = sv.ColorPalette([sv.Color.BLACK if light else sv.Color.WHITE for light in bright])
    look = {"color": palette, "color_lookup": sv.ColorLookup.TRACK}
    return _Pens(
        mask=sv.MaskAnnotator(opacity=0.3, **look),
        outline=sv.PolygonAnnotator(thickness=line + 1, **look),
        box=sv.BoxAnnotator(thickness=line, **look),
        label=sv.LabelAnnotator(
            text_color=text,
            text_scale=max(size / 1100, 0.35),
            text_thickness=max(round(size / 600), 1),
            text_padding=max(round(size / 150), 2),
            border_radius=round(size / 150),
            smart_position=True,
            **look,
        ),
    )


def compose_sheet(
    rows: Sequence[tuple[str, Sequence[Image]]], *, width: int = 1600, background: str = "#ffffff"
) -> Image:
    """A sheet of frames: one row of images under each title, RGB ``uint8 (H, width, 3)``.

    Args:
        rows: ``(title, images)``; all images get the same width, that of the longest row.
        width: Pixels of the sheet.
        background: Colour as ``#rrggbb``; titles are dark on a light one and light on a dark one.
    """
    gap, title_height = width // 100, width // 40
    ink = "#1f2328" if sum(sv.Color.from_hex(background).as_rgb()) > 3 * 128 else "#f0f3f6"
    font = ImageFont.load_default(size=width / 70)
    columns = max((len(images) for _, images in rows), default=0) or 1
    cell = (width - gap * (columns + 1)) // columns
    strips = []
    for title, images in rows:
        cells = [PillowImage.fromarray(fit(image, cell)) for image in images]
        height = title_height + max((each.height for each in cells), default=0) + gap
        strip = PillowImage.new("RGB", (width, height), background)
        ImageDraw.Draw(strip).text((gap, title_height / 2), title, ink, font, anchor="lm")
        for i, each in enumerate(cells):
            strip.paste(each, (gap + i * (cell + gap), title_height))
        strips.append(np.asarray(strip))
    return np.concatenate(strips) if strips else np.zeros((0, width, 3), np.uint8)


def fit(image: Image, width: int) -> Image:
    """The image scaled to that width, RGB ``uint8 (H, width, 3)``."""
    height = max(round(image.shape[0] * width / image.shape[1]), 1)
    if image.shape[:2] == (height, width):
        return image
    shrink = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=shrink), np.uint8)
