"""CVAT for video 1.1."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as Xml

import numpy as np

from trackkit.formats.base import Video


def write_cvat(place: Path, videos: Iterable[Video], classes: tuple[str, ...]) -> Iterable[str]:
    """CVAT for video 1.1: ``<video>.xml``, a track of boxes per object."""
    place.mkdir()
    masks = False
    for video in videos:
        masks = masks or bool(video.result.tracks["mask_rle"].notna().any())
        tree = Xml.ElementTree(_cvat_annotations(video, classes))
        Xml.indent(tree)
        with (place / f"{video.name}.xml").open("xb") as file:
            tree.write(file, encoding="utf-8", xml_declaration=True)
    return ["CVAT has no tracks of masks: their boxes were written"] if masks else ()


def _cvat_annotations(video: Video, classes: tuple[str, ...]) -> Xml.Element:
    def add(parent: Xml.Element, tag: str, text: object = None, **attributes: str) -> Xml.Element:
        element = Xml.SubElement(parent, tag, attributes)
        element.text = None if text is None else str(text)
        return element

    info, frames = video.result.info, video.result.frames[0].tolist()
    root = Xml.Element("annotations")
    add(root, "version", "1.1")
    task = add(add(root, "meta"), "task")
    for tag, text in (
        ("name", video.name),
        ("size", info.num_frames),
        ("mode", "interpolation"),
        ("overlap", 0),
        ("start_frame", 0),
        ("stop_frame", info.num_frames - 1),
        ("frame_filter", ""),
        ("z_order", False),
    ):
        add(task, tag, text)
    labels = add(task, "labels")
    for name in classes:
        label = add(labels, "label")
        add(label, "name", name)
        add(label, "attributes")
    size = add(task, "original_size")
    add(size, "width", info.width)
    add(size, "height", info.height)
    add(task, "source", video.name)
    following = dict(pairwise(frames))
    for obj_id, rows in video.result.tracks.sort_values("frame_idx").groupby("obj_id"):
        track = add(root, "track", id=str(obj_id), label=rows["label"].iloc[0], source="auto")
        seen = set(rows["frame_idx"].tolist())
        boxes = rows[["x", "y", "width", "height"]].to_numpy(np.float64)
        for idx, (x, y, width, height) in zip(rows["frame_idx"].tolist(), boxes, strict=True):
            corners = {"xtl": x, "ytl": y, "xbr": x + width, "ybr": y + height}
            box = {name: f"{value:.2f}" for name, value in corners.items()} | {
                "occluded": "0",
                "keyframe": "1",
            }
            add(track, "box", frame=str(idx), outside="0", **box)
            # CVAT draws a box until it is told that the object is gone.
            if idx in following and following[idx] not in seen:
                add(track, "box", frame=str(following[idx]), outside="1", **box)
    return root
