"""YouTube-VIS JSON (Yang et al. 2019, arXiv 1905.04804), written and read."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco

from trackkit.core.errors import ResultsError
from trackkit.core.masks import rle_runs
from trackkit.core.whole_numbers import whole_number
from trackkit.formats.base import Video
from trackkit.formats.json_lists import JsonLists, about_dataset
from trackkit.formats.truth import TruthRow, VideoTruth, frame_numbers, truth_table
from trackkit.results.jsonl_line import object_rows
from trackkit.results.video_result import VideoResult


def write_youtube_vis(place: Path, videos: Iterable[Video], classes: tuple[str, ...]) -> Iterable[str]:
    """YouTube-VIS JSON: an annotation per object, with a mask or null per processed frame."""
    category = {name: number for number, name in enumerate(classes, start=1)}
    annotation_ids = count(1)
    with JsonLists(place, "videos", "annotations") as lists:
        for video in videos:
            result, info = video.result, video.result.info
            frames = result.frames[0].tolist()
            size = {"width": info.width, "height": info.height}
            names = [video.image(idx) for idx in frames]
            about = {"video_path": result.task.video_path, "frame_idx": frames}
            lists.add(
                "videos", {"id": video.number, **size, "length": len(frames), "file_names": names, **about}
            )
            for track in _youtube_vis_tracks(result, category):
                lists.add(
                    "annotations", {"id": next(annotation_ids), "video_id": video.number, **size, **track}
                )
        lists.join(**about_dataset(classes))
    return ()


def _youtube_vis_tracks(result: VideoResult, category: dict[str, int]) -> Iterator[dict[str, Any]]:
    """One entry per object; runs are not compressed, as in the files of YouTube-VIS itself."""
    place = {idx: k for k, idx in enumerate(result.frames[0].tolist())}
    rows = list(zip(object_rows(result), result.tracks["area_px"].tolist(), strict=True))
    rows.sort(key=lambda row: row[0][2])
    track: dict[str, Any] = {}
    for (idx, _, obj_id, label, entry), area in rows:
        if obj_id != track.get("obj_id"):
            if track:
                yield track
            track = {"category_id": category[label], "obj_id": obj_id, "iscrowd": 0, "score": 0.0}
            track |= {name: [None] * len(place) for name in ("segmentations", "bboxes", "areas")}
        rle = entry["segmentation"]
        track["score"] = max(track["score"], entry["score"])
        track["segmentations"][place[idx]] = {"size": rle["size"], "counts": rle_runs(rle["counts"])}
        track["bboxes"][place[idx]] = entry["bbox"]
        track["areas"][place[idx]] = area
    if track:
        yield track


def read_youtube_vis(path: Path) -> Iterator[VideoTruth]:
    """The videos of a file.

    Raises:
        ResultsError: The file is damaged, or no YouTube-VIS file.
    """
    try:
        data = json.loads(path.read_bytes())
        categories = _by_id(data.get("categories", []), "category")
        videos = _by_id(data["videos"], "video")
        of_video: dict[int, list[dict[str, Any]]] = {number: [] for number in videos}
        for entry in data["annotations"]:
            of_video[_listed(entry, "video_id", videos)].append(entry)
        for number, video in videos.items():
            numbers = frame_numbers(video["file_names"])
            size = int(video["height"]), int(video["width"])
            rows: list[TruthRow] = []
            for obj_id, entry in _by_id(of_video[number], "annotation").items():
                category = categories[_listed(entry, "category_id", categories)] if categories else {}
                about = {"label": category.get("name"), "ignored": bool(entry.get("iscrowd", 0))}
                rows += [{**row, **about, "obj_id": obj_id} for row in _instance_rows(entry, numbers, size)]
            folder = Path(video["file_names"][0]).parent.name
            name = folder or str(number)
            yield VideoTruth(
                name, truth_table(rows), size, np.sort(numbers), from_images=True, names=frozenset([name])
            )
    except (OSError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        msg = f"{path} is no YouTube-VIS file ({error!r}): expected videos, annotations and categories"
        raise ResultsError(msg) from None


def _by_id(entries: Iterable[dict[str, Any]], what: str) -> dict[int, dict[str, Any]]:
    """Entries by their ids, each of which is of one alone."""
    found: dict[int, dict[str, Any]] = {}
    for entry in entries:
        number = whole_number(entry["id"], f"{what} id")
        if found.setdefault(number, entry) is not entry:
            msg = f"{what} id {number} is twice"
            raise ValueError(msg)
    return found


def _listed(entry: dict[str, Any], key: str, among: Container[int]) -> int:
    """The id of a video or category that an annotation is of."""
    number = whole_number(entry[key], key)
    if number not in among:
        msg = f"annotation {entry['id']!r} has {key} {number}, which is not in the list"
        raise ValueError(msg)
    return number


def _instance_rows(
    entry: dict[str, Any], numbers: npt.NDArray[np.int32], size: tuple[int, int]
) -> Iterator[TruthRow]:
    for number, shape in zip(numbers, entry["segmentations"], strict=True):
        if not shape:
            continue
        if isinstance(shape, list):
            rle = coco.merge(coco.frPyObjects(shape, *size))  # polygons
        elif isinstance(shape["counts"], list):
            rle = coco.frPyObjects(shape, *size)
        else:
            rle = shape
        if tuple(rle["size"]) != size:
            msg = f"a mask of {rle['size']} in a video of {list(size)} (height, width)"
            raise ValueError(msg)
        counts = rle["counts"] if isinstance(rle["counts"], str) else rle["counts"].decode()
        x, y, width, height = coco.toBbox(rle)
        if width > 0:
            place = {"x": x, "y": y, "width": width, "height": height}
            yield {"frame_idx": number, **place, "mask_rle": counts}
