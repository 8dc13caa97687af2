from __future__ import annotations

import pickle
from typing import Any

import pytest

from trackkit.config import PRESETS, TrackConfig
from trackkit.core.errors import ConfigError, PromptError


def test_values_survive_a_round_trip() -> None:
    config = TrackConfig("person. car.", fps=12.5, detection_frequency=3)
    assert TrackConfig.from_dict(config.to_dict()) == config
    assert pickle.loads(pickle.dumps(config)) == config
    assert config.classes == ("person", "car")


def test_the_hash_follows_what_decides_the_result() -> None:
    config = TrackConfig("car")
    assert config.hash == TrackConfig("car").hash
    changed = {
        config.replace(**change).hash for change in ({"fps": 5.0}, {"box_threshold": 0.3}, {"dtype": "fp32"})
    }
    assert len(changed | {config.hash}) == 4


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


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(ConfigError, match="unknown options colour"):
        TrackConfig.from_dict({"text_prompt": "red", "colour": 1})
    with pytest.raises(ConfigError, match="text_prompt is missing"):
        TrackConfig.from_dict({})


def test_short_names_of_a_model_are_the_same_model() -> None:
    assert TrackConfig("car", sam_type="l") == TrackConfig("car", sam_type="sam2.1_hiera_large")
    with pytest.raises(ConfigError, match=r"sam2\.1_hiera_tiny"):
        TrackConfig("car", sam_type="sam9")
