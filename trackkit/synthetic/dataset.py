"""Synthetic videos on disk, with their ground truth."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from trackkit.config import TrackConfig
from trackkit.core.errors import ConfigError
from trackkit.core.files import atomic_write
from trackkit.core.frames import VideoInfo
from trackkit.core.masks import encode_masks
from trackkit.core.tasks import VideoTask
from trackkit.core.whole_numbers import INT32_MAX, whole_numbers
from trackkit.results.columns import TRACK_DTYPES
from trackkit.results.jsonl_line import encode_result
from trackkit.results.video_result import VideoResult
from trackkit.synthetic.render import GroundTruthFrame, iter_frames
from trackkit.synthetic.scenes import Scene


def write_video(scene: Scene, path: str | Path) -> Path:
    """Write the scene as an MP4.

    Raises:
        VideoWriteError: The file cannot be written.
    """
    for _ in _write_frames(scene, Path(path)):
        pass
    return Path(path)


def _write_frames(scene: Scene, path: Path) -> Iterator[GroundTruthFrame]:
    """Write the scene frame by frame, and tell what is in each."""
    from trackkit.video.writer import VideoWriter

    with VideoWriter(path, width=scene.width, height=scene.height, fps=scene.fps, steady=True) as writer:
        for image, truth in iter_frames(scene):
            writer.write(image)
            yield truth


def write_dataset(scenes: Mapping[str, Scene], folder: str | Path) -> Path:
    """Write scenes as ``<folder>/<name>.mp4``, and what is in them for ``trackkit eval``.

    Args:
        scenes: By name.
        folder: Made where it is absent.

    Returns:
        The file of the ground truth, ``<folder>/ground_truth.jsonl``.

    Raises:
        VideoWriteError: A file cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    videos: dict[str | os.PathLike[str], tuple[VideoInfo, pd.DataFrame]] = {}
    for name, scene in scenes.items():
        path = folder / f"{name}.mp4"
        length = scene.num_frames / scene.fps
        info = VideoInfo(scene.width, scene.height, scene.fps, scene.num_frames, length)
        videos[str(path)] = info, _rows_of_scene(scene, _write_frames(scene, path))
    return write_ground_truth(folder / "ground_truth.jsonl", videos)


def ground_truth(scene: Scene) -> pd.DataFrame:
    """One row per visible object and frame, with columns as in ``results.tracks``.

    The columns: label, frame_idx, time_s, obj_id, x, y, width, height, area_px, visibility, mask_rle.
    """
    return _rows_of_scene(scene, (truth for _, truth in iter_frames(scene)))


def _rows_of_scene(scene: Scene, frames: Iterable[GroundTruthFrame]) -> pd.DataFrame:
    tables = []
    for truth in frames:
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
                    "visibility": truth.visibility,
                    "mask_rle": [rle.decode() for rle in encode_masks(truth.masks, truth.xyxy)],
                }
            )
        )
    return pd.concat(tables, ignore_index=True).astype({"label": "category", "mask_rle": "str"})


_CERTAIN = {"score": 1.0, "detected": True, "pred_iou": np.nan}  # what predictions have beyond that


def write_ground_truth(
    path: str | os.PathLike[str],
    videos: Mapping[str | os.PathLike[str], tuple[VideoInfo, pd.DataFrame]],
) -> Path:
    """Write ground truth as trackkit JSONL, one line per video; the file has its name when it is whole.

    Args:
        path: File to write; one that is there is replaced.
        videos: By path of the video what is known of it, and its rows: columns of :func:`ground_truth`,
            with ``visibility`` or without. All ``num_frames`` frames count as annotated.

    Raises:
        ConfigError: A label cannot be a class of a prompt, or an id no number of 32 bits.
    """
    path = Path(path)
    labels = sorted({str(label) for _, rows in videos.values() for label in rows["label"].unique()})
    config = TrackConfig(". ".join(labels) or "object")
    if labels and config.classes != tuple(labels):
        msg = (
            f"labels {labels} read as classes {config.classes}: expected names without . , ; | in one "
            "spelling, not in brackets or quotes"
        )
        raise ConfigError(msg)
    lines = []
    for video_path, (info, rows) in videos.items():
        name, frames = os.fspath(video_path), np.arange(info.num_frames, dtype=np.int32)
        try:
            whole_numbers(rows["frame_idx"].tolist(), "frame_idx", 0, INT32_MAX)
            whole_numbers(rows["obj_id"].tolist(), "obj_id", -INT32_MAX - 1, INT32_MAX)
        except ValueError as error:
            msg = f"{name}: {error}"
            raise ConfigError(msg) from None
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
    atomic_write(path, b"".join(lines))
    return path
