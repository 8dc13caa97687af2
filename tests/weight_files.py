"""Files of weights, real and not, where they are looked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from trackkit.core.errors import CheckpointError
from trackkit.trackers.sam2.build import build_sam2_model
from trackkit.trackers.sam2.checkpoint import load_sam2

TINY = "sam2.1_hiera_tiny"


def hide_all_weights(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """No weights anywhere and no network: work goes on in ``folder``, and the hub's cache is in it."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("TRACKKIT_MODELS", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    return folder / "hub"


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def in_cache(hub: Path, repo_id: str, *names: str) -> Path:
    """Lay files out as the hub's cache does."""
    repository = hub / f"models--{repo_id.replace('/', '--')}"
    touch(repository / "refs" / "main").write_text("abc")
    for name in names:
        touch(repository / "snapshots" / "abc" / name)
    return repository / "snapshots" / "abc"


def save(release: str, path: Path) -> dict[str, Any]:
    torch.manual_seed(0)
    weights: dict[str, Any] = build_sam2_model(release).state_dict()
    torch.save({"model": weights}, path)
    return weights


def refused(path: Path, sam_type: str = TINY) -> str:
    with pytest.raises(CheckpointError) as error:
        load_sam2(sam_type, str(path))
    assert str(path) in str(error.value)
    return str(error.value)
