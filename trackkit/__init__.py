"""Track what a text prompt names through many videos, on every GPU you have.

Start with :func:`track` for one run, :class:`Session` for several, :func:`read_jsonl` for results on disk.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trackkit.config import PRESETS, TrackConfig
from trackkit.core.errors import (
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
from trackkit.core.frames import Detections, Frame, TrackedObjects, VideoInfo
from trackkit.core.prompts import Prompt
from trackkit.core.tasks import Progress, VideoFailure, VideoTask
from trackkit.core.threads import spin_briefly
from trackkit.detectors import register_detector
from trackkit.evaluation.evaluate import Evaluation, evaluate
from trackkit.formats.export import Exported
from trackkit.notebook.annotation import Annotation, annotate, edit
from trackkit.results.jsonl import iter_jsonl
from trackkit.results.video_result import VideoResult
from trackkit.run.job import Job
from trackkit.run.session import Session, preview, track
from trackkit.trackers import register_tracker
from trackkit.tracking.track_video import track_video
from trackkit.tracking_results import TrackingResults, export_results, read_jsonl

if TYPE_CHECKING:
    from trackkit.notebook.plots import plot_stages, plot_timeline, plot_trajectories
    from trackkit.notebook.show import contact_sheet, show_frame, show_video

__version__ = "0.1.0"

spin_briefly()  # before anything imports torch

__all__ = [
    "PRESETS",
    "Annotation",
    "CheckpointError",
    "ClusterError",
    "ConfigError",
    "Detections",
    "Evaluation",
    "Exported",
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
    "contact_sheet",
    "edit",
    "evaluate",
    "export_results",
    "iter_jsonl",
    "plot_stages",
    "plot_timeline",
    "plot_trajectories",
    "preview",
    "read_jsonl",
    "register_detector",
    "register_tracker",
    "show_frame",
    "show_video",
    "track",
    "track_video",
]

# What only a notebook needs is imported on first use.
_LAZY = {
    **dict.fromkeys(("contact_sheet", "show_frame", "show_video"), "trackkit.notebook.show"),
    **dict.fromkeys(("plot_stages", "plot_timeline", "plot_trajectories"), "trackkit.notebook.plots"),
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
