"""A short clip of two shapes, and the options that find them."""

from __future__ import annotations

from pathlib import Path

import trackkit as tk
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene

CONFIG = tk.TrackConfig.from_preset("color", "red. blue.")


def write_shapes(folder: Path) -> Path:
    """Thirty frames."""
    scene = make_scene(3, num_frames=30, num_objects=2, colors=("red", "blue"), entries_and_exits=False)
    return write_video(scene, folder / "clip.mp4")
