"""Where the weights of GroundingDINO are."""

from __future__ import annotations

from pathlib import Path

import pytest
from weight_files import in_cache

from trackkit.weights.grounding_dino import find_detector


@pytest.mark.parametrize("absent", ["model.safetensors", "preprocessor_config.json", "tokenizer.json"])
def test_a_detector_that_is_half_in_the_cache_is_not_there(empty_machine: Path, absent: str) -> None:
    files = {"config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"} - {absent}
    in_cache(empty_machine, "someone/model", *files)
    assert find_detector("someone/model") is None
