"""Track what a text prompt names through many videos, on every GPU you have.

Start with :func:`track` for one run, :class:`Session` for several, :func:`read_jsonl` for results on disk.
"""

from trackkit.annotation import Annotation, annotate, edit
from trackkit.config import PRESETS, TrackConfig
from trackkit.errors import (
    CheckpointError,
    ClusterError,
    ConfigError,
    PromptError,
    ResultsError,
    StorageError,
    TrackkitError,
    VideoDecodeError,
    VideoError,
    VideoOpenError,
    VideoTimeout,
    VideoWriteError,
)
from trackkit.evaluation import Evaluation, evaluate
from trackkit.job import Job
from trackkit.jsonl import iter_jsonl, read_jsonl
from trackkit.object_prompts import Prompt
from trackkit.results import TrackingResults
from trackkit.session import Session, preview, track
from trackkit.structures import (
    Detections,
    Frame,
    Progress,
    TrackedObjects,
    VideoFailure,
    VideoInfo,
    VideoResult,
    VideoTask,
)
from trackkit.tracking import track_video

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "Annotation",
    "CheckpointError",
    "ClusterError",
    "ConfigError",
    "Detections",
    "Evaluation",
    "Frame",
    "Job",
    "Progress",
    "Prompt",
    "PromptError",
    "ResultsError",
    "Session",
    "StorageError",
    "TrackConfig",
    "TrackedObjects",
    "TrackingResults",
    "TrackkitError",
    "VideoDecodeError",
    "VideoError",
    "VideoFailure",
    "VideoInfo",
    "VideoOpenError",
    "VideoResult",
    "VideoTask",
    "VideoTimeout",
    "VideoWriteError",
    "annotate",
    "edit",
    "evaluate",
    "iter_jsonl",
    "preview",
    "read_jsonl",
    "track",
    "track_video",
]
