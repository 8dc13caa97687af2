from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from small_models import small_vocabulary, spread_outputs
from torch import Tensor, nn
from transformers import BertConfig, GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig

from trackkit.config import TrackConfig
from trackkit.core.errors import CheckpointError
from trackkit.detectors import load_detector
from trackkit.detectors.grounding_dino.reference_checkpoint import (
    load_reference_checkpoint,
    load_reference_processor,
    reference_config,
)
from trackkit.tracking.verify import verify

torch.set_num_threads(1)

# Modules as transformers calls them, and as the reference repository does (read in its source). This goes the
# other way than the table that is tested, and starts from other names than it ends with.
_EMBEDDINGS = "model.backbone.conv_encoder.model.swin.embeddings"
MODULES = {
    f"{_EMBEDDINGS}.patch_embeddings.projection": "backbone.0.patch_embed.proj",
    f"{_EMBEDDINGS}.norm": "backbone.0.patch_embed.norm",
    "model.backbone.conv_encoder.model.hidden_states_norms.stage2": "backbone.0.norm1",
    "model.backbone.conv_encoder.model.hidden_states_norms.stage3": "backbone.0.norm2",
    "model.backbone.conv_encoder.model.hidden_states_norms.stage4": "backbone.0.norm3",
    "model.backbone.conv_encoder.model.swin.encoder.layers.#.downsample": "backbone.0.layers.#.downsample",
    "model.text_backbone": "bert",
    "model.text_projection": "feat_map",
    "model.input_proj_vision": "input_proj",
    "model.level_embed": "transformer.level_embed",
    "model.query_position_embeddings": "transformer.tgt_embed",
    "model.enc_output": "transformer.enc_output",
    "model.enc_output_norm": "transformer.enc_output_norm",
    "model.encoder_output_bbox_embed": "transformer.enc_out_bbox_embed",
    "model.decoder.reference_points_head": "transformer.decoder.ref_point_head",
    "model.decoder.bbox_embed": "transformer.decoder.bbox_embed",
    "model.decoder.layer_norm": "transformer.decoder.norm",
    "bbox_embed": "bbox_embed",
}
LAYERS = {
    "model.backbone.conv_encoder.model.swin.encoder.layers.#.blocks.#": (
        "backbone.0.layers.#.blocks.#",
        "layernorm_before:norm1 layernorm_after:norm2 mlp:mlp attention.o_proj:attn.proj "
        "attention.relative_position_bias:attn attention.q_proj:attn.qkv/0 attention.k_proj:attn.qkv/1 "
        "attention.v_proj:attn.qkv/2",
    ),
    "model.encoder.layers.#.deformable_layer": (
        "transformer.encoder.layers.#",
        "self_attn:self_attn self_attn_layer_norm:norm1 fc1:linear1 fc2:linear2 final_layer_norm:norm2",
    ),
    "model.encoder.layers.#.text_enhancer_layer": (
        "transformer.encoder.text_layers.#",
        "self_attn.query:self_attn.in_proj_/0 self_attn.key:self_attn.in_proj_/1 "
        "self_attn.value:self_attn.in_proj_/2 self_attn.out_proj:self_attn.out_proj layer_norm_before:norm1 "
        "layer_norm_after:norm2 fc1:linear1 fc2:linear2",
    ),
    "model.encoder.layers.#.fusion_layer": (
        "transformer.encoder.fusion_layers.#",
        "vision_param:gamma_v text_param:gamma_l layer_norm_vision:layer_norm_v layer_norm_text:layer_norm_l "
        "attn.vision_proj:attn.v_proj attn.text_proj:attn.l_proj attn.values_vision_proj:attn.values_v_proj "
        "attn.values_text_proj:attn.values_l_proj attn.out_vision_proj:attn.out_v_proj "
        "attn.out_text_proj:attn.out_l_proj",
    ),
    "model.decoder.layers.#": (
        "transformer.decoder.layers.#",
        "self_attn.query:self_attn.in_proj_/0 self_attn.key:self_attn.in_proj_/1 "
        "self_attn.value:self_attn.in_proj_/2 self_attn.out_proj:self_attn.out_proj "
        "self_attn_layer_norm:norm2 "
        "encoder_attn_text.query:ca_text.in_proj_/0 encoder_attn_text.key:ca_text.in_proj_/1 "
        "encoder_attn_text.value:ca_text.in_proj_/2 encoder_attn_text.out_proj:ca_text.out_proj "
        "encoder_attn_text_layer_norm:catext_norm encoder_attn:cross_attn encoder_attn_layer_norm:norm1 "
        "fc1:linear1 fc2:linear2 final_layer_norm:norm3",
    ),
}


def to_reference(model: GroundingDinoForObjectDetection) -> dict[str, Tensor]:
    """A state dict as the reference repository saves it: merged projections, buffers, unused weights."""
    names = dict(MODULES)
    for ours, (theirs, pairs) in LAYERS.items():
        names |= {f"{ours}.{old}": f"{theirs}.{new}" for old, new in (p.split(":") for p in pairs.split())}
    longest_first = sorted(names, key=len, reverse=True)
    out: dict[str, Tensor] = {}
    parts: dict[str, dict[int, Tensor]] = {}
    for key, value in model.state_dict().items():
        if "swin.layernorm" in key:  # transformers has it and does not use it
            continue
        ours = next(
            n for n in longest_first if re.match(re.escape(n).replace(r"\#", r"\d+") + r"(\.|$)", key)
        )
        match = re.match(re.escape(ours).replace(r"\#", r"(\d+)"), key)
        assert match
        theirs, _, part = names[ours].partition("/")
        for number in match.groups():
            theirs = theirs.replace("#", number, 1)
        rest = key[match.end() :]
        if part:
            parts.setdefault(theirs + (rest[1:] if theirs.endswith("_") else rest), {})[int(part)] = value
        else:
            out[theirs + rest] = value
    out |= {key: torch.cat([some[i] for i in range(3)]) for key, some in parts.items()}
    out["label_enc.weight"] = torch.randn(7, 64)
    out["bert.embeddings.position_ids"] = torch.arange(64)[None]
    out["bert.pooler.dense.weight"] = torch.randn(64, 64)
    out["backbone.0.layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(16, 16, dtype=torch.long)
    return {f"module.{key}": value.clone() for key, value in out.items()}


@pytest.fixture(scope="module")
def model() -> GroundingDinoForObjectDetection:
    vision = SwinConfig(
        embed_dim=16, depths=[1, 2, 1, 1], num_heads=[2, 2, 4, 4], window_size=4, out_indices=[2, 3, 4]
    )
    text = BertConfig(
        vocab_size=1100,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=1,
        intermediate_size=96,
        max_position_embeddings=64,
    )
    config = GroundingDinoConfig(
        backbone_config=vision,
        text_config=text,
        d_model=64,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=80,
        decoder_ffn_dim=48,
        num_queries=20,
        max_text_len=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GroundingDinoForObjectDetection(config).eval()
        spread_outputs(model)
        with torch.no_grad():
            for parameter in model.parameters():  # biases, norms and tables that are 0 or 1 hide mix-ups
                parameter.add_(0.02 * torch.randn(parameter.shape))
        model.tie_weights()
    return model


@pytest.fixture
def file(model: GroundingDinoForObjectDetection, tmp_path: Path) -> Path:
    path = tmp_path / "groundingdino_small.pth"
    torch.save({"model": to_reference(model)}, path)
    words = small_vocabulary()
    vocabulary = sorted(words, key=words.__getitem__)
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary))
    return path


def outputs(model: Any) -> tuple[Tensor, Tensor]:
    pixels = torch.randn(2, 3, 96, 128, generator=torch.Generator().manual_seed(3))
    ids = torch.tensor([[101, 111, 114, 1012, 112, 1012, 102]]).expand(2, -1)
    with torch.no_grad():
        out = model(pixel_values=pixels, input_ids=ids)
    return out.logits, out.pred_boxes


def test_the_outputs_are_the_same_number_for_number(model: Any, file: Path) -> None:
    loaded = load_reference_checkpoint(file)
    for ours, theirs in zip(outputs(loaded), outputs(model), strict=True):
        assert torch.equal(ours, theirs)
    assert loaded.bbox_embed[1].layers[0].weight is loaded.bbox_embed[0].layers[0].weight
    assert not loaded.training


def test_every_weight_matters_to_the_comparison(model: Any, file: Path) -> None:
    """The comparison above would notice a wrong order of query, key and value."""
    weights = torch.load(file)["model"]
    for key in (
        "transformer.decoder.layers.1.self_attn.in_proj_weight",
        "transformer.decoder.layers.0.ca_text.in_proj_weight",
        "transformer.encoder.text_layers.0.self_attn.in_proj_weight",
        "backbone.0.layers.1.blocks.1.attn.qkv.weight",
    ):
        changed = {**weights, f"module.{key}": weights[f"module.{key}"].roll(64, 0)}
        torch.save({"model": changed}, file)
        assert not torch.equal(outputs(load_reference_checkpoint(file))[0], outputs(model)[0]), key


def test_the_config_follows_from_the_shapes(model: Any) -> None:
    found = reference_config({k.removeprefix("module."): v for k, v in to_reference(model).items()})
    for part, names in {
        "backbone_config": ("embed_dim", "depths", "num_heads", "window_size", "out_indices"),
        "text_config": ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    }.items():
        for name in names:
            assert getattr(getattr(found, part), name) == getattr(getattr(model.config, part), name), name
    for name in (
        "d_model",
        "num_queries",
        "encoder_ffn_dim",
        "decoder_ffn_dim",
        "decoder_layers",
        "max_text_len",
    ):
        assert getattr(found, name) == getattr(model.config, name), name


def test_swin_is_that_of_torchvision(model: Any, file: Path) -> None:
    """torchvision keeps the original names and layouts of Swin: an oracle apart from the table."""
    from torchvision.models.swin_transformer import SwinTransformer

    torch.manual_seed(1)
    swin = SwinTransformer([4, 4], 16, [1, 2, 1, 1], [2, 2, 4, 4], [4, 4], stochastic_depth_prob=0.0).eval()
    with torch.no_grad():
        for parameter in swin.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    weights = torch.load(file)["model"]
    renames = (
        (r"features\.0\.0\.", "patch_embed.proj."),
        (r"features\.0\.2\.", "patch_embed.norm."),
        (r"features\.([1357])\.(\d)\.", r"layers.\1.blocks.\2."),
        (r"features\.([246])\.", r"layers.\1.downsample."),
        (r"mlp\.0\.", "mlp.fc1."),
        (r"mlp\.3\.", "mlp.fc2."),
    )
    for key, value in swin.state_dict().items():
        if key.startswith(("norm", "head")) or "position_index" in key:
            continue
        for old, new in renames:
            key = re.sub(old, new, key)
        key = re.sub(r"layers\.(\d)", lambda m: f"layers.{(int(m[1]) - 1) // 2}", key)
        assert weights[f"module.backbone.0.{key}"].shape == value.shape
        weights[f"module.backbone.0.{key}"] = value
    torch.save({"model": weights}, file)
    backbone = load_reference_checkpoint(file).model.backbone.conv_encoder.model

    pixels = torch.randn(1, 3, 128, 160)
    x, expected = pixels, []
    with torch.no_grad():
        for i, stage in enumerate(swin.features):
            x = stage(x)
            if i in (3, 5, 7):
                norm = [weights[f"module.backbone.0.norm{i // 2}.{name}"] for name in ("weight", "bias")]
                expected.append(nn.functional.layer_norm(x, x.shape[-1:], *norm).permute(0, 3, 1, 2))
        found = backbone(pixels).feature_maps
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_projections_are_split_as_torch_merges_them(model: Any, file: Path) -> None:
    """The reference attends with ``nn.MultiheadAttention``."""
    weights = torch.load(file)["model"]
    attention = nn.MultiheadAttention(64, 8, batch_first=True).eval()
    prefix = "module.transformer.decoder.layers.0.self_attn."
    attention.load_state_dict({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
    x, position = torch.randn(1, 5, 64), torch.randn(1, 5, 64)
    with torch.no_grad():
        expected = attention(x + position, x + position, x)[0]
        found = (
            load_reference_checkpoint(file)
            .model.decoder.layers[0]
            .self_attn(x + position, x + position, x)[0]
        )
    torch.testing.assert_close(found, expected)


def test_the_detector_takes_the_path(file: Path) -> None:
    config = TrackConfig("red cup. dog.", detector_model=str(file), box_threshold=0.0, text_threshold=0.0)
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    (found,) = load_detector(config, "cpu").detect([image])
    assert len(found)
    assert set(found.labels) <= {"red cup", "dog"}


def test_verify_loads_it(model: Any, file: Path) -> None:
    found = verify(str(file))
    assert (found.model, found.path, found.dtypes) == ("GroundingDINO", file, ("float32",))
    assert found.keys == len(model.state_dict())
    assert found.released is False


def test_images_are_prepared_as_in_the_reference(file: Path) -> None:
    images = load_reference_processor(file).image_processor
    assert (images.size["shortest_edge"], images.size["longest_edge"]) == (800, 1333)
    assert list(images.image_mean) == [0.485, 0.456, 0.406]


def test_the_tokenizer_is_found_in_the_cache_or_asked_for(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    vocabulary = file.with_name("vocab.txt")
    snapshot = tmp_path / "hub" / "models--google-bert--bert-base-uncased" / "snapshots" / "main"
    snapshot.mkdir(parents=True)
    vocabulary.rename(snapshot / "vocab.txt")
    assert load_reference_processor(file).tokenizer.convert_tokens_to_ids("[CLS]") == 101
    (snapshot / "vocab.txt").unlink()
    with pytest.raises(CheckpointError, match="needs the tokenizer bert-base-uncased"):
        load_reference_processor(file)
    with pytest.raises(
        CheckpointError, match=r"HF_HUB_OFFLINE is set.*hf download google-bert/bert-base-uncased"
    ):
        load_detector(TrackConfig("dog", detector_model=str(file)), "cpu")


def test_a_wrong_tokenizer_is_refused(file: Path) -> None:
    file.with_name("vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n.\ndog")
    with pytest.raises(CheckpointError, match="tokenizer"):
        load_detector(TrackConfig("dog", detector_model=str(file)), "cpu")


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        load_detector(TrackConfig("dog", detector_model="weights/groundingdino_swint_ogc.pth"), "cpu")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda w: w.pop("module.feat_map.bias"), r"1 weights missing \(model\.text_projection\.bias\)"),
        (
            lambda w: w.update({"module.adapter.weight": torch.ones(1)}),
            r"1 weights unknown \(adapter\.weight\)",
        ),
        (
            lambda w: w.update({"module.feat_map.weight": torch.ones(3, 3)}),
            r"1 weights of another shape \(model\.text_projection\.weight\)",
        ),
        (lambda w: w.pop("module.transformer.level_embed"), "no GroundingDINO of the reference.*level_embed"),
    ],
)
def test_a_changed_file_names_the_weights(file: Path, change: Any, reason: str) -> None:
    weights = torch.load(file)["model"]
    change(weights)
    torch.save({"model": weights}, file)
    with pytest.raises(CheckpointError, match=reason):
        load_reference_checkpoint(file)


def test_another_model_is_told(tmp_path: Path) -> None:
    path = tmp_path / "sam.pth"
    torch.save({"model": {"image_encoder.neck.weight": torch.ones(2)}}, path)
    with pytest.raises(CheckpointError, match=r"no GroundingDINO.*image_encoder\.neck\.weight"):
        load_reference_checkpoint(path)
