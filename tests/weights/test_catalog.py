"""The models that can be had, and those that are here."""

from __future__ import annotations

from pathlib import Path

from weight_files import in_cache

from trackkit.weights.catalog import list_models


def test_list_models(empty_machine: Path) -> None:
    in_cache(empty_machine, "facebook/sam2-hiera-small", "sam2_hiera_small.pt")
    files = ("config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json")
    folder = in_cache(empty_machine, "IDEA-Research/grounding-dino-tiny", *files)
    models = {model.name: model for model in list_models()}
    assert {name for name, model in models.items() if model.path} == {
        "sam2_hiera_small",
        "IDEA-Research/grounding-dino-tiny",
        *("sam2.1_hiera_mini", "grounding-dino-mini"),  # ship with trackkit
    }
    assert models["sam2_hiera_small"].size_bytes == 1
    assert models["IDEA-Research/grounding-dino-tiny"].path == folder
    assert models["sam2.1_hiera_large"].size_bytes is None
    assert models["sam2.1_hiera_large"].parameters == 224_446_642
