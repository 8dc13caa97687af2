"""Objects followed by SAM 2: the detector says what is there, the engine where it is in every frame.

On a frame where the detector ran, all objects are propagated first; then its detections are matched to them.
What is left over is born there, and followed backwards to where it appeared since the detector ran last. The
frames of the last moments are held back, so that what proves wrong later never shows: see :class:`Sam2Tracker`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import torch

from trackkit.association import Track, Twins, match, newcomers, same_class, weaker
from trackkit.geometry import box_areas, box_iou, clip_boxes
from trackkit.structures import Detections, Frame, TrackedObjects, VideoInfo
from trackkit.trackers.backfill import fill_backwards
from trackkit.trackers.features import FeatureSource
from trackkit.trackers.outlines import Outline, boxes_of, outline_iou, outlines_of, visible_outlines
from trackkit.trackers.sam2_engine import Propagation, Sam2Engine, Sam2Stages
from trackkit.trackers.sam2_prompts import BoxPrompt, MaskPrompt, Prompt
from trackkit.trackers.scene_cuts import FLASH_FRAMES, SceneCuts
from trackkit.trackers.window import HeldFrame, Row, Window

if TYPE_CHECKING:
    from trackkit.clock import StageClock
    from trackkit.config import TrackConfig

#: Frames whose image features are kept for filling in; those of older ones are encoded again. With a model of
#: 1024 px 16 of them take 256 MiB, half of it in bf16.
KEPT_FEATURES = 16
