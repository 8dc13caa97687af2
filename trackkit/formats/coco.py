"""COCO JSON (https://cocodataset.org/#format-data), with videos and track ids."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from trackkit.formats.base import Video
from trackkit.formats.json_lists import JsonLists, about_dataset
from trackkit.results.jsonl_line import object_rows


def write_coco(place: Path, videos: Iterable[Video], classes: tuple[str, ...]) -> Iterable[str]:
    """COCO JSON: an image per processed frame; ``track_id`` is unique over videos."""
    category = {name: number for number, name in enumerate(classes, start=1)}
    image_ids, annotation_ids, track_ids = count(1), count(1), count(1)
    boxes_only = []
    with JsonLists(place, "videos", "images", "annotations") as lists:
        for video in videos:
            result, info = video.result, video.result.info
            if result.tracks["mask_rle"].isna().any():
                boxes_only.append(video.name)
            size = {"width": info.width, "height": info.height}
            about = {"video_path": result.task.video_path, "fps": info.fps, "num_frames": info.num_frames}
            lists.add("videos", {"id": video.number, "name": video.name, **size, **about})
            images: dict[int, int] = {}
            for idx, time_s in zip(result.frames[0].tolist(), result.frames[1].tolist(), strict=True):
                images[idx] = next(image_ids)
                place_in_video = {"video_id": video.number, "frame_idx": idx, "time_s": time_s}
                lists.add(
                    "images", {"id": images[idx], "file_name": video.image(idx), **size, **place_in_video}
                )
            tracks: defaultdict[int, int] = defaultdict(lambda: next(track_ids))
            rows = zip(object_rows(result), result.tracks["area_px"].tolist(), strict=True)
            for (idx, _, obj_id, label, entry), area in rows:
                ids = {"id": next(annotation_ids), "image_id": images[idx], "video_id": video.number}
                ids |= {"category_id": category[label], "track_id": tracks[obj_id], "obj_id": obj_id}
                lists.add("annotations", {**ids, **entry, "area": area, "iscrowd": 0})
        lists.join(**about_dataset(classes))
    return [f"boxes without masks: {', '.join(boxes_only)}"] if boxes_only else ()
