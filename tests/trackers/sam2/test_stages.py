"""Official configs, compilation, and the attention of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_sam2 as small
import torch

from trackkit.core.errors import ConfigError
from trackkit.trackers.by_mask.prompts import BoxPrompt
from trackkit.trackers.sam2.attention import memory_attention
from trackkit.trackers.sam2.build import SAM2_CONFIGS, build_sam2_model
from trackkit.trackers.sam2.engine import Sam2Engine
from trackkit.trackers.sam2.stages import Sam2Stages

VIDEO = (60, 80)


def run_two_frames(model: Any) -> np.ndarray:
    """Masks of one object on the second of two frames."""
    engine = Sam2Engine(model, VIDEO, capacity=1)
    rng = np.random.default_rng(0)
    first, second = engine.encode(list(rng.integers(0, 256, (2, *VIDEO, 3), dtype=np.uint8)))
    engine.propagate(first)
    engine.condition(first, [BoxPrompt(1, [10, 10, 50, 50])])
    frame = engine.propagate(second)
    assert frame.low_res.isfinite().all()
    return frame.masks()


def stock_state_dict(config: str) -> dict[str, torch.Tensor]:
    from sam2.build_sam import build_sam2_video_predictor

    torch.manual_seed(0)
    state: dict[str, torch.Tensor] = build_sam2_video_predictor(config, device="cpu").state_dict()
    return state


@pytest.mark.parametrize(
    "name",
    [
        "sam2_hiera_tiny",
        "sam2.1_hiera_tiny",
        "sam2.1_hiera_small",
        "sam2.1_hiera_base_plus",
        pytest.param("sam2.1_hiera_large", marks=pytest.mark.slow),
    ],
)
def test_official_models_load_strictly_and_run(name: str) -> None:
    model = build_sam2_model(name, overrides=["++model.image_size=128"])
    result = model.load_state_dict(stock_state_dict(SAM2_CONFIGS[name]), strict=True)
    assert not result.missing_keys
    assert not result.unexpected_keys
    assert run_two_frames(model).shape == (1, *VIDEO)


@pytest.mark.slow
def test_official_file_at_full_resolution(tmp_path: Path) -> None:
    """The checkpoint format of the authors' files, and 1024 pixels."""
    torch.save({"model": stock_state_dict(SAM2_CONFIGS["sam2.1_hiera_tiny"])}, tmp_path / "tiny.pt")
    model = build_sam2_model("sam2.1_hiera_tiny")
    model.load_state_dict(torch.load(tmp_path / "tiny.pt", weights_only=True)["model"], strict=True)
    assert model.image_size == 1024
    run_two_frames(model)


def test_config_by_path_and_without_global_hydra() -> None:
    from hydra.core.global_hydra import GlobalHydra

    was = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        model = build_sam2_model("configs/sam2.1/sam2.1_hiera_t.yaml", overrides=small.overrides())
    finally:
        GlobalHydra.instance().hydra = was
    assert model.image_size == 128
    assert model.binarize_mask_from_pts_for_mem_enc
    assert model.sam_mask_decoder.dynamic_multimask_via_stability
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("name", ["sam2.1_hiera_huge", "configs/sam2.1", "../../etc/passwd"])
def test_unknown_configs_are_named(name: str) -> None:
    with pytest.raises(ConfigError, match="choose one of"):
        build_sam2_model(name)


def test_unusual_models_are_refused() -> None:
    overrides = [*small.overrides(), "++model.non_overlap_masks_for_mem_enc=true"]
    with pytest.raises(ConfigError, match="non_overlap_masks_for_mem_enc=True"):
        Sam2Stages(build_sam2_model("sam2.1_hiera_tiny", overrides=overrides))


def test_attention_equals_the_package() -> None:
    model = small.build_stock()
    g = torch.Generator().manual_seed(0)
    b, hw, num_maps, num_tokens = 3, 64, 2, 12
    current, position = torch.randn(2, 1, hw, 64, generator=g)
    memory, memory_pos = torch.randn(2, b, num_maps * hw + num_tokens, 16, generator=g)
    expected = model.memory_attention(
        curr=current.expand(b, -1, -1).transpose(0, 1),
        curr_pos=position.expand(b, -1, -1).transpose(0, 1),
        memory=memory.transpose(0, 1),
        memory_pos=memory_pos.transpose(0, 1),
        num_obj_ptr_tokens=num_tokens,
    ).transpose(0, 1)
    with torch.inference_mode():
        module = model.memory_attention
        got = memory_attention(module, current, position, memory, memory_pos, num_tokens, None)
        assert (got - expected).abs().max() < 1e-5
        # A masked key is as good as none.
        mask = torch.ones(b, 1, 1, memory.shape[1], dtype=torch.bool)
        mask[..., -4:] = False
        hidden = memory_attention(module, current, position, memory, memory_pos, num_tokens, mask)
        shorter = memory_attention(
            module, current, position, memory[:, :-4], memory_pos[:, :-4], num_tokens - 4, None
        )
    assert (hidden - shorter).abs().max() < 1e-5
    assert (hidden - got).abs().max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["auto", "padded"])
def test_all_stages_compile_without_a_graph_break(tmp_path: Path, attention: Any) -> None:
    frames = small.write_clip(tmp_path, 4)
    prompts = [(0, BoxPrompt(1, small.box(0, 0))), (2, BoxPrompt(2, small.box(1, 2)))]
    size = (small.HEIGHT, small.WIDTH)
    model = small.build_stock()
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compiled = Sam2Stages(model, compile=True, backend="eager")
    expected = small.run_engine(Sam2Engine(model, size, attention=attention), frames, prompts)
    got = small.run_engine(Sam2Engine(compiled, size, attention=attention), frames, prompts)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 4
    assert not torch._dynamo.utils.counters["graph_break"]
    assert max((got[key] - expected[key]).abs().max().item() for key in expected) < 1e-4
