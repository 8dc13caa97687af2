"""What a run does to every video: one frozen dataclass, checked when it is made."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

from trackkit.core.errors import ConfigError
from trackkit.core.text_prompt import parse_prompt
from trackkit.weights.releases import DEFAULT_DETECTOR, detector_name, sam2_release

DTYPES = ("auto", "fp32", "bf16", "fp16")
MEMORIES = ("stock", "samurai")

# A tracker that has nothing but detections needs them on every frame.
DETECTION_FREQUENCY = 10
DETECTION_FREQUENCIES = {"bytetrack": 1}

# A preset is a named set of options; options given beside it win.
PRESETS: dict[str, dict[str, Any]] = {
    "color": {"detector": "color", "tracker": "bytetrack"},
    # The real pipeline on models that ship with trackkit: they know coloured shapes, and little else.
    "mini": {
        "detector": "grounding-dino",
        "detector_model": "mini",
        "tracker": "sam2",
        "sam_type": "mini",
        "box_threshold": 0.26,  # few weights are seldom sure
        "text_threshold": 0.2,
        "reanchor": True,
        "min_region": 1.0,
        "min_pred_iou": 0.2,
    },
}


@dataclass(frozen=True)
class TrackConfig:
    """Everything that decides the result for a video. Where it runs is the Session's business.

    Args:
        text_prompt: Classes to find, separated by ``.``, ``,`` or ``;``: ``"person. red cup."``.
        detector: Name of a registered detector.
        tracker: Name of a registered tracker.
        detector_model: Hub name or local folder of the detector's weights; ``mini`` ships with trackkit.
        sam_type: SAM 2 model, ``sam2.1_hiera_{tiny,small,base_plus,large}`` or the 2.0 names; ``mini`` ships
            with trackkit.
        model_path: SAM 2 checkpoint file; None looks in ``models/sam2/checkpoints`` and the hub's cache.
        detection_frequency: The detector runs on every Nth processed frame; None is 1 for a tracker that only
            joins detections (``bytetrack``), 10 for one that propagates masks.
        max_frames: Frames kept in memory per video, a window and not a cut.
        fps: Rate at which frames are processed, by time and never above the source; None takes every frame.
        box_threshold: Lowest score of a detection.
        text_threshold: Lowest score of a word of the prompt within a detection.
        dtype: ``auto`` (bf16 on GPUs that have it, else fp32), ``fp32``, ``bf16`` or ``fp16``.
        batch_size: Frames that the detector and the image encoder take at once.
        memory: What SAM 2 remembers of an object: ``stock`` or ``samurai`` (motion-aware, arXiv 2411.11922).
        compile: Compile the stages of SAM 2 with ``torch.compile``: slow to start, then faster.
        reanchor: Prompt an object anew from the detector where its mask has drifted off the detections.
        min_region: Regions of a mask of SAM 2 below this share of its largest one are dropped: specks far
            from the object. 0 keeps all.
        min_pred_iou: Where SAM 2 predicts a lower IoU for the mask of an object, the object is out of sight.
        patience_s: Seconds for which an object out of sight is remembered; seen again later, it is a new one.
        max_objects: Objects that are followed at once, those out of sight included.
        scene_cuts: End all objects where a new scene begins.

    Raises:
        ConfigError: A value cannot work; the message says which values can.
    """

    text_prompt: str
    detector: str = "grounding-dino"
    tracker: str = "sam2"
    detector_model: str = DEFAULT_DETECTOR
    sam_type: str = "sam2.1_hiera_large"
    model_path: str | None = None
    detection_frequency: int = None  # type: ignore[assignment]  # resolved when made, never None afterwards
    max_frames: int = 60
    fps: float | None = None
    box_threshold: float = 0.35
    text_threshold: float = 0.25
    dtype: str = "auto"
    batch_size: int = 4
    memory: Literal["stock", "samurai"] = "stock"
    compile: bool = False
    reanchor: bool = False
    min_region: float = 0.0
    min_pred_iou: float = 0.0
    patience_s: float = 10.0
    max_objects: int = 100
    scene_cuts: bool = True

    def __post_init__(self) -> None:
        parse_prompt(self.text_prompt)
        if self.detection_frequency is None:
            frequency = DETECTION_FREQUENCIES.get(self.tracker, DETECTION_FREQUENCY)
            object.__setattr__(self, "detection_frequency", frequency)
        for name in ("detection_frequency", "max_frames", "batch_size", "max_objects"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                msg = f"{name} is {value!r}: expected a whole number from 1 up"
                raise ConfigError(msg)
        for name in ("box_threshold", "text_threshold", "min_region", "min_pred_iou"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value <= 1:
                msg = f"{name} is {value!r}: expected a number from 0 to 1"
                raise ConfigError(msg)
        if self.fps is not None and (
            not isinstance(self.fps, int | float) or not 0 < self.fps < float("inf")
        ):
            msg = f"fps is {self.fps!r}: expected a number above 0, or None for every frame"
            raise ConfigError(msg)
        self._check_models()

    def _check_models(self) -> None:
        # Short and long names are one model, and one hash.
        if self.detector == "grounding-dino":
            object.__setattr__(self, "detector_model", detector_name(self.detector_model))
        if self.tracker == "sam2":
            object.__setattr__(self, "sam_type", sam2_release(self.sam_type).name)
        if not isinstance(self.patience_s, int | float) or not 0 <= self.patience_s < float("inf"):
            msg = f"patience_s is {self.patience_s!r}: expected a number of seconds from 0 up"
            raise ConfigError(msg)
        for name, choices in (("dtype", DTYPES), ("memory", MEMORIES)):
            if getattr(self, name) not in choices:
                msg = f"{name} is {getattr(self, name)!r}: choose one of {', '.join(choices)}"
                raise ConfigError(msg)
        for name in ("compile", "reanchor", "scene_cuts"):
            if not isinstance(getattr(self, name), bool):
                msg = f"{name} is {getattr(self, name)!r}: expected True or False"
                raise ConfigError(msg)

    @classmethod
    def from_preset(cls, preset: str, text_prompt: str, **options: Any) -> TrackConfig:
        """A config with the preset's options; ``options`` win over it.

        Raises:
            ConfigError: No preset has that name, or an option is unknown or wrong.
        """
        if preset not in PRESETS:
            msg = f"preset {preset!r} is unknown: choose one of {', '.join(sorted(PRESETS))}"
            raise ConfigError(msg)
        return cls(text_prompt, **{**PRESETS[preset], **options})

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The classes of the prompt, in order, in the user's spelling."""
        return parse_prompt(self.text_prompt)

    @cached_property
    def hash(self) -> str:
        """16 hex digits that change with anything that decides the result."""
        text = json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrackConfig:
        """The inverse of :meth:`to_dict`.

        Raises:
            ConfigError: An option is unknown, missing or wrong.
        """
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown or "text_prompt" not in values:
            problem = f"unknown options {', '.join(unknown)}" if unknown else "text_prompt is missing"
            msg = f"{problem}: known options are {', '.join(sorted(known))}"
            raise ConfigError(msg)
        return cls(**values)

    def replace(self, **changes: Any) -> TrackConfig:
        """A copy with some options changed, checked again."""
        return replace(self, **changes)
