"""The data that flows from video to table.

Coordinates everywhere: pixels of the source video, x to the right, y down. Boxes are ``xyxy`` with
``x2, y2`` exclusive; ``[x, y, w, h]`` appears only in tables and files. Images are RGB ``uint8 (H, W, 3)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trackkit.core.arrays import Boxes, Image, Masks


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What is known of a video.

    Attributes:
        width: Pixels, after rotation is applied (as a player shows it).
        height: Pixels, after rotation is applied.
        fps: Mean frame rate of the source, frames per second, pauses left out.
        num_frames: Number of source frames; the container's claim until the video is read to its end.
        duration_s: Seconds; the container's claim until the video is read to its end.
    """

    width: int
    height: int
    fps: float
    num_frames: int
    duration_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One decoded frame.

    Attributes:
        image: RGB ``uint8 (H, W, 3)``, C-contiguous.
        idx: 0-based index in the source video (not in the processed frames).
        time_s: Presentation time in seconds, 0 at the first frame of the video.
    """

    image: Image
    idx: int
    time_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What a detector found in one frame.

    Attributes:
        xyxy: ``float32 (N, 4)``.
        scores: ``float32 (N,)`` in 0..1.
        labels: ``N`` strings, each exactly one of the classes of the prompt.
        masks: ``bool (N, H, W)``, or None where the detector gives boxes only.
    """

    xyxy: Boxes
    scores: npt.NDArray[np.float32]
    labels: tuple[str, ...]
    masks: Masks | None = None

    def __post_init__(self) -> None:
        n = len(self.labels)
        if self.xyxy.shape != (n, 4) or self.scores.shape != (n,):
            msg = f"{n} labels, xyxy {self.xyxy.shape}, scores {self.scores.shape}: expected (N, 4), (N,)"
            raise ValueError(msg)
        if self.masks is not None and (self.masks.ndim != 3 or len(self.masks) != n):
            msg = f"{n} labels, but masks {self.masks.shape}: expected (N, H, W)"
            raise ValueError(msg)

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def empty(cls) -> Detections:
        """No detections."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), ())


@dataclass(frozen=True, slots=True, eq=False)
class TrackedObjects:
    """The visible objects of one frame, settled: nothing will revise them any more.

    Attributes:
        frame: The frame they are in.
        obj_ids: ``int32 (N,)``, unique in the video, never reused.
        xyxy: ``float32 (N, 4)``.
        scores: ``float32 (N,)``, the score of the last matched detection.
        labels: ``N`` strings, each one of the classes of the prompt.
        detected: ``bool (N,)``, whether a detection was matched in this very frame.
        areas: ``int32 (N,)``, pixels of the mask; of the box where there is no mask.
        rles: ``N`` compressed COCO RLE counts of full-frame masks, or None where the tracker has boxes only.
        pred_ious: ``float32 (N,)``, the IoU that the model expects of its mask and the object, 0 to 1; None
            where the tracker expects nothing.
    """

    frame: Frame
    obj_ids: npt.NDArray[np.int32]
    xyxy: Boxes
    scores: npt.NDArray[np.float32]
    labels: tuple[str, ...]
    detected: npt.NDArray[np.bool_]
    areas: npt.NDArray[np.int32]
    rles: tuple[bytes, ...] | None = None
    pred_ious: npt.NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.labels)
