"""Memory attention of SAM 2 for objects of different age."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor


def memory_attention(
    module: Any,
    current: Tensor,
    current_pos: Tensor,
    memory: Tensor,
    memory_pos: Tensor,
    num_pointer_tokens: int,
    key_mask: Tensor | None,
) -> Tensor:
    """``MemoryAttention.forward`` of the package, for one frame and ``B`` objects of different age.

    Two things differ: keys can be masked, and what all objects share (the frame,
    the first layer's self-attention) is computed once.

    Args:
        module: A ``sam2.modeling.memory_attention.MemoryAttention`` of official shape.
        current: ``(1, HW, C)``.
        current_pos: ``(1, HW, C)``.
        memory: ``(B, T, C_mem)``; the last ``num_pointer_tokens`` tokens have no place in the image.
        memory_pos: ``(B, T, C_mem)``.
        num_pointer_tokens: See ``memory``.
        key_mask: ``bool (B, 1, 1, T)`` or None.

    Returns:
        ``(B, HW, C)``.
    """
    from sam2.modeling.position_encoding import apply_rotary_enc

    b = len(memory)
    num_spatial = memory.shape[1] - num_pointer_tokens
    keys = memory + memory_pos
    x = current + 0.1 * current_pos if module.pos_enc_at_input else current
    for layer in module.layers:
        x = layer._forward_sa(x, current_pos)
        attention, heads = layer.cross_attn_image, layer.cross_attn_image.num_heads
        query = layer.norm2(x)
        q = attention.q_proj(query + current_pos if layer.pos_enc_at_cross_attn_queries else query)
        q = attention._separate_heads(q, heads)
        k = attention._separate_heads(
            attention.k_proj(keys if layer.pos_enc_at_cross_attn_keys else memory), heads
        )
        v = attention._separate_heads(attention.v_proj(memory), heads)
        q, k[:, :, :num_spatial] = apply_rotary_enc(
            q, k[:, :, :num_spatial], freqs_cis=attention.freqs_cis, repeat_freqs_k=attention.rope_k_repeat
        )
        fused = F.scaled_dot_product_attention(q.expand(b, -1, -1, -1), k, v, attn_mask=key_mask)
        x = x + attention.out_proj(attention._recombine_heads(fused))
        x = x + layer.linear2(layer.activation(layer.linear1(layer.norm3(x))))
    normed: Tensor = module.norm(x)
    return normed
