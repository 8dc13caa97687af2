from __future__ import annotations

import argparse
import pickle
from dataclasses import dataclass
from typing import Any

import pytest

from trackkit.cli.options import add_options, given, options_table
from trackkit.config import PRESETS, TrackConfig
from trackkit.core.errors import ConfigError, PromptError
from trackkit.core.options import documented, option


def test_values_survive_a_round_trip() -> None:
    config = TrackConfig("person. car.", fps=12.5, detection_frequency=3)
    assert TrackConfig.from_dict(config.to_dict()) == config
    assert pickle.loads(pickle.dumps(config)) == config
    assert config.classes == ("person", "car")


SAM2 = TrackConfig("car", detector="color")
COLOR = TrackConfig.from_preset("color", "car")


@pytest.mark.parametrize(
    ("config", "change"),
    [
        (SAM2, {"text_prompt": "car. person"}),
        (SAM2, {"fps": 5.0}),
        (SAM2, {"box_threshold": 0.3}),
        (SAM2, {"detection_frequency": 5}),
        (SAM2, {"dtype": "fp32"}),
        (SAM2, {"sam_type": "tiny"}),
        (SAM2, {"model_path": "mine.pt"}),
        (SAM2, {"memory": "samurai"}),
        (SAM2, {"min_region": 0.5}),
        (SAM2, {"max_objects": 5}),
        (SAM2, {"scene_cuts": False}),
        (SAM2, {"tracker": "bytetrack"}),
        (SAM2, {"detector": "grounding-dino"}),
        (TrackConfig("car"), {"text_threshold": 0.3}),
        (TrackConfig("car"), {"detector_model": "mini"}),
        (COLOR, {"detector": "mine", "text_threshold": 0.3}),  # one of the user's own may use every option
        (COLOR, {"tracker": "mine", "patience_s": 3.0}),
        (COLOR, {"detector": "none", "box_threshold": 0.3}),  # ByteTrack reads it, too
    ],
)
def test_what_decides_the_result_changes_the_identity(config: TrackConfig, change: dict[str, Any]) -> None:
    changed = config.replace(**change)
    assert changed.hash != config.hash
    assert changed.identity != config.identity


@pytest.mark.parametrize(
    ("config", "change"),
    [
        (SAM2, {"batch_size": 1}),
        (SAM2, {"max_frames": 30}),
        (SAM2, {"compile": True}),
        (SAM2, {"text_threshold": 0.1}),  # a colour has no words
        (SAM2, {"detector_model": "mini"}),
        (SAM2, {"text_prompt": "car."}),
        (TrackConfig("car", fps=10), {"fps": 10.0}),
        (COLOR, {"sam_type": "tiny"}),
        (COLOR, {"memory": "samurai"}),
        (COLOR, {"dtype": "fp16"}),
        (COLOR, {"patience_s": 3.0}),
        (COLOR, {"max_objects": 3}),
        (COLOR, {"scene_cuts": False}),
        (TrackConfig("car", detector="none"), {"box_threshold": 0.1}),
    ],
)
def test_what_does_not_decide_it_does_not(config: TrackConfig, change: dict[str, Any]) -> None:
    changed = config.replace(**change)
    assert changed.hash == config.hash
    assert changed.identity == config.identity


def test_an_identity_holds_what_differs_from_the_defaults() -> None:
    assert TrackConfig("car").identity == {"classes": ["car"]}
    assert TrackConfig("car", fps=12).identity == {"classes": ["car"], "fps": 12.0}
    assert TrackConfig("car", detection_frequency=10).identity == {"classes": ["car"]}
    once = TrackConfig("car", tracker="bytetrack", detection_frequency=1)
    assert once.identity == {"classes": ["car"], "tracker": "bytetrack"}


@documented()
@dataclass(frozen=True)
class LaterConfig(TrackConfig):
    """As in a later version, which has one option more: a field, and nothing else."""

    sparkle: float = option(0.0, "how much masks sparkle", at_least=0, at_most=1, used=lambda c: c.fps != 1)


def test_an_option_that_is_added_changes_no_identity() -> None:
    old = {name: value for name, value in SAM2.to_dict().items() if name != "scene_cuts"}
    assert TrackConfig.from_dict(old).hash == SAM2.hash
    later = LaterConfig.from_dict(SAM2.to_dict())
    assert (later.sparkle, later.hash) == (0.0, SAM2.hash)
    assert later.replace(sparkle=0.5).hash != SAM2.hash
    assert later.replace(sparkle=0.5, fps=1).hash == SAM2.replace(fps=1).hash  # of no use there


def test_an_option_is_a_field_and_nothing_else() -> None:
    with pytest.raises(ConfigError, match="sparkle is 2: expected a number from 0 to 1"):
        LaterConfig("car", sparkle=2)
    parser = argparse.ArgumentParser()
    add_options(parser, LaterConfig)
    assert "--sparkle NUMBER" in parser.format_help()
    assert given(parser.parse_args(["--sparkle", "0.5"]), LaterConfig) == {"sparkle": 0.5}
    assert "| `--sparkle` | 0 | how much masks sparkle |" in options_table(LaterConfig)
    assert LaterConfig.__doc__ is not None
    assert "sparkle: How much masks sparkle (default: 0)." in LaterConfig.__doc__


def test_an_option_of_a_later_version_is_kept() -> None:
    config = TrackConfig.from_dict({**SAM2.to_dict(), "colour": [1, 2], "memory": "dam", "sam_type": "sam3"})
    assert dict(config.unknown) == {"colour": [1, 2], "memory": "dam", "sam_type": "sam3"}
    assert (config.memory, config.sam_type) == (SAM2.memory, SAM2.sam_type)
    assert config.hash != SAM2.hash
    assert TrackConfig.from_dict(config.to_dict()) == config
    assert pickle.loads(pickle.dumps(config)) == config
    assert hash(config) == hash(config.replace())
    with pytest.raises(ConfigError, match="cannot be run"):
        config.check_known()
    SAM2.check_known()
    unused = TrackConfig.from_dict({**COLOR.to_dict(), "dtype": "int8", "memory": "dam"})
    assert (len(unused.unknown), unused.hash) == (2, COLOR.hash)
    (note,) = config.notes
    assert "colour=[1, 2], memory='dam', sam_type='sam3'" in note
    assert SAM2.notes == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"detection_frequency": 0}, "detection_frequency is 0"),
        ({"detection_frequency": 1.5}, "detection_frequency is 1.5"),
        ({"max_frames": -1}, "max_frames is -1"),
        ({"batch_size": True}, "batch_size is True"),
        ({"box_threshold": 1.1}, "box_threshold is 1.1"),
        ({"text_threshold": "x"}, "text_threshold is 'x'"),
        ({"fps": 0}, "fps is 0"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"dtype": "fp8"}, "choose one of auto, fp32, bf16, fp16"),
        ({"memory": "long"}, "choose one of stock, samurai"),
        ({"patience_s": -1}, "patience_s is -1"),
        ({"patience_s": float("inf")}, "patience_s is inf"),
        ({"max_objects": 0}, "max_objects is 0"),
        ({"reanchor": "yes"}, "reanchor is 'yes'"),
        ({"min_pred_iou": -0.1}, "min_pred_iou is -0.1: expected a number from 0 to 1"),
        ({"min_region": 50}, "min_region is 50: expected a number from 0 to 1"),
        ({"compile": 1}, "compile is 1"),
        ({"scene_cuts": None}, "scene_cuts is None"),
    ],
)
def test_a_wrong_value_says_what_is_right(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        TrackConfig("car", **change)


def test_a_prompt_is_checked_at_once() -> None:
    with pytest.raises(PromptError):
        TrackConfig(" . ")


def test_options_win_over_the_preset() -> None:
    assert TrackConfig.from_preset("color", "red").detector == "color"
    assert TrackConfig.from_preset("color", "red", detection_frequency=7).detection_frequency == 7
    with pytest.raises(ConfigError, match=", ".join(sorted(PRESETS))):
        TrackConfig.from_preset("nope", "red")


def test_a_file_without_a_prompt_is_no_config() -> None:
    with pytest.raises(ConfigError, match="text_prompt is missing"):
        TrackConfig.from_dict({})
    with pytest.raises(TypeError, match="colour"):
        TrackConfig("red", colour=1)  # type: ignore[call-arg]


def test_short_names_of_a_model_are_the_same_model() -> None:
    assert TrackConfig("car", sam_type="l") == TrackConfig("car", sam_type="sam2.1_hiera_large")
    with pytest.raises(ConfigError, match=r"sam2\.1_hiera_tiny"):
        TrackConfig("car", sam_type="sam9")
