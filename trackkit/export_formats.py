"""Writers of the formats that other tools read, and the table of them.

A writer gets the videos one after the other and holds no more than one, whatever there are: it writes what it
has of a video and forgets it. What a format cannot hold it says in the notes that it returns.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self
from xml.etree import ElementTree as Xml

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image as PilImage

from trackkit.errors import ConfigError
from trackkit.geometry import decode_rle_crop, rle_runs
from trackkit.ground_truth import VOID
from trackkit.jsonl_codec import object_rows
from trackkit.results import TRACK_DTYPES
from trackkit.structures import VideoResult
from trackkit.tables import empty_frame


@dataclass(frozen=True, slots=True, eq=False)
class Video:
    """One video of a dataset that is being written.

    Attributes:
        number: Its place in the dataset, from 1.
        name: Unique in the dataset, and safe as the name of a file or folder.
        result: What was found in it.
    """

    number: int
    name: str
    result: VideoResult

    def image(self, frame_idx: int, suffix: str = ".jpg") -> str:
        """``<name>/<frame_idx>.jpg``, with as many digits as sort well and 5 or more."""
        digits = max(5, len(str(self.result.frames[0].max(initial=0))))
        return f"{self.name}/{frame_idx:0{digits}d}{suffix}"


Writer = Callable[[Path, Iterable[Video], tuple[str, ...]], Iterable[str]]
"""Writes videos to a file or folder that is not there yet, given the classes; returns notes for the user."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format that results can be written in.

    Attributes:
        write: Its writer.
        about: What it is and what it holds, in one line.
        suffix: Of the file; None where the output is a folder.
        masks_only: Whether boxes alone cannot be written.
    """

    write: Writer
    about: str
    suffix: str | None = None
    masks_only: bool = False


# ---- tables ----


def _write_csv(place: Path, videos: Iterable[Video], classes: tuple[str, ...]) -> Iterable[str]:
    with place.open("x", encoding="utf-8", newline="") as file:
        empty_frame(TRACK_DTYPES).to_csv(file, index=False)
        for video in videos:
            video.result.tracks.to_csv(file, columns=list(TRACK_DTYPES), header=False, index=False)
    return ()


def _write_parquet(place: Path, videos: Iterable[Video], classes: tuple[str, ...]) -> Iterable[str]:
    schema = pa.Schema.from_pandas(empty_frame(TRACK_DTYPES), preserve_index=False)
    for name in ("video_path", "label"):  # an empty table does not say of what its categories are
        text = pa.field(name, pa.dictionary(pa.int32(), pa.string()))
        schema = schema.set(schema.get_field_index(name), text)
    with place.open("xb") as file, pq.ParquetWriter(file, schema) as writer:
        for video in videos:
            if len(video.result.tracks):
                writer.write_table(pa.Table.from_pandas(video.result.tracks, schema, preserve_index=False))
    return ()


# ---- JSON ----


class _JsonLists:
    """A JSON object of lists that grow side by side on disk, and are joined in one file at the end."""

    def __init__(self, place: Path, *names: str) -> None:
        self._place = place
        with ExitStack() as stack:
            self._lists: dict[str, BinaryIO] = {
                name: stack.enter_context(tempfile.TemporaryFile(dir=place.parent)) for name in names
            }
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def add(self, name: str, entry: dict[str, Any]) -> None:
        part = self._lists[name]
        part.write(b",\n" if part.tell() else b"\n")
        part.write(orjson.dumps(entry, option=orjson.OPT_SERIALIZE_NUMPY))

    def join(self, **rest: Any) -> None:
        with self._place.open("xb") as file:
            file.write(orjson.dumps(rest)[:-1])
            for name, part in self._lists.items():
                file.write(f',\n"{name}":['.encode())
                part.seek(0)
                shutil.copyfileobj(part, file)
                file.write(b"]")
            file.write(b"}\n")


def _about(classes: tuple[str, ...]) -> dict[str, Any]:
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    return {"info": {"description": "tracks found by trackkit"}, "categories": categories}


def _write_coco(place: Path, videos: Iterable[Video], classes: tuple[str, ...]) -> Iterable[str]:
    category = {name: number for number, name in enumerate(classes, start=1)}
    image_ids, annotation_ids, track_ids = count(1), count(1), count(1)
    with _JsonLists(place, "videos", "images", "annotations") as lists:
        for video in videos:
            result, info = video.result, video.result.info
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
        lists.join(**_about(classes))
    return ()


def _write_youtube_vis(place: Path, videos: Iterable[Video], classes: tuple[str, ...]) -> Iterable[str]:
    category = {name: number for number, name in enumerate(classes, start=1)}
    annotation_ids = count(1)
    with _JsonLists(place, "videos", "annotations") as lists:
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
        lists.join(**_about(classes))
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


# ---- folders with a file or a folder per video ----


def _write_mot(place: Path, videos: Iterable[Video], classes: tuple[str, ...]) -> Iterable[str]:
    place.mkdir()
    for video in videos:
        rows = video.result.tracks.assign(frame=video.result.tracks["frame_idx"] + 1, none=-1)
        columns = ["frame", "obj_id", "x", "y", "width", "height", "score", "none", "none", "none"]
        rows = rows.sort_values(["frame", "obj_id"])
        with (place / f"{video.name}.txt").open("x", encoding="utf-8") as file:
            rows[columns].to_csv(file, header=False, index=False)
    if len(classes) > 1:
        return [f"MOTChallenge has no labels: objects of {', '.join(classes)} are not told apart"]
    return ()


def _write_cvat(place: Path, videos: Iterable[Video], classes: tuple[str, ...]) -> Iterable[str]:
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


def _write_davis(place: Path, videos: Iterable[Video], classes: tuple[str, ...]) -> Iterable[str]:
    place.mkdir()
    notes = []
    palette = _palette()
    for video in videos:
        tracks, info = video.result.tracks, video.result.info
        values = _davis_values(video)
        if any(obj_id != value for obj_id, value in values.items()):
            pairs = ", ".join(f"{obj_id} is {value}" for obj_id, value in values.items())
            notes.append(f"{video.name}: ids above {VOID - 1} do not fit, objects have new ones: {pairs}")
        (place / video.name).mkdir()
        # The smaller lie on top, as in annotated videos.
        tracks = tracks.sort_values(["area_px", "obj_id"], ascending=[False, True])
        of_frame = tracks.groupby("frame_idx").indices
        cut = hidden = 0
        for idx in video.result.frames[0].tolist():
            image = np.zeros((info.height, info.width), np.uint8)
            rows = tracks.iloc[of_frame.get(idx, [])]
            for obj_id, rle in zip(rows["obj_id"].tolist(), rows["mask_rle"].tolist(), strict=True):
                x, y, mask = decode_rle_crop(rle, *image.shape)
                image[y : y + mask.shape[0], x : x + mask.shape[1]][mask] = values[obj_id]
            cut += int(np.count_nonzero(image) < rows["area_px"].sum())
            hidden += len(rows) - len(np.flatnonzero(np.bincount(image.ravel())[1:]))
            picture = PilImage.fromarray(image)
            picture.putpalette(palette)
            picture.save(place / video.image(idx, ".png"))
        if cut:
            lost = f"; {hidden} times nothing is left of the larger" if hidden else ""
            notes.append(f"{video.name}: objects overlap in {cut} frames, the smaller has the pixels{lost}")
    return notes


def _davis_values(video: Video) -> dict[int, int]:
    """The pixel value of every object: its id where all fit."""
    ids = sorted(video.result.tracks["obj_id"].unique().tolist())
    if len(ids) >= VOID:
        msg = (
            f"{video.result.task.video_path} has {len(ids)} objects, but DAVIS images hold {VOID - 1}: "
            "export it as coco or youtube-vis, or track fewer classes"
        )
        raise ConfigError(msg)
    return {obj_id: obj_id if ids[-1] < VOID else k for k, obj_id in enumerate(ids, start=1)}


def _palette() -> bytes:
    """The colours of PASCAL VOC and DAVIS: bits 0, 3, 6 of the value are the top ones of red, and so on."""
    bits = np.arange(256)[:, None] >> np.arange(24)[None] & 1
    weights: npt.NDArray[np.int64] = 128 >> np.arange(8)
    rgb = np.stack([(bits[:, channel::3] * weights).sum(axis=1) for channel in range(3)], axis=1)
    return rgb.astype(np.uint8).tobytes()


FORMATS: dict[str, Format] = {
    "csv": Format(_write_csv, "the rows of results.tracks, as text", ".csv"),
    "parquet": Format(_write_parquet, "the rows of results.tracks, with their types", ".parquet"),
    "coco": Format(_write_coco, "COCO JSON with RLE masks; videos and track ids, too", ".json"),
    "youtube-vis": Format(_write_youtube_vis, "YouTube-VIS JSON, masks of every track", ".json", True),
    "mot": Format(_write_mot, "MOTChallenge text, boxes, <video>.txt; no labels"),
    "cvat": Format(_write_cvat, "CVAT for video 1.1, boxes of every track, <video>.xml"),
    "davis": Format(_write_davis, "DAVIS palette PNG, <video>/<frame_idx>.png; no labels", None, True),
}
