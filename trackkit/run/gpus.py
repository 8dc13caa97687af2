"""Which GPU each worker gets."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from trackkit.core.errors import ClusterError, ConfigError
from trackkit.core.words import plural


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES would name them; empty without any."""
    import torch

    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return (named or [str(index) for index in range(count)])[:count]


def choose_gpus(
    device: str | None = None, gpu_ids: Sequence[int] | None = None, num_workers: int | None = None
) -> list[str]:
    """The GPU of each worker; an empty list means workers on the CPU.

    Args:
        device: ``"cpu"``, ``"cuda"`` (every GPU), ``"cuda:N"`` (that one), or None: GPUs if there are any.
        gpu_ids: Indices of the GPUs to use, as torch counts them; a GPU that is named twice gets two workers.
        num_workers: Number of workers; above the number of ids they go round the ids.

    Raises:
        ConfigError: The values contradict each other.
        ClusterError: A GPU was asked for that is not there.
    """
    if device is not None and not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        msg = f"device is {device!r}: choose cpu, cuda, or cuda:N"
        raise ConfigError(msg)
    if device == "cpu":
        if gpu_ids:
            msg = f"device is 'cpu', but gpu_ids are {list(gpu_ids)}: give one of the two"
            raise ConfigError(msg)
        return []
    if device is not None and ":" in device:
        index = int(device.partition(":")[2])
        if gpu_ids and set(gpu_ids) != {index}:
            msg = f"device is {device!r}, but gpu_ids are {list(gpu_ids)}: give one of the two"
            raise ConfigError(msg)
        gpu_ids = gpu_ids or [index]
    visible = visible_gpus()
    if not visible and (device or gpu_ids):
        asked = f"gpu_ids {list(gpu_ids)}" if gpu_ids else f"device {device!r}"
        msg = (
            f"{asked} was asked for, but torch sees no GPU here: use --device cpu, or see `trackkit doctor` "
            "for what is missing (driver, CUDA build of torch, CUDA_VISIBLE_DEVICES)"
        )
        raise ClusterError(msg)
    wrong = [index for index in gpu_ids or () if not 0 <= index < len(visible)]
    if wrong:
        seen = plural(len(visible), "GPU")
        msg = f"gpu_ids {wrong} are not there: torch sees {seen}, 0 to {len(visible) - 1}"
        raise ClusterError(msg)
    slots = [visible[index] for index in gpu_ids] if gpu_ids else visible
    if num_workers and slots:
        slots = [slots[k % len(slots)] for k in range(num_workers)]
    return slots
