"""What ground truth is read into, whatever its format."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from trackkit.core.tasks import VideoTask
from trackkit.video.names import safe_stem, unique_stem

ROW_DTYPES: dict[str, str] = {
    "frame_idx": "int32",  # 0-based, in the source video
    "obj_id": "int64",
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


TruthRow: TypeAlias = dict[str, Any]


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


def truth_table(rows: list[TruthRow] | pd.DataFrame) -> pd.DataFrame:
    """Rows with the columns and types of ``ROW_DTYPES``; columns that a format lacks get their defaults."""
    table = pd.DataFrame(rows)
    for name in ROW_DTYPES:
        if name not in table:
            table[name] = _DEFAULTS.get(name)
    return table[list(ROW_DTYPES)].astype(ROW_DTYPES)


def frame_numbers(names: list[str]) -> npt.NDArray[np.int32]:
    """Frame numbers: of the images' names where every one ends in its own, else their places."""
    # The fraction of a decimal number, as in 1623.25.png, is no number of a frame.
    found = [re.search(r"^(?!\d+\.\d+$).*?(\d+)$", Path(name).stem) for name in names]
    numbers = {int(match[1]) for match in found if match}
    if len(numbers) == len(names) and max(numbers, default=0) < 2**31:
        return np.array([int(match[1]) for match in found if match], np.int32)
    return np.arange(len(names), dtype=np.int32)
