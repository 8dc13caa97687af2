"""Checkpoints of SAM 2 load strictly, or the message says what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from weight_files import TINY, hide_all_weights, refused, save

from trackkit.trackers.sam2.build import build_sam2_model
from trackkit.trackers.sam2.checkpoint import load_sam2
from trackkit.weights.releases import SAM2_RELEASES

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def empty_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return hide_all_weights(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A file of random weights in the official format, and what is in it."""
    path = tmp_path_factory.mktemp("sam2") / f"{TINY}.pt"
    yield path, save(TINY, path)
    path.unlink()


def test_a_file_of_the_official_format_loads(tiny: Any) -> None:
    path, weights = tiny
    model = load_sam2(TINY, str(path))
    loaded = model.state_dict()
    assert list(loaded) == list(weights)
    assert all(torch.equal(loaded[key], value) for key, value in weights.items())
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name.endswith("large") else [])
        for name in SAM2_RELEASES
        if name != TINY
    ],
)
def test_every_release_loads_strictly(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.pt"
    # Each tensor has its true shape, and one number in the file, which would be up to 900 MB otherwise.
    weights = {
        key: value.flatten()[0].clone().expand(value.shape)
        for key, value in build_sam2_model(name).state_dict().items()
    }
    torch.save({"model": weights}, path)
    try:
        model = load_sam2(name, str(path))
        assert torch.equal(model.state_dict()["maskmem_tpos_enc"], weights["maskmem_tpos_enc"])
        assert sum(p.numel() for p in model.parameters()) == SAM2_RELEASES[name].parameters
        other = "sam2.1_hiera_tiny" if name.startswith("sam2_") else "sam2_hiera_tiny"
        assert f"This looks like {name}: pass --sam-type {name}" in refused(path, other)
    finally:
        path.unlink()


def test_the_other_size_and_family_are_recognised(tiny: Any) -> None:
    message = refused(tiny[0], "sam2.1_hiera_small")
    assert "is not sam2.1_hiera_small: 50 weights missing (image_encoder.trunk.blocks." in message
    assert "of another shape" in message
    assert "This looks like sam2.1_hiera_tiny: pass --sam-type sam2.1_hiera_tiny" in message
    message = refused(tiny[0], "sam2_hiera_tiny")
    assert (
        "3 weights unknown (no_obj_embed_spatial, obj_ptr_tpos_proj.weight, obj_ptr_tpos_proj.bias)"
        in message
    )
    assert "This looks like sam2.1_hiera_tiny" in message


def test_a_changed_file_names_the_weights(tiny: Any, tmp_path: Path) -> None:
    path = tmp_path / "changed.pt"
    weights = {key: value for key, value in tiny[1].items() if key != "no_mem_embed"}
    weights |= {"adapter": torch.ones(1), "no_obj_ptr": torch.ones(1, 3)}
    torch.save({"model": weights}, path)
    message = refused(path)
    path.unlink()
    assert "1 weights missing (no_mem_embed)" in message
    assert "1 weights unknown (adapter)" in message
    assert "1 weights of another shape (no_obj_ptr (1, 3) instead of (1, 256))" in message
    assert "changed or is damaged" in message


def test_another_size_and_another_model(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save({"model": {"image_encoder.trunk.patch_embed.proj.weight": torch.ones(16, 3, 7, 7)}}, path)
    assert "of a size that was not released" in refused(path)
    torch.save({"model": {"image_encoder.pos_embed": torch.ones(1)}}, path)
    assert "no SAM 2 checkpoint (its weights are image_encoder.pos_embed)" in refused(path)
