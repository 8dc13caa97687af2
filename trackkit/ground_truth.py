"""Ground truth in the formats it comes in, read into one table per video; and a writer of our own format.

===============  ============================  ==========================================================
format           path                          what it is
===============  ============================  ==========================================================
``jsonl``        ``*.jsonl``                   trackkit's own lines, either layout; an object may have
                                               a ``visibility`` (its visible share, 0 to 1) in a frame
``mot``          ``<video>.txt`` or            MOTChallenge (Dendorfer et al. 2020, arXiv 2003.09003):
                 ``<video>/gt/gt.txt``,        ``frame,id,x,y,w,h[,flag[,class,visibility]]``
                 or a folder of them
``davis``        ``<video>/00000.png``, or a   DAVIS 2017 (Pont-Tuset et al., arXiv 1704.00675) and
                 folder of such folders        YouTube-VOS: the pixel value is the object's id
``youtube-vis``  ``*.json``                    YouTube-VIS (Yang et al. 2019, arXiv 1905.04804)
===============  ============================  ==========================================================
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image as PilImage
from pycocotools import mask as coco

from trackkit.config import TrackConfig
from trackkit.errors import ConfigError, ResultsError
from trackkit.geometry import boxes_of_masks, encode_masks
from trackkit.jsonl import iter_jsonl, write_whole
from trackkit.jsonl_codec import encode_result
from trackkit.results import TRACK_DTYPES
from trackkit.structures import VideoInfo, VideoResult, VideoTask
from trackkit.video_list import safe_stem, unique_stem

FORMATS = ("jsonl", "mot", "davis", "youtube-vis")
VOID = 255

ROW_DTYPES: dict[str, str] = {
    "frame_idx": "int32",  # 0-based, in the source video
    "obj_id": "int32",
    "label": "str",  # missing where the format has none
    "x": "float32",  # left edge, source pixels
    "y": "float32",  # top edge
    "width": "float32",
    "height": "float32",
    "mask_rle": "str",  # compressed COCO RLE counts of the full frame; missing where there is no mask
    "visibility": "float64",  # visible share of the object, 0 to 1
    "ignored": "bool",  # neither to be found nor wrong to find
}
_DEFAULTS = {"label": None, "mask_rle": None, "visibility": 1.0, "ignored": False}
_CERTAIN = {"score": 1.0, "detected": True, "pred_iou": np.nan}  # what predictions have beyond that
_Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class VideoTruth:
    """What there is to be seen in one video.

    Attributes:
        name: The video's path or name, as the ground truth gives it.
        rows: One row per visible object and frame, the columns of ``ROW_DTYPES``.
        size: ``(height, width)`` in pixels, None where the format does not say.
        frames: ``int32 (T,)``, the annotated frames in order, those without objects included; None: all.
        void: RLE counts of the pixels of a frame that do not count, by frame.
        from_images: Whether ``frames`` are numbers of image files, not yet indices in the video.
        names: Names by which predictions of this video may be known.
    """

    name: str
    rows: pd.DataFrame
    size: tuple[int, int] | None = None
    frames: npt.NDArray[np.int32] | None = None
    void: dict[int, bytes] = field(default_factory=dict)
    from_images: bool = False
    names: frozenset[str] = frozenset()

    def in_video(self, num_frames: int) -> VideoTruth:
        """With frames as indices in a video of that length.

        Images that are as many as the frames are the frames in order, whatever their numbers: YouTube-VOS
        numbers every fifth frame, 0, 5, 10, ..., of a video that consists of just these.
        """
        if not self.from_images or self.frames is None or len(self.frames) != num_frames:
            return self
        index = {int(number): idx for idx, number in enumerate(self.frames)}
        return replace(
            self,
            rows=self.rows.assign(frame_idx=self.rows["frame_idx"].map(index).astype("int32")),
            frames=np.arange(num_frames, dtype=np.int32),
            void={index[number]: counts for number, counts in self.void.items()},
        )


def video_names(task: VideoTask) -> frozenset[str]:
    """The names of a video: ``a/my car.mp4`` is ``my car.mp4``, ``my car``, and what exports call it.

    A folder's name may have a dot.
    """
    path, source = Path(task.video_path), task.source
    return frozenset((path.name, path.stem, safe_stem(source), unique_stem(source)))


def read_ground_truth(path: str | os.PathLike[str], format: str | None = None) -> list[VideoTruth]:
    """Read the ground truth of one or of many videos.

    ``mot``: frames count from 1 and become 0-based; boxes are taken as they are. The 7th column is a flag, 0
    makes a row ignored; the 9th, of files with exactly nine, is the visibility; an empty file has no objects.
    ``davis``: the number of an image is that of its frame (but see :meth:`VideoTruth.in_video`); 0 is
    background and 255 void, except that gray images of a video with no values but these show one object, as
    in DAVIS 2016. ``youtube-vis``: what is ``iscrowd`` is ignored.

    Args:
        path: A file or a folder.
        format: One of ``FORMATS``; None recognises it from what the path is.

    Raises:
        ConfigError: The path is missing, or of no format or of several.
        ResultsError: A file is damaged; the message names it.
    """
    path = Path(path)
    if not path.exists():
        msg = f"ground truth {path} is not there: check the path"
        raise ConfigError(msg)
    if format is None:
        format = _recognise(path)
    if format not in FORMATS:
        msg = f"ground-truth format {format!r} is unknown: choose one of {', '.join(FORMATS)}"
        raise ConfigError(msg)
    if path.is_dir() != (format == "davis") and format != "mot":
        msg = f"ground truth {path} is a {'folder' if path.is_dir() else 'file'}: {format} is the other"
        raise ConfigError(msg)
    if format == "davis":
        truths = [_read_davis(folder) for folder in _mask_folders(path)]
    elif format == "mot":
        truths = [_read_mot(name, file) for name, file in _mot_files(path)]
    else:
        truths = list(_read_jsonl(path) if format == "jsonl" else _read_youtube_vis(path))
    if not truths:
        msg = f"ground truth {path} holds no videos of the format {format}"
        raise ResultsError(msg)
    for truth in truths:
        twice = truth.rows[truth.rows.duplicated(["frame_idx", "obj_id"])]
        if len(twice):
            frame, obj = twice.iloc[0][["frame_idx", "obj_id"]]
            msg = f"ground truth {path}, {truth.name}: object {obj} is twice in frame {frame}: keep one"
            raise ResultsError(msg)
    return truths


def _recognise(path: Path) -> str:
    if path.is_dir():
        found = [name for name, files in (("davis", _mask_folders(path)), ("mot", _mot_files(path))) if files]
    else:
        of_suffix = {".jsonl": "jsonl", ".json": "youtube-vis", ".txt": "mot"}
        found = [of_suffix[path.suffix.lower()]] if path.suffix.lower() in of_suffix else []
    if len(found) != 1:
        what = " and ".join(found) or "none that is known"
        msg = (
            f"the format of the ground truth {path} is {what}: expected a .jsonl, .json or .txt file, a "
            f"folder of PNG masks, or of .txt files; say which with --format {{{','.join(FORMATS)}}}"
        )
        raise ConfigError(msg)
    return found[0]


def _table(rows: list[_Row] | pd.DataFrame) -> pd.DataFrame:
    table = pd.DataFrame(rows)
    for name in ROW_DTYPES:
        if name not in table:
            table[name] = _DEFAULTS.get(name)
    return table[list(ROW_DTYPES)].astype(ROW_DTYPES)


# ---- our own ----


def _read_jsonl(path: Path) -> Iterator[VideoTruth]:
    for result, _ in iter_jsonl(path):
        yield VideoTruth(
            name=result.task.video_path,
            rows=_table(result.tracks),
            size=(result.info.height, result.info.width),
            frames=result.frames[0],
            names=video_names(result.task),
        )


def write_ground_truth(
    path: str | os.PathLike[str],
    videos: Mapping[str | os.PathLike[str], tuple[VideoInfo, pd.DataFrame]],
) -> Path:
    """Write ground truth as trackkit JSONL, one line per video; the file has its name when it is whole.

    Args:
        path: File to write; one that is there is replaced.
        videos: By path of the video what is known of it, and its rows: columns of ``datasets.ground_truth``,
            with ``visibility`` or without. All ``num_frames`` frames count as annotated.

    Raises:
        ConfigError: A label cannot be a class of a prompt.
    """
    path = Path(path)
    labels = sorted({str(label) for _, rows in videos.values() for label in rows["label"].unique()})
    config = TrackConfig(". ".join(labels) or "object")
    if labels and config.classes != tuple(labels):
        msg = (
            f"labels {labels} read as classes {config.classes}: expected names without . , ; in one spelling"
        )
        raise ConfigError(msg)
    lines = []
    for video_path, (info, rows) in videos.items():
        name, frames = os.fspath(video_path), np.arange(info.num_frames, dtype=np.int32)
        result = VideoResult(
            task=VideoTask(name, str(Path(name).absolute())),
            info=info,
            tracks=rows.assign(**_CERTAIN, video_path=name).astype(TRACK_DTYPES),
            frames=(frames, frames / info.fps),
            process_fps=info.fps,
            seconds={"total": 0.0},
            peak_rss_mb=0.0,
        )
        lines.append(encode_result(result, config))
    write_whole(path, b"".join(lines))
    return path


# ---- MOTChallenge ----


def _mot_files(path: Path) -> list[tuple[str, Path]]:
    """Name of the video and file of each."""
    if path.is_file():
        is_gt = path.name == "gt.txt" and path.parent.name == "gt"
        return [(path.resolve().parents[1].name if is_gt else path.stem, path)]
    if (path / "gt" / "gt.txt").is_file():
        return [(path.resolve().name, path / "gt" / "gt.txt")]
    nested = [(file.parents[1].name, file) for file in sorted(path.glob("*/gt/gt.txt"))]
    return nested or [(file.stem, file) for file in sorted(path.glob("*.txt"))]


def _read_mot(name: str, file: Path) -> VideoTruth:
    if file.stat().st_size == 0:
        return VideoTruth(name, _table([]), names=frozenset([name]))
    try:
        table = pd.read_csv(file, header=None).to_numpy(np.float64)
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        msg = (
            f"{file} is no MOTChallenge file ({error}): expected lines frame,id,x,y,w,h,flag,class,visibility"
        )
        raise ResultsError(msg) from None
    columns = table.shape[1]
    if not 6 <= columns <= 10 or not np.isfinite(table).all() or (table[:, 0] < 1).any():
        msg = (
            f"{file} is no MOTChallenge file: expected 6 to 10 numbers in every line, the first a frame from "
            f"1 up; it has {columns} columns, and frames from {table[:, 0].min():g}"
        )
        raise ResultsError(msg)
    rows = pd.DataFrame(table[:, 1:6], columns=["obj_id", "x", "y", "width", "height"])
    rows["frame_idx"] = table[:, 0] - 1
    rows["ignored"] = table[:, 6] == 0 if columns > 6 else False
    rows["visibility"] = table[:, 8] if columns == 9 else 1.0  # ten columns end in a place in the world
    return VideoTruth(name, _table(rows), names=frozenset([name]))


# ---- DAVIS, YouTube-VOS ----


def _mask_folders(path: Path) -> list[Path]:
    if any(path.glob("*.png")):
        return [path]
    return sorted(folder for folder in path.iterdir() if folder.is_dir() and any(folder.glob("*.png")))


def _numbers(names: list[str]) -> npt.NDArray[np.int32]:
    """Frame numbers: of the images' names where every one ends in its own, else their places."""
    found = [re.search(r"(\d+)$", Path(name).stem) for name in names]
    numbers = {int(match[1]) for match in found if match}
    if len(numbers) == len(names) and max(numbers, default=0) < 2**31:
        return np.array([int(match[1]) for match in found if match], np.int32)
    return np.arange(len(names), dtype=np.int32)


def _read_davis(folder: Path) -> VideoTruth:
    files = sorted(folder.glob("*.png"))
    numbers = _numbers([file.name for file in files])
    order = np.argsort(numbers)
    rows: list[_Row] = []
    sizes: set[tuple[int, int]] = set()
    gray = True
    for number, file in ((int(numbers[i]), files[i]) for i in order):
        ids, mode = _read_ids(file)
        sizes.add((ids.shape[0], ids.shape[1]))
        gray = gray and mode != "P"
        values = np.flatnonzero(np.bincount(ids.ravel(), minlength=256)[1:]) + 1
        rows += _mask_rows(number, values, ids[None] == values[:, None, None])
    if len(sizes) > 1:
        msg = f"{folder}: masks of several sizes (height, width), {sorted(sizes)}: expected one in a video"
        raise ResultsError(msg)
    table = _table(rows)
    void = table["obj_id"] == VOID
    if gray and void.all():  # DAVIS 2016: black and white
        table["obj_id"], void = np.int32(1), ~void
    return VideoTruth(
        name=folder.resolve().name,
        rows=table[~void].reset_index(drop=True),
        size=sizes.pop(),
        frames=numbers[order],
        void={int(idx): rle.encode() for idx, rle in table.loc[void, ["frame_idx", "mask_rle"]].to_numpy()},
        from_images=True,
        names=frozenset([folder.resolve().name]),
    )


def _read_ids(file: Path) -> tuple[npt.NDArray[np.uint8], str]:
    """Object ids ``uint8 (H, W)`` of a palette or gray PNG, and the mode of the image."""
    try:
        with PilImage.open(file) as image:
            mode = image.mode
            ids = np.asarray(image.convert("L") if mode == "1" else image)
    except (OSError, SyntaxError) as error:
        msg = f"{file} cannot be read ({error}): expected a PNG"
        raise ResultsError(msg) from None
    if mode not in ("P", "L", "1"):
        msg = (
            f"{file} is of mode {mode}: expected a palette or 8-bit gray PNG whose pixel value is the object"
        )
        raise ResultsError(msg)
    return ids, mode


def _mask_rows(frame: int, ids: npt.NDArray[np.intp], masks: npt.NDArray[np.bool_]) -> Iterator[_Row]:
    boxes = boxes_of_masks(masks)
    for obj_id, box, counts in zip(ids, boxes, encode_masks(masks, boxes), strict=True):
        x1, y1, x2, y2 = box
        place = {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1}
        yield {"frame_idx": frame, "obj_id": obj_id, **place, "mask_rle": counts.decode()}


# ---- YouTube-VIS ----


def _read_youtube_vis(path: Path) -> Iterator[VideoTruth]:
    try:
        data = json.loads(path.read_bytes())
        labels = {category["id"]: category["name"] for category in data.get("categories", [])}
        for video in data["videos"]:
            numbers = _numbers(video["file_names"])
            size = int(video["height"]), int(video["width"])
            rows = [
                row | {"label": labels.get(entry["category_id"]), "ignored": bool(entry.get("iscrowd", 0))}
                for entry in data["annotations"]
                if entry["video_id"] == video["id"]
                for row in _instance_rows(entry, numbers, size)
            ]
            folder = Path(video["file_names"][0]).parent.name
            name = folder or str(video["id"])
            yield VideoTruth(
                name, _table(rows), size, np.sort(numbers), from_images=True, names=frozenset([name])
            )
    except (OSError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        msg = f"{path} is no YouTube-VIS file ({error!r}): expected videos, annotations and categories"
        raise ResultsError(msg) from None


def _instance_rows(
    entry: dict[str, Any], numbers: npt.NDArray[np.int32], size: tuple[int, int]
) -> Iterator[_Row]:
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
            yield {"frame_idx": number, "obj_id": entry["id"], **place, "mask_rle": counts}
