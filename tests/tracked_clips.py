"""Clips that were tracked, and lie where they were."""

from __future__ import annotations

from pathlib import Path

import trackkit as tk
from trackkit.config import TrackConfig
from trackkit.core.tasks import VideoFailure, VideoTask
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene
from trackkit.tracking_results import TrackingResults

EVIL = "<img src=x onerror=alert('x')>.mp4"


def track_two_clips(folder: Path) -> TrackingResults:
    """Two clips, one with a name that is HTML, at half the source's rate; and one that is missing."""
    scene = make_scene(3, width=200, height=120, num_frames=20)
    paths = [write_video(scene, folder / name) for name in ("plain.mp4", EVIL)]
    colors = sorted({obj.color for obj in scene.objects})
    config = TrackConfig.from_preset("color", ". ".join(colors), fps=scene.fps / 2)
    gone = VideoFailure(VideoTask("gone.mp4", "/gone.mp4"), "VideoOpenError", "<b>no</b> such file")
    return TrackingResults([*(tk.track_video(path, config) for path in paths), gone], config)
