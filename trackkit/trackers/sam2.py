"""SAM 2 as a tracker: loaded once, started for each video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from trackkit.precision import compute_dtype
from trackkit.structures import VideoInfo
from trackkit.trackers.sam2_engine import Sam2Stages
from trackkit.trackers.sam2_tracker import Sam2Tracker

if TYPE_CHECKING:
    from trackkit import object_prompts
    from trackkit.clock import StageClock
    from trackkit.config import TrackConfig


class Sam2TrackerModel:
    """A loaded SAM 2 that starts one :class:`Sam2Tracker` per video.

    Args:
        stages: The model, shared by all videos.
        config: ``memory``, ``reanchor``, ``min_region``, ``min_pred_iou``, ``patience_s``, ``max_objects``,
            ``scene_cuts``, ``max_frames`` and ``batch_size`` are those of the tracker.
    """

    def __init__(self, stages: Sam2Stages, config: TrackConfig) -> None:
        self._stages = stages
        self._config = config

    @classmethod
    def from_config(cls, config: TrackConfig, device: str) -> Sam2TrackerModel:
        """Load the model that ``config`` names.

        Raises:
            CheckpointError: Its weights cannot be loaded.
        """
        from trackkit.checkpoints import load_sam2

        dtype = compute_dtype(config.dtype, device)
        autocast = None if dtype == torch.float32 else dtype
        return cls(Sam2Stages(load_sam2(config, device), dtype=autocast, compile=config.compile), config)

    def start(
        self,
        video: VideoInfo,
        clock: StageClock,
        prompts: Sequence[object_prompts.Prompt] = (),
        *,
        low_memory: bool = False,
    ) -> Sam2Tracker:
        """Begin a new video; see :class:`trackkit.trackers.TrackerModel`."""
        return Sam2Tracker(self._stages, self._config, video, clock, prompts, low_memory=low_memory)
