"""What ``TrackConfig.dtype`` means on a device."""

from __future__ import annotations

import torch


def compute_dtype(name: str, device: str | torch.device) -> torch.dtype:
    """``fp32``, ``bf16`` or ``fp16`` as said; ``auto`` is bf16 on a GPU that has it, else fp32."""
    if name == "auto":
        on_gpu = torch.device(device).type == "cuda"
        has_bf16 = on_gpu and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if has_bf16 else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]
