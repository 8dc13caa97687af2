"""Small models with random weights, of the real classes and in the real file formats."""

from __future__ import annotations

import string
from pathlib import Path

import torch
from transformers import (
    BertConfig,
    BertTokenizerFast,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    SwinConfig,
)

WORDS = ("red", "green", "blue", "yellow", "cup", "ball", "dog", "person", "car", "object", "a", "the", "and")
MAX_TEXT_LEN = 64


def small_grounding_dino(folder: Path, *, seed: int = 0, image_size: int = 128) -> Path:
    """Write a GroundingDINO of 0.5 million random weights, with all its files, into ``folder``.

    It knows ``WORDS`` and spells every other word out, sees images at ``image_size`` pixels, and its
    probabilities are spread widely, so that a threshold of 0.35 leaves some boxes and not all.
    """
    tokenizer = BertTokenizerFast(vocab=small_vocabulary(), do_lower_case=True, model_max_length=MAX_TEXT_LEN)
    images = GroundingDinoImageProcessor(size={"shortest_edge": image_size, "longest_edge": 2 * image_size})
    GroundingDinoProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GroundingDinoForObjectDetection(_config(len(tokenizer), image_size)).eval()
        spread_outputs(model)
    model.save_pretrained(folder)
    return folder


def small_vocabulary() -> dict[str, int]:
    vocabulary = [f"[unused{i}]" for i in range(1100)]
    # These ids are written into the model's code.
    for token, place in {"[PAD]": 0, "[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}.items():
        vocabulary[place] = token
    vocabulary[100], vocabulary[103] = "[UNK]", "[MASK]"
    letters = string.ascii_lowercase + string.digits
    words = [*WORDS, *(c for c in letters if c not in WORDS), *("##" + c for c in letters)]
    vocabulary[110 : 110 + len(words)] = words
    return {token: place for place, token in enumerate(vocabulary)}


def _config(vocab_size: int, image_size: int) -> GroundingDinoConfig:
    vision = SwinConfig(
        image_size=image_size,
        patch_size=4,
        embed_dim=24,
        depths=[1, 1, 2],
        num_heads=[2, 4, 8],
        window_size=4,
        drop_path_rate=0.0,
        out_indices=[2, 3],
    )
    text = BertConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=MAX_TEXT_LEN,
    )
    return GroundingDinoConfig(
        backbone_config=vision,
        text_config=text,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_n_points=2,
        num_queries=20,
        num_feature_levels=3,
        max_text_len=MAX_TEXT_LEN,
        disable_custom_kernels=True,
    )


@torch.no_grad()
def spread_outputs(model: GroundingDinoForObjectDetection) -> None:
    """Undo what makes fresh weights all alike: text that images ignore, boxes that stay on their anchors."""
    for name, parameter in model.named_parameters():
        if name.endswith(("vision_param", "text_param")):
            parameter.fill_(0.3)
        elif "bbox_embed" in name and parameter.ndim == 2:
            parameter.normal_(std=0.2)
        elif "sampling_offsets.weight" in name:
            parameter.normal_(std=0.05)
    # A logit is the dot product of two normalised vectors: make it about -1 with a deviation of 2.
    text_norm = model.model.encoder.layers[-1].text_enhancer_layer.layer_norm_after
    text_norm.weight.fill_(0.35)
    text_norm.bias.fill_(-0.18)
    model.model.decoder.layer_norm.bias.fill_(0.18)
