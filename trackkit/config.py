"""What a run does to every video: one frozen dataclass, checked when it is made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal

from trackkit.core.errors import ConfigError
from trackkit.core.options import (
    Option,
    check_options,
    documented,
    explain_unknown,
    option,
    options_of,
    values_of,
)
from trackkit.core.text_prompt import parse_prompt, prompt_note
from trackkit.core.words import choose_one
from trackkit.weights.releases import DEFAULT_DETECTOR, detector_name, find_sam2_release, sam2_release

DETECTION_FREQUENCY = 10
# A tracker that has nothing but detections needs them on every frame.
DETECTION_FREQUENCY_OF = {"bytetrack": 1}

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


# What a method does not use decides nothing. A method that is not named here, such as one of the user's own,
# may use every option.


def _reads_text(config: TrackConfig) -> bool:
    return config.detector not in ("color", "none")


def _follows_masks(config: TrackConfig) -> bool:
    return config.tracker != "bytetrack"


def _has_threshold(config: TrackConfig) -> bool:
    return config.detector != "none" or config.tracker == "bytetrack"


def _has_network(config: TrackConfig) -> bool:
    return _reads_text(config) or _follows_masks(config)


def _sam_type(config: TrackConfig, name: str) -> str:
    return sam2_release(name).name if config.tracker == "sam2" else name


_UNKNOWN = Option(help="an option of a later version")  # it may decide


@documented()
@explain_unknown
@dataclass(frozen=True)
class TrackConfig:
    """Everything that decides the result for a video. Where it runs is the Session's business.

    ``unknown`` holds options of a file that this version of trackkit does not know; see :meth:`from_dict`.

    Raises:
        ConfigError: A value cannot work; the message says which values can.
    """

    text_prompt: str
    detector: str = option("grounding-dino", "what finds objects")
    tracker: str = option("sam2", "what follows them")
    detector_model: str = option(
        DEFAULT_DETECTOR,
        "weights of the detector: a hub name, a local folder, a .pth; mini ships with trackkit",
        tidy=lambda config, name: detector_name(name),
        used=_reads_text,
    )
    sam_type: str = option(
        "sam2.1_hiera_large",
        "SAM 2 model: sam2.1_hiera_{tiny,small,base_plus,large}, or the 2.0 names; mini ships with trackkit",
        tidy=_sam_type,
        used=_follows_masks,
    )
    model_path: str | None = option(
        None,
        "SAM 2 checkpoint file",
        none="models/sam2/checkpoints, then the hub's cache",
        used=_follows_masks,
    )
    detection_frequency: int = option(
        None,
        "the detector runs on every Nth processed frame",
        at_least=1,
        none=f"{DETECTION_FREQUENCY}; 1 with bytetrack, which only joins detections",
    )
    max_frames: int = option(
        60,
        "frames kept in memory per video: a window, not a cut",
        details=(
            "If it is shorter than the interval of the detector, frames are settled before a detection could "
            "revise them: objects begin later"
        ),
        at_least=1,
        decides=False,
    )
    fps: float | None = option(
        None,
        "rate at which frames are processed, by time, never above the source",
        above=0,
        none="every frame",
    )
    box_threshold: float = option(
        0.35, "lowest score of a detection", at_least=0, at_most=1, used=_has_threshold
    )
    text_threshold: float = option(
        0.25,
        "lowest score of a word of the prompt within a detection",
        at_least=0,
        at_most=1,
        used=_reads_text,
    )
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = option(
        "auto", "precision of the models; auto is bf16 on GPUs that have it, else fp32", used=_has_network
    )
    batch_size: int = option(
        4, "frames that the detector and the image encoder take at once", at_least=1, decides=False
    )
    memory: Literal["stock", "samurai"] = option(
        "stock",
        "what SAM 2 remembers of an object; samurai is motion-aware (arXiv 2411.11922)",
        used=_follows_masks,
    )
    compile: bool = option(
        False, "compile SAM 2 with torch.compile: slow to start, then faster", decides=False
    )
    reanchor: bool = option(
        False,
        "prompt an object anew from the detector if its mask has drifted off the detections",
        used=_follows_masks,
    )
    min_region: float = option(
        0.0,
        "regions of a mask below this share of its largest one are dropped: specks far from the object",
        details="The mini preset sets 1. High values cost half of an object that is cut in two.",
        at_least=0,
        at_most=1,
        used=_follows_masks,
    )
    min_pred_iou: float = option(
        0.0,
        "an object is out of sight if SAM 2 predicts a lower IoU for its mask",
        details="The mini preset sets 0.2.",
        at_least=0,
        at_most=1,
        used=_follows_masks,
    )
    patience_s: float = option(
        10.0,
        "seconds for which an object out of sight is remembered; seen again later, it is a new one",
        at_least=0,
        used=_follows_masks,
    )
    max_objects: int = option(
        100, "objects that are followed at once, those out of sight included", at_least=1, used=_follows_masks
    )
    scene_cuts: bool = option(True, "end all objects where a new scene begins", used=_follows_masks)
    unknown: tuple[tuple[str, Any], ...] = field(default=(), repr=False, hash=False)

    def __post_init__(self) -> None:
        parse_prompt(self.text_prompt)
        if self.detection_frequency is None:
            object.__setattr__(self, "detection_frequency", self._default_frequency)
        check_options(self)

    @property
    def _default_frequency(self) -> int:
        return DETECTION_FREQUENCY_OF.get(self.tracker, DETECTION_FREQUENCY)

    @classmethod
    def from_preset(cls, preset: str | None, text_prompt: str, **options: Any) -> TrackConfig:
        """A config with the preset's options; ``options`` win over it. None is no preset.

        Raises:
            ConfigError: No preset has that name, or an option is unknown or wrong.
        """
        if preset is not None and preset not in PRESETS:
            msg = f"preset {preset!r} is unknown: {choose_one(preset, sorted(PRESETS))}"
            raise ConfigError(msg)
        chosen = {} if preset is None else PRESETS[preset]
        return cls(text_prompt, **{**chosen, **options})

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The classes of the prompt, in order, in the user's spelling."""
        return parse_prompt(self.text_prompt)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What decides the result: the classes, and the options that are used and differ from their defaults.

        Options of speed and memory are not in it, so that a run may go on with others. An option that is
        added to trackkit, with a default that keeps the results, changes no identity. ``max_frames`` is one
        of memory, though a window shorter than the interval of the detector settles frames early; a run that
        goes on with such another window says so.
        """
        defaults = {name: known.default for name, known in options_of(type(self)).items()}
        defaults["detection_frequency"] = self._default_frequency
        chosen = {
            name: value
            for name, value in values_of(self, type(self)).items()
            if value != defaults[name] and self._decides(name)
        }
        unknown = {name: value for name, value in self.unknown if self._decides(name)}
        return {"classes": list(self.classes), **chosen, **({"unknown": unknown} if unknown else {})}

    def _decides(self, name: str) -> bool:
        known = options_of(type(self)).get(name, _UNKNOWN)
        return known.decides and (known.used is None or known.used(self))

    @cached_property
    def hash(self) -> str:
        """16 hex digits that change with the :attr:`identity`."""
        text = json.dumps(self.identity, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; those of unknown options as they were read."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "unknown"}
        return {**values, **dict(self.unknown)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrackConfig:
        """The inverse of :meth:`to_dict`, for files of this version and of others.

        Options that are missing have their defaults. Options that this version does not know, and choices
        that it does not have, are kept in ``unknown``: they are written back by :meth:`to_dict`, and are part
        of the identity.

        Raises:
            ConfigError: ``text_prompt`` is missing, or a value is wrong.
        """
        if not isinstance(values, Mapping) or "text_prompt" not in values:
            msg = "text_prompt is missing: expected the options of a run"
            raise ConfigError(msg)
        known, unknown = {"text_prompt": values["text_prompt"]}, []
        for name, value in values.items():
            if name in options_of(cls) and not cls._is_new_choice(name, values):
                known[name] = value
            elif name != "text_prompt":
                unknown.append((name, value))
        return cls(**known, unknown=tuple(sorted(unknown)))

    @classmethod
    def _is_new_choice(cls, name: str, values: Mapping[str, Any]) -> bool:
        """Whether an option of a file has a choice that a later version of trackkit has added."""
        value, choices = values[name], options_of(cls)[name].choices
        if name == "sam_type" and values.get("tracker", cls.tracker) == "sam2":
            return isinstance(value, str) and find_sam2_release(value) is None
        return bool(choices) and isinstance(value, str) and value not in choices

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know: how the prompt was read, and options of a file that are not known."""
        notes = []
        if self.unknown:
            named = ", ".join(f"{name}={value!r}" for name, value in self.unknown)
            notes.append(
                f"written with options that this trackkit does not know: {named}; update trackkit to use them"
            )
        of_prompt = prompt_note(self.text_prompt, self.classes)
        return (*notes, *([of_prompt] if of_prompt else []))

    def check_known(self) -> None:
        """Make sure that a run can do what the options say.

        Raises:
            ConfigError: There are options of a file that this version of trackkit does not know.
        """
        if "unknown" in self.identity:
            msg = f"these options cannot be run: they were {self.notes[0]}"
            raise ConfigError(msg)

    def replace(self, **changes: Any) -> TrackConfig:
        """A copy with some options changed, checked again."""
        return replace(self, **changes)
