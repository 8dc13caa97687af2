"""DAVIS masks (Pont-Tuset et al., arXiv 1704.00675), written and read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from trackkit.core.errors import ConfigError, ResultsError
from trackkit.core.masks import boxes_of_masks, decode_rle_crop, encode_masks
from trackkit.core.words import plural
from trackkit.formats.base import Video
from trackkit.formats.truth import TruthRow, VideoTruth, frame_numbers, truth_table
from trackkit.video.names import natural_sorted

VOID = 255


def write_davis(place: Path, videos: Iterable[Video], classes: tuple[str, ...]) -> Iterable[str]:
    """DAVIS palette PNG: ``<video>/<frame_idx>.png``, the pixel value is the object's id."""
    place.mkdir()
    notes = []
    palette = _palette()
    for video in videos:
        tracks, info = video.result.tracks, video.result.info
        values = _davis_values(video)
        if any(obj_id != value for obj_id, value in values.items()):
            pairs = ", ".join(f"{obj_id} is {value}" for obj_id, value in values.items())
            notes.append(
                f"{video.name}: pixels hold ids from 1 to {VOID - 1}, objects have new ones: {pairs}"
            )
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
            notes.append(
                f"{video.name}: objects overlap in {plural(cut, 'frame')}, the smaller has the pixels{lost}"
            )
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
    fit = all(0 < obj_id < VOID for obj_id in ids)
    return {obj_id: obj_id if fit else k for k, obj_id in enumerate(ids, start=1)}


def _palette() -> bytes:
    """The colours of PASCAL VOC and DAVIS: bits 0, 3, 6 of the value are the top ones of red, and so on."""
    bits = np.arange(256)[:, None] >> np.arange(24)[None] & 1
    weights: npt.NDArray[np.int64] = 128 >> np.arange(8)
    rgb = np.stack([(bits[:, channel::3] * weights).sum(axis=1) for channel in range(3)], axis=1)
    return rgb.astype(np.uint8).tobytes()


def mask_folders(path: Path) -> list[Path]:
    """The folder itself if it holds PNG images, else those in it that do."""
    if any(path.glob("*.png")):
        return [path]
    return sorted(folder for folder in path.iterdir() if folder.is_dir() and any(folder.glob("*.png")))


def read_davis(folder: Path) -> VideoTruth:
    """The masks of one video.

    Raises:
        ResultsError: An image cannot be read, or is of another size than the others.
    """
    files = [Path(name) for name in natural_sorted(map(str, folder.glob("*.png")))]
    numbers = frame_numbers([file.name for file in files])
    order = np.argsort(numbers)
    rows: list[TruthRow] = []
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
    table = truth_table(rows)
    void = table["obj_id"] == VOID
    if gray and void.all():  # DAVIS 2016: black and white
        table["obj_id"], void = np.int64(1), ~void
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


def _mask_rows(frame: int, ids: npt.NDArray[np.intp], masks: npt.NDArray[np.bool_]) -> Iterator[TruthRow]:
    boxes = boxes_of_masks(masks)
    for obj_id, box, counts in zip(ids, boxes, encode_masks(masks, boxes), strict=True):
        x1, y1, x2, y2 = box
        place = {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1}
        yield {"frame_idx": frame, "obj_id": obj_id, **place, "mask_rle": counts.decode()}
