"""A line of the results file: one video, and back.

Two layouts, told apart by their keys::

    frames:   {video_path, text_prompt, video_info, frames: [{frame_idx, time_s, objects: [...]}], ...}
    objects:  {video_path, text_prompt, video_info, objects: [{obj_id, label, frames: [...]}], ...}

Boxes are ``[x, y, w, h]`` in source pixels; masks are COCO RLE ``{"size": [height, width], "counts": str}``.
An object of SAM 2 has the ``pred_iou`` of its mask; files of before it was written lack it.
In ground truth an object may have its ``visibility`` in a frame, the visible share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd

from trackkit.config import TrackConfig
from trackkit.core.errors import ConfigError, ResultsError
from trackkit.core.frames import VideoInfo
from trackkit.core.masks import rle_areas
from trackkit.core.tasks import VideoFailure, VideoTask, failure_of_values, task_of
from trackkit.core.whole_numbers import INT32_MAX, whole_numbers
from trackkit.results.columns import TRACK_DTYPES, empty_frame
from trackkit.results.video_result import VideoResult


class ObjectRow(NamedTuple):
    """What an object has in a frame.

    Attributes:
        frame_idx: 0-based in the source video.
        time_s: Presentation time, seconds.
        obj_id: Unique in its video.
        label: One of the classes.
        entry: As in the file: ``bbox`` ``float32 (4,)``, ``score``, ``detected``, ``pred_iou`` where
            it is known, and ``segmentation`` where there are masks.
    """

    frame_idx: int
    time_s: float
    obj_id: int
    label: str
    entry: dict[str, Any]


SCHEMA_VERSION = 1
LAYOUTS = ("frames", "objects")
_RUN_FIELDS = (
    "process_fps",
    "seconds",
    "peak_rss_mb",
    "peak_gpu_mb",
    "worker",
    "gpu",
    "truncated",
    "warnings",
)
_HEAD_END, _RUN = b',"video_info":', b',"run":'  # cannot be inside a JSON string, where quotes are escaped
_FLAGS = orjson.OPT_SERIALIZE_NUMPY
ROWS_AT_ONCE = 4096
_NO_GROUP: tuple[int | None, Iterator[ObjectRow]] = (None, iter(()))


def encode_result(
    result: VideoResult, config: TrackConfig, layout: str = "frames", content_key: str | None = None
) -> bytes:
    """The line of one video, newline included; see :func:`iter_line`."""
    return b"".join(iter_line(result, config, layout, content_key))


def iter_line(
    result: VideoResult,
    config: TrackConfig,
    layout: str = "frames",
    content_key: str | None = None,
    changed_ns: int | None = None,
) -> Iterator[bytes]:
    """The line of one video, piece by piece: a long one is never in memory beside its rows.

    Args:
        result: The video.
        config: The options of the run.
        layout: ``"frames"`` or ``"objects"``.
        content_key: See :func:`trackkit.video.fingerprint.content_key`.
        changed_ns: See :func:`trackkit.video.fingerprint.changed_at`.

    Raises:
        ResultsError: There are rows of frames that were not processed.
    """
    info, task = result.info, result.task
    # What resume needs comes first, so that it is read without the rest: see decode_head.
    head = {
        "schema_version": SCHEMA_VERSION,
        "config_hash": config.hash,
        "config": config.to_dict(),
        "source": {
            "path": task.source,
            "size_bytes": task.size_bytes,
            "mtime_ns": task.mtime_ns,
            "content_key": content_key,
            **({} if changed_ns is None else {"changed_ns": changed_ns}),
        },
        "video_path": task.video_path,
        "prompts": [asdict(prompt) for prompt in task.prompts],
        "text_prompt": config.text_prompt,
        "video_info": {
            "width": info.width,
            "height": info.height,
            "original_fps": info.fps,
            "process_fps": result.process_fps,
            "total_frames": info.num_frames,
            "duration_s": info.duration_s,
        },
    }
    run = {"output_video": task.output_video, **{name: getattr(result, name) for name in _RUN_FIELDS}}
    yield orjson.dumps(head, option=_FLAGS)[:-1]
    yield from _frames_layout(result) if layout == "frames" else _objects_layout(result)
    yield _RUN + orjson.dumps(run, option=_FLAGS) + b"}\n"


def object_rows(result: VideoResult, order: npt.NDArray[np.int64] | None = None) -> Iterator[ObjectRow]:
    """Every row of a result in this order, else in its own; few of them are in memory at a time."""
    order = np.arange(len(result.tracks)) if order is None else order
    size = [result.info.height, result.info.width]
    without_masks = bool(result.tracks["mask_rle"].isna().all())
    for start in range(0, len(order), ROWS_AT_ONCE):
        tracks = result.tracks.iloc[order[start : start + ROWS_AT_ONCE]]
        boxes = np.ascontiguousarray(tracks[["x", "y", "width", "height"]].to_numpy(np.float32))
        scores, pred_ious = tracks["score"].to_numpy(), tracks["pred_iou"].to_numpy()
        columns = (tracks[name].tolist() for name in ("frame_idx", "time_s", "obj_id", "label", "detected"))
        masks = [None] * len(tracks) if without_masks else tracks["mask_rle"].tolist()
        # Ground truth may say how much of an object can be seen; results do not know it.
        shares = tracks["visibility"].tolist() if "visibility" in tracks else [None] * len(tracks)
        for frame_idx, time_s, obj_id, label, detected, box, score, pred_iou, counts, share in zip(
            *columns, boxes, scores, pred_ious, masks, shares, strict=True
        ):
            entry: dict[str, Any] = {"bbox": box, "score": score, "detected": detected}
            if not np.isnan(pred_iou):
                entry["pred_iou"] = pred_iou
            if counts is not None:
                entry["segmentation"] = {"size": size, "counts": counts}
            if share is not None:
                entry["visibility"] = share
            yield ObjectRow(frame_idx, time_s, obj_id, label, entry)


def _frames_layout(result: VideoResult) -> Iterator[bytes]:
    order = np.argsort(result.tracks["frame_idx"].to_numpy(), kind="stable")
    groups = groupby(object_rows(result, order), key=attrgetter("frame_idx"))
    frame, rows = next(groups, _NO_GROUP)
    yield b',"frames":['
    for k, (idx, time_s) in enumerate(zip(*result.frames, strict=True)):
        objects = []
        if frame == idx:
            objects = [{"obj_id": row.obj_id, "label": row.label, **row.entry} for row in rows]
            frame, rows = next(groups, _NO_GROUP)
        yield _item(k, {"frame_idx": idx, "time_s": time_s, "objects": objects})
    if frame is not None:
        msg = f"{result.task.video_path}: rows of frame {frame}, which was not processed or is out of order"
        raise ResultsError(msg)
    yield b"]"


def _objects_layout(result: VideoResult) -> Iterator[bytes]:
    obj_ids = result.tracks["obj_id"].to_numpy()
    ids, first = np.unique(obj_ids, return_index=True)
    rank = np.empty(len(ids), np.int64)
    rank[np.argsort(first)] = np.arange(len(ids))  # in the order of appearance
    order = np.argsort(rank[np.searchsorted(ids, obj_ids)], kind="stable")
    best = result.tracks.groupby("obj_id")["score"].max()
    yield b',"objects":['
    for k, (obj_id, rows) in enumerate(groupby(object_rows(result, order), key=attrgetter("obj_id"))):
        for i, row in enumerate(rows):
            if i == 0:
                track = {"obj_id": obj_id, "label": row.label, "score": best[obj_id]}
                yield _item(k, track)[:-1] + b',"frames":['
            yield _item(i, {"frame_idx": row.frame_idx, "time_s": row.time_s, **row.entry})
        yield b"]}"
    processed = {"frame_idx": result.frames[0], "time_s": result.frames[1]}
    yield b'],"processed_frames":' + orjson.dumps(processed, option=_FLAGS)


def _item(number: int, value: dict[str, Any]) -> bytes:
    """Item ``number`` of a list, from 0."""
    return (b"," if number else b"") + orjson.dumps(value, option=_FLAGS)


def decode_head(line: bytes) -> dict[str, Any]:
    """The part of a line that says which video and which options it is of; quick however long the line is.

    Raises:
        ResultsError: The line does not begin as one of ours.
    """
    end = line.find(_HEAD_END)
    try:
        head = orjson.loads(line[:end] + b"}") if end > 0 else None
    except orjson.JSONDecodeError:
        head = None
    if not isinstance(head, dict) or head.get("schema_version") != SCHEMA_VERSION:
        msg = f"begins with {line[:60]!r}: no line of trackkit's schema version {SCHEMA_VERSION}"
        raise ResultsError(msg)
    return head


def decode_config(head: dict[str, Any]) -> TrackConfig:
    """The options that a line was written with, from its head.

    A line of a later version may have options that this one does not know. If its hash is that of the others,
    they are at defaults that change nothing, and are left out.

    Raises:
        ResultsError: There are no options, or one is wrong.
    """
    try:
        config = TrackConfig.from_dict(head["config"])
    except (ConfigError, KeyError) as error:
        msg = f"has no options that can be read ({error!r}): the file was edited, or is of another tool"
        raise ResultsError(msg) from None
    if not config.unknown:
        return config
    known = config.replace(unknown=())
    return known if known.hash == head.get("config_hash") else config


def decode_task(head: dict[str, Any]) -> VideoTask:
    """What a line is of, from its head."""
    file = {name: head["source"][name] for name in ("path", "size_bytes", "mtime_ns")}
    same: dict[str, Any] = {name: head[name] for name in ("video_path", "prompts") if name in head}
    return task_of({"source": file.pop("path"), **file, **same})


def decode_run(line: bytes) -> dict[str, Any]:
    """The end of a line, that says how the run went: seconds, worker, warnings; quick as :func:`decode_head`.

    Raises:
        ResultsError: The line does not end as one of ours.
    """
    start = line.rfind(_RUN)
    try:
        run = orjson.loads(b"{" + line[start + 1 :])["run"] if start > 0 else None
    except orjson.JSONDecodeError:
        run = None
    if not isinstance(run, dict):
        msg = f"ends with {line[-60:]!r}: no whole line of trackkit's schema version {SCHEMA_VERSION}"
        raise ResultsError(msg)
    return run


def decode_line(line: bytes) -> tuple[VideoResult, TrackConfig]:
    """The inverse of :func:`encode_result`, for either layout.

    Raises:
        ResultsError: The line is not whole, or was not written by this version.
    """
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        msg = f"not a whole JSON line ({error}): the file was cut or edited"
        raise ResultsError(msg) from None
    if not isinstance(data, dict) or data.get("schema_version") != SCHEMA_VERSION:
        version = data.get("schema_version") if isinstance(data, dict) else None
        msg = f"schema_version is {version!r}: this trackkit reads version {SCHEMA_VERSION}"
        raise ResultsError(msg)
    try:
        return _decode(data)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        msg = f"a field is missing or wrong ({error!r}): the file was edited, or is of another tool"
        raise ResultsError(msg) from None


def _decode(data: dict[str, Any]) -> tuple[VideoResult, TrackConfig]:
    config = decode_config(data)
    if "frames" in data:
        rows = [
            (frame["frame_idx"], frame["time_s"], entry["obj_id"], entry["label"], entry)
            for frame in data["frames"]
            for entry in frame["objects"]
        ]
        processed = [frame["frame_idx"] for frame in data["frames"]], [f["time_s"] for f in data["frames"]]
    else:
        rows = [
            (entry["frame_idx"], entry["time_s"], track["obj_id"], track["label"], entry)
            for track in data["objects"]
            for entry in track["frames"]
        ]
        processed = data["processed_frames"]["frame_idx"], data["processed_frames"]["time_s"]
    info, run = data["video_info"], dict(data["run"])
    task = replace(decode_task(data), output_video=run.pop("output_video"))
    run["warnings"] = tuple(run["warnings"])
    result = VideoResult(
        task=task,
        info=VideoInfo(
            info["width"], info["height"], info["original_fps"], info["total_frames"], info["duration_s"]
        ),
        tracks=_tracks(data, config.classes, rows),
        frames=(_frame_indices(processed[0]), np.array(processed[1], np.float64)),
        **run,
    )
    return result, config


def _tracks(data: dict[str, Any], classes: tuple[str, ...], rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    if not rows:
        return empty_frame(TRACK_DTYPES)
    frame_idx, time_s, obj_id, label, entries = zip(*rows, strict=True)
    if not all(isinstance(each, str) for each in set(label)):
        msg = f"a label is {next(each for each in label if not isinstance(each, str))!r}: expected a text"
        raise TypeError(msg)
    boxes = np.array([entry["bbox"] for entry in entries], np.float32)
    areas: Any = np.round(boxes[:, 2] * boxes[:, 3])
    counts: Any = [None] * len(rows)
    if "segmentation" in entries[0]:
        counts = [entry["segmentation"]["counts"] for entry in entries]
        areas = rle_areas(counts, data["video_info"]["height"], data["video_info"]["width"])
    columns = {
        "video_path": pd.Categorical([data["video_path"]] * len(rows)),
        # Ground truth may have labels that are none of the classes.
        "label": pd.Categorical(label, categories=pd.Index(dict.fromkeys((*classes, *label)))),
        "frame_idx": _frame_indices(frame_idx),
        "time_s": time_s,
        "obj_id": whole_numbers(obj_id, "obj_id", -INT32_MAX - 1, INT32_MAX),
        "score": [entry["score"] for entry in entries],
        **dict(zip(("x", "y", "width", "height"), boxes.T, strict=True)),
        "area_px": areas,
        "detected": [entry["detected"] for entry in entries],
        "pred_iou": [entry.get("pred_iou", np.nan) for entry in entries],
        "mask_rle": counts,
    }
    if any("visibility" in entry for entry in entries):
        columns["visibility"] = [float(entry.get("visibility", 1.0)) for entry in entries]
    tracks = pd.DataFrame(columns).astype(TRACK_DTYPES)
    return tracks if "frames" in data else tracks.sort_values(["frame_idx", "obj_id"], ignore_index=True)


def _frame_indices(values: Sequence[Any]) -> npt.NDArray[np.int32]:
    return whole_numbers(values, "frame_idx", 0, INT32_MAX).astype(np.int32)


def encode_failure(failure: VideoFailure, config: TrackConfig) -> bytes:
    """The line of one failed video, newline included."""
    head = {"schema_version": SCHEMA_VERSION, "config_hash": config.hash}
    return orjson.dumps(head | asdict(failure), option=orjson.OPT_APPEND_NEWLINE)


_FAILURE_HEAD = ("schema_version", "config_hash")


def decode_failure(line: bytes) -> VideoFailure:
    """The inverse of :func:`encode_failure`.

    Raises:
        ResultsError: The line is not whole.
    """
    try:
        data = orjson.loads(line)
        return failure_of_values({k: v for k, v in data.items() if k not in _FAILURE_HEAD})
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        msg = f"not a line of a failures file ({error!r})"
        raise ResultsError(msg) from None
