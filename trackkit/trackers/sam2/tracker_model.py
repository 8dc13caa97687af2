"""SAM 2 as a tracker: loaded once, started for each video."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from trackkit.core.frames import VideoInfo
from trackkit.trackers.by_mask.tracker import MaskTracker
from trackkit.trackers.sam2.checkpoint import load_sam2
from trackkit.trackers.sam2.engine import Sam2Engine
from trackkit.trackers.sam2.stages import Sam2Stages
from trackkit.weights.precision import compute_dtype

if TYPE_CHECKING:
    from trackkit.config import TrackConfig
    from trackkit.core.clock import StageClock
    from trackkit.core.prompts import Prompt


#: Objects that go through the model at a time where memory is low.
FEW_OBJECTS = 4


class Sam2TrackerModel:
    """A loaded SAM 2 that starts one :class:`MaskTracker` per video.

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
        dtype = compute_dtype(config.dtype, device)
        autocast = None if dtype == torch.float32 else dtype
        model = load_sam2(config.sam_type, config.model_path, device)
        return cls(Sam2Stages(model, dtype=autocast, compile=config.compile), config)

    def start(
        self,
        video: VideoInfo,
        clock: StageClock,
        prompts: Sequence[Prompt] = (),
        *,
        low_memory: bool = False,
    ) -> MaskTracker:
        """Begin a new video; see :class:`trackkit.trackers.TrackerModel`.

        With ``low_memory``, ``FEW_OBJECTS`` go through the model at a time, and what is remembered of them is
        kept in the host's memory.
        """
        sparing: dict[str, Any] = {"max_batch": FEW_OBJECTS, "bank_device": "cpu"} if low_memory else {}
        make_engine = partial(
            Sam2Engine,
            self._stages,
            (video.height, video.width),
            memory=self._config.memory,
            min_region=self._config.min_region,
            resizer="device" if self._stages.device.type == "cuda" else "pil",
            **sparing,
        )
        return MaskTracker(make_engine, self._config, clock, prompts, low_memory=low_memory)
