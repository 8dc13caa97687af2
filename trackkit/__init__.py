"""Track what a text prompt names through many videos, on every GPU you have.

Start with :func:`track` for one run, :class:`Session` for several, :func:`read_jsonl` for results on disk.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
from trackkit.export import Exported, export_results
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

if TYPE_CHECKING:
    from trackkit.display import contact_sheet, show_frame, show_video
    from trackkit.plots import plot_stages, plot_timeline, plot_trajectories

__version__ = "0.1.0"

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
    "show_frame",
    "show_video",
    "track",
    "track_video",
]

# What only a notebook needs is imported on first use.
_LAZY = {
    **dict.fromkeys(("contact_sheet", "show_frame", "show_video"), "trackkit.display"),
    **dict.fromkeys(("plot_stages", "plot_timeline", "plot_trajectories"), "trackkit.plots"),
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
