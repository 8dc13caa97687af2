"""GroundingDINO checkpoints of the reference repository (``groundingdino_swint_ogc.pth``), without its code.

https://github.com/IDEA-Research/GroundingDINO and ``transformers`` name the same weights differently. The
names below are those of the reference repository's modules; they become the names of the *files* that
``transformers`` publishes, which its own loader understands whatever it calls the modules inside.

What was checked: a Swin-T model built, filled with random weights, run and saved by the reference
implementation gives the same after conversion, to 6e-5 in logits of size 20 and 3e-7 in boxes. The state dict
of its Swin-B has as many tensors as ``groundingdino_swinb_cogcoor.pth`` is reported to have, 1,108, and
converts without remainder. The released files themselves were not at hand.

One difference is the port's, not the conversion's: where ``transformers`` refines boxes it clamps coordinates
at 1e-5, the reference at 1e-3, so boxes that touch 0 or 1 (as those of padding do) can differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertTokenizerFast,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    SwinConfig,
)

from trackkit.core.errors import CheckpointError
from trackkit.core.loading import check_tied
from trackkit.weights.files import first, read_weights
from trackkit.weights.grounding_dino import find_tokenizer, no_tokenizer

_SWIN, _SWIN_IN = "model.backbone.conv_encoder.model.", r"backbone\.0\."
_BLOCK, _BLOCK_IN = _SWIN + r"encoder.layers.\1.blocks.\2.", _SWIN_IN + r"layers\.(\d+)\.blocks\.(\d+)\."
_ENCODER, _DECODER = r"model.encoder.layers.\1.", r"model.decoder.layers.\1."
_ENCODER_IN, _DECODER_IN = (
    r"transformer\.encoder\.{}layers\.(\d+)\.",
    r"transformer\.decoder\.layers\.(\d+)\.",
)
_DEFORMABLE = ("sampling_offsets", "attention_weights", "value_proj", "output_proj")
_FUSION = {"v_proj": "vision_proj", "l_proj": "text_proj", "out_v_proj": "out_vision_proj"} | {
    "values_v_proj": "values_vision_proj",
    "values_l_proj": "values_text_proj",
    "out_l_proj": "out_text_proj",
}


def _under(source: str, target: str, names: Mapping[str, str]) -> list[tuple[str, str]]:
    """The rules of the modules ``names`` that lie within ``source``."""
    return [(source + re.escape(old) + r"(?=\.|$)", target + new) for old, new in names.items()]


# The beginning of a name, and what it becomes; the first that fits. With a ``*`` one tensor becomes three:
# its rows are those of query, key and value, in this order.
RULES: tuple[tuple[str, str], ...] = (
    # Swin. The order of the four patches that a merging layer joins is the same in both.
    *_under(
        _SWIN_IN + r"patch_embed\.",
        _SWIN + "embeddings.",
        {"proj": "patch_embeddings.projection", "norm": "norm"},
    ),
    *((_SWIN_IN + rf"norm{i}(?=\.)", _SWIN + f"hidden_states_norms.stage{i + 1}") for i in range(4)),
    (_SWIN_IN + r"layers\.(\d+)\.downsample\.", _SWIN + r"encoder.layers.\1.downsample."),
    (_BLOCK_IN + r"attn\.qkv\.", _BLOCK + "attention.self.*."),
    *_under(
        _BLOCK_IN,
        _BLOCK,
        {
            "norm1": "layernorm_before",
            "norm2": "layernorm_after",
            "attn.relative_position_bias_table": "attention.self.relative_position_bias_table",
            "attn.proj": "attention.output.dense",
            "mlp.fc1": "intermediate.dense",
            "mlp.fc2": "output.dense",
        },
    ),
    # Encoder: the image's deformable layers, the text's layers, and what fuses the two.
    *_under(
        _ENCODER_IN.format(""),
        _ENCODER + "deformable_layer.",
        {f"self_attn.{name}": f"self_attn.{name}" for name in _DEFORMABLE}
        | {"norm1": "self_attn_layer_norm", "norm2": "final_layer_norm", "linear1": "fc1", "linear2": "fc2"},
    ),
    (_ENCODER_IN.format("text_") + r"self_attn\.in_proj_", _ENCODER + "text_enhancer_layer.self_attn.*."),
    *_under(
        _ENCODER_IN.format("text_"),
        _ENCODER + "text_enhancer_layer.",
        {"self_attn.out_proj": "self_attn.out_proj", "linear1": "fc1", "linear2": "fc2"}
        | {"norm1": "layer_norm_before", "norm2": "layer_norm_after"},
    ),
    *_under(
        _ENCODER_IN.format("fusion_"),
        _ENCODER + "fusion_layer.",
        {f"attn.{old}": f"attn.{new}" for old, new in _FUSION.items()}
        | {"gamma_v": "vision_param", "gamma_l": "text_param"}
        | {"layer_norm_v": "layer_norm_vision", "layer_norm_l": "layer_norm_text"},
    ),
    # Decoder.
    (_DECODER_IN + r"self_attn\.in_proj_", _DECODER + "self_attn.*."),
    (_DECODER_IN + r"ca_text\.in_proj_", _DECODER + "encoder_attn_text.*."),
    *_under(
        _DECODER_IN,
        _DECODER,
        {f"cross_attn.{name}": f"encoder_attn.{name}" for name in _DEFORMABLE}
        | {"self_attn.out_proj": "self_attn.out_proj", "ca_text.out_proj": "encoder_attn_text.out_proj"}
        | {"norm1": "encoder_attn_layer_norm", "catext_norm": "encoder_attn_text_layer_norm"}
        | {"norm2": "self_attn_layer_norm", "norm3": "final_layer_norm", "linear1": "fc1", "linear2": "fc2"},
    ),
    # All else.
    (r"bert\.", "model.text_backbone."),
    (r"feat_map\.", "model.text_projection."),
    (r"input_proj\.", "model.input_proj_vision."),
    (r"transformer\.level_embed$", "model.level_embed"),
    (r"transformer\.tgt_embed\.", "model.query_position_embeddings."),
    (r"transformer\.enc_output", "model.enc_output"),
    (r"transformer\.enc_out_bbox_embed\.", "model.encoder_output_bbox_embed."),
    (r"transformer\.decoder\.ref_point_head\.", "model.decoder.reference_points_head."),
    (r"transformer\.decoder\.norm\.", "model.decoder.layer_norm."),
    (r"bbox_embed\.", "bbox_embed."),
)

# In the file, but computed or not used at inference; the decoder's heads are those of ``bbox_embed`` again.
UNUSED = (
    r"label_enc\.weight",
    r"bert\.embeddings\.position_ids",
    r"bert\.pooler\..*",
    r"backbone\.0\..*\.relative_position_index",
    r"transformer\.decoder\.bbox_embed\..*",
)

# What shapes do not tell; the same in all configs of the reference repository.
_HEADS, _POINTS, _BERT_HEAD_DIM = 8, 4, 64


def load_reference_checkpoint(path: Path) -> Any:
    """Load a ``.pth`` of the reference repository as a model of ``transformers``.

    The architecture (Swin-T, Swin-B, ...) follows from the shapes. Weights only; no code in the file runs.

    Args:
        path: ``groundingdino_swint_ogc.pth``, ``groundingdino_swinb_cogcoor.pth``, or one fine-tuned from
            them by the reference code.

    Returns:
        ``GroundingDinoForObjectDetection``, float32, on the CPU, in eval mode.

    Raises:
        CheckpointError: The file is missing, cut, or of another model.
    """
    weights = {key.removeprefix("module."): value for key, value in read_weights(path).items()}
    converted, unknown = convert(weights)
    try:
        config = reference_config(weights)
    except KeyError as error:
        msg = (
            f"checkpoint {str(path)!r} is no GroundingDINO of the reference repository: it has no weight "
            f"{error.args[0]!r}; its weights are {first(weights)}"
        )
        raise CheckpointError(msg) from None
    model, report = GroundingDinoForObjectDetection.from_pretrained(
        None,
        config=config,
        state_dict=converted,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,  # refused below, with a message that names them
        output_loading_info=True,
    )
    problems = {
        "missing": sorted(report["missing_keys"]),
        "unknown": sorted({*unknown, *report["unexpected_keys"]}),
        "of another shape": sorted(key for key, *_ in report["mismatched_keys"]),
    }
    parts = [f"{len(keys)} weights {kind} ({first(keys)})" for kind, keys in problems.items() if keys]
    if parts:
        if not (problems["unknown"] or problems["of another shape"]):
            what = f"checkpoint {str(path)!r}"
            check_tied(what, problems["missing"], model.all_tied_weights_keys)
        msg = (
            f"checkpoint {str(path)!r} is not the GroundingDINO that it looks like: {'; '.join(parts)}. "
            "Expected a .pth of the reference repository, unchanged: fetch it again"
        )
        raise CheckpointError(msg)
    return model.eval()


def load_reference_processor(path: Path) -> Any:
    """The processor for :func:`load_reference_checkpoint`: the reference's image size and BERT's tokenizer.

    Raises:
        CheckpointError: The tokenizer is not here (see :mod:`trackkit.weights.grounding_dino`).
    """
    folder = find_tokenizer(path)
    if folder is None:
        raise no_tokenizer(path)
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    return GroundingDinoProcessor(image_processor=GroundingDinoImageProcessor(), tokenizer=tokenizer)


def convert(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Rename weights by ``RULES``; gives the new ones, and the names that no rule knows."""
    converted: dict[str, Tensor] = {}
    unknown = []
    for key, value in weights.items():
        if any(re.fullmatch(pattern, key) for pattern in UNUSED):
            continue
        new = next((re.sub(f"^{old}", to, key) for old, to in RULES if re.match(old, key)), None)
        if new is None:
            unknown.append(key)
        elif "*" in new:
            parts = zip(("query", "key", "value"), value.chunk(3), strict=True)
            converted.update({new.replace("*", name): part.contiguous() for name, part in parts})
        else:
            converted[new] = value
    return converted, unknown


def reference_config(weights: Mapping[str, Tensor]) -> GroundingDinoConfig:
    """The config that fits the shapes of a reference state dict.

    Raises:
        KeyError: A weight that tells a size is not there.
    """
    layers = range(_count(weights, r"backbone\.0\.layers\.(\d+)\."))
    tables = [
        weights[f"backbone.0.layers.{i}.blocks.0.attn.relative_position_bias_table"].shape for i in layers
    ]
    vision = SwinConfig(
        embed_dim=weights["backbone.0.patch_embed.proj.weight"].shape[0],
        depths=[_count(weights, rf"backbone\.0\.layers\.{i}\.blocks\.(\d+)\.") for i in layers],
        num_heads=[heads for _, heads in tables],
        window_size=(round(tables[0][0] ** 0.5) + 1) // 2,  # a table has (2 * window - 1) ** 2 rows
        out_indices=[i + 1 for i in layers if f"backbone.0.norm{i}.weight" in weights],
    )
    words = weights["bert.embeddings.word_embeddings.weight"]
    text = BertConfig(
        vocab_size=words.shape[0],
        hidden_size=words.shape[1],
        num_hidden_layers=_count(weights, r"bert\.encoder\.layer\.(\d+)\."),
        num_attention_heads=words.shape[1] // _BERT_HEAD_DIM,
        intermediate_size=weights["bert.encoder.layer.0.intermediate.dense.weight"].shape[0],
        max_position_embeddings=weights["bert.embeddings.position_embeddings.weight"].shape[0],
    )
    num_queries, d_model = weights["transformer.tgt_embed.weight"].shape
    heads = [
        weights[f"bbox_embed.{i}.layers.2.weight"] for i in range(_count(weights, r"bbox_embed\.(\d+)\."))
    ]
    return GroundingDinoConfig(
        backbone_config=vision,
        text_config=text,
        d_model=d_model,
        num_queries=num_queries,
        num_feature_levels=weights["transformer.level_embed"].shape[0],
        encoder_layers=_count(weights, r"transformer\.encoder\.layers\.(\d+)\."),
        decoder_layers=_count(weights, r"transformer\.decoder\.layers\.(\d+)\."),
        encoder_ffn_dim=weights["transformer.encoder.layers.0.linear1.weight"].shape[0],
        decoder_ffn_dim=weights["transformer.decoder.layers.0.linear1.weight"].shape[0],
        encoder_attention_heads=_HEADS,
        decoder_attention_heads=_HEADS,
        encoder_n_points=_POINTS,
        decoder_n_points=_POINTS,
        decoder_bbox_embed_share=all(torch.equal(head, heads[0]) for head in heads),
        max_text_len=min(256, text.max_position_embeddings),
    )


def _count(names: Iterable[str], pattern: str) -> int:
    """How many different numbers stand where ``pattern`` has its group."""
    return len({match[1] for name in names if (match := re.match(pattern, name))})
