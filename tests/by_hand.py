"""A clip of which the truth is known, and objects pointed out in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

import trackkit as tk
from trackkit.core.masks import decode_rle
from trackkit.core.prompts import Prompt
from trackkit.synthetic.render import GroundTruthFrame
from trackkit.synthetic.scenes import make_natural_scene
from trackkit.tracking.models import Models

PROMPT = "cyan star. cyan square. green triangle"
CONFIG = tk.TrackConfig.from_preset("mini", PROMPT, detector="none")
SCENE = make_natural_scene(0, num_frames=16)  # a cyan star, a cyan square and a green triangle
SIZE = (SCENE.height, SCENE.width)


def track_by_hand(clip: Path, truth: list[GroundTruthFrame], models: Models) -> tk.VideoResult:
    """The square by its box from frame 0 on, the triangle by a click from frame 4 on."""
    y, x = np.argwhere(truth[4].masks[2]).mean(0)
    prompts = [
        Prompt(4, 3, "green triangle", points=[(x, y)]),
        Prompt(0, 7, "cyan square", box=truth[0].xyxy[1]),
    ]
    return tk.track_video(clip, CONFIG, prompts=prompts, models=models)


def overlap(
    tracks: pd.DataFrame, obj_id: int, truth: list[GroundTruthFrame], k: int, first: int = 0
) -> float:
    """Mean IoU of an object with the ``k``-th of the scene."""
    of = tracks[tracks["obj_id"] == obj_id].set_index("frame_idx")["mask_rle"]
    found = [decode_rle(of[t.idx], *SIZE) if t.idx in of.index else np.zeros(SIZE, bool) for t in truth]
    pairs = [(a, t.masks[k]) for a, t in zip(found, truth, strict=True) if t.idx >= first]
    return float(np.mean([(a & b).sum() / (a | b).sum() for a, b in pairs]))
