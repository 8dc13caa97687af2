"""The data that flows from video to table.

Coordinates everywhere: pixels of the source video, x to the right, y down. Boxes are ``xyxy`` with
``x2, y2`` exclusive; ``[x, y, w, h]`` appears only in tables and files. Images are RGB ``uint8 (H, W, 3)``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from trackkit.object_prompts import Prompt

Image: TypeAlias = npt.NDArray[np.uint8]
Masks: TypeAlias = npt.NDArray[np.bool_]
Boxes: TypeAlias = npt.NDArray[np.float32]
TaskKey: TypeAlias = "tuple[str, int, int, tuple[Prompt, ...]]"


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What is known of a video.

    Attributes:
        width: Pixels, after rotation is applied (as a player shows it).
        height: Pixels, after rotation is applied.
        fps: Mean frame rate of the source, frames per second.
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


@dataclass(frozen=True, slots=True)
class VideoTask:
    """One video to be tracked.

    Attributes:
        video_path: The path as the user wrote it; the key of the video in all results.
        source: Absolute path that is opened.
        output_video: Absolute path of the annotated video, or None.
        size_bytes: Size of the source when the run began, the estimate of the work.
        mtime_ns: Modification time of the source when the run began.
        prompts: Objects that the user pointed out, in the order of their frames.
    """

    video_path: str
    source: str
    output_video: str | None = None
    size_bytes: int = 0
    mtime_ns: int = 0
    prompts: tuple[Prompt, ...] = ()

    @property
    def file(self) -> tuple[str, int, int]:
        """Tells whether a result is of this very file, whatever was pointed out in it."""
        return self.source, self.size_bytes, self.mtime_ns

    @property
    def key(self) -> TaskKey:
        """Tells whether a result is of this very file, and of these prompts."""
        return *self.file, self.prompts


@dataclass(frozen=True, slots=True, eq=False)
class VideoResult:
    """One tracked video.

    Attributes:
        task: What was asked for.
        info: Width, height, rate and the true number of frames read.
        tracks: One row per visible object and processed frame, the columns of ``results.TRACK_DTYPES``.
        frames: ``(idx, time_s)`` of every processed frame, those without objects included.
        process_fps: Rate at which frames were processed.
        seconds: Wall seconds per stage: load, decode, detect, track, encode, write, total.
        peak_rss_mb: Peak resident memory of the worker process, MiB.
        peak_gpu_mb: Peak GPU memory allocated, MiB; None on a CPU.
        worker: Name of the worker; ``"local"`` without a cluster.
        gpu: GPU that the worker sees, None on a CPU.
        truncated: Why reading broke off before the end, None for a whole video.
        warnings: What the user should know: fallbacks, limits that were reached.
    """

    task: VideoTask
    info: VideoInfo
    tracks: pd.DataFrame
    frames: tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]
    process_fps: float
    seconds: dict[str, float]
    peak_rss_mb: float
    peak_gpu_mb: float | None = None
    worker: str = "local"
    gpu: str | None = None
    truncated: str | None = None
    warnings: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        from trackkit.display import video_html  # needed in notebooks only

        return video_html(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles masks as Arrow has them: pandas would copy them, and those of a long video are large."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        place = self.tracks.columns.get_loc("mask_rle")
        masks: Any = self.tracks["mask_rle"].array
        values["tracks"] = self.tracks.drop(columns="mask_rle")
        return _result_of, (type(self), values, place, masks.__arrow_array__())


def _result_of(kind: type[VideoResult], values: dict[str, Any], place: int, masks: Any) -> VideoResult:
    values["tracks"].insert(place, "mask_rle", pd.array(masks, dtype="str"))
    return kind(**values)


@dataclass(frozen=True, slots=True)
class VideoFailure:
    """One video that could not be tracked.

    Attributes:
        task: What was asked for.
        error_type: Name of the exception class, e.g. ``"VideoOpenError"``.
        message: What the exception said.
        traceback: Where it happened; empty where the process died.
        attempts: How often it was tried.
        worker: Name of the worker, None where none was reached.
        gpu: GPU of that worker.
        seconds: Wall seconds until it failed.
    """

    task: VideoTask
    error_type: str
    message: str
    traceback: str = ""
    attempts: int = 1
    worker: str | None = None
    gpu: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one running video is; sent by the workers a few times a second.

    Attributes:
        video_path: Key of the video.
        worker: Name of the worker.
        frames: Processed frames so far.
        total: Expected processed frames; 0 where the container does not say.
        objects: Objects seen so far.
        seconds: Wall seconds per stage so far.
        gpu: GPU of the worker.
        gpu_mb: Peak GPU memory allocated so far, MiB; None on a CPU.
        notes: What the user should know while the video runs.
        thumbnail: Now and then, the newest annotated frame: a small JPEG.
        latest: The newest settled frame; None where it comes from another process.
    """

    video_path: str
    worker: str
    frames: int
    total: int
    objects: int
    seconds: dict[str, float] = field(default_factory=dict)
    gpu: str | None = None
    gpu_mb: float | None = None
    notes: tuple[str, ...] = ()
    thumbnail: bytes | None = field(default=None, repr=False)
    latest: TrackedObjects | None = field(default=None, repr=False, compare=False)
