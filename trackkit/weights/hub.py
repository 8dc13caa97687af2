"""The Hugging Face hub: its cache, how far a download is, and why one failed."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from huggingface_hub import constants, try_to_load_from_cache
from huggingface_hub.utils.tqdm import tqdm as hub_tqdm

FetchProgress: TypeAlias = Callable[[str, int, int], None]
"""Called with what is fetched, bytes so far, and bytes in all (0 where that is not known yet)."""


def cached(repo_id: str, file_name: str) -> Path | None:
    """A file of a repository if it is in the cache; never uses the network."""
    found = try_to_load_from_cache(repo_id, file_name)
    return Path(found) if isinstance(found, str) else None


def progress_bars(what: str, progress: FetchProgress | None) -> Any:
    """A class for ``tqdm_class`` of the hub's functions; None keeps their own bars."""
    if progress is None:
        return None
    report = progress

    class Bar(hub_tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "file": io.StringIO(), "disable": False})

        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            if self.unit == "B":  # others count files
                report(what, int(self.n), int(self.total or 0))
            return shown

    return Bar


def why_not(error: Exception) -> str:
    """What to say of a download that failed."""
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    return f"fetching failed ({type(error.__cause__ or error).__name__})"
