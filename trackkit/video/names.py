"""Names of videos that are safe as names of files."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path


def output_video_name(source: str) -> str:
    """File name of the annotated video: see :func:`unique_stem`."""
    return f"{unique_stem(source)}.mp4"


def safe_stem(source: str) -> str:
    """File name without extension, of letters, digits, ``_``, ``-`` and ``.`` only: no folder, not hidden."""
    return re.sub(r"[^\w.-]+", "_", Path(source).stem).strip("._")[:80] or "video"


def unique_stem(source: str) -> str:
    """The safe stem and a hash of the absolute path.

    The hash keeps ``a/car.mp4`` and ``b/car.mp4`` apart, in this run and in later ones.
    """
    return f"{safe_stem(source)}-{hashlib.sha256(os.fsencode(source)).hexdigest()[:8]}"


def dataset_names(sources: Iterable[str]) -> dict[str, str]:
    """A name for each of the videos of a dataset: the safe stem; the unique one where several share that."""
    stems = {source: safe_stem(source) for source in sources}
    times = Counter(stem.casefold() for stem in stems.values())
    return {s: stem if times[stem.casefold()] == 1 else unique_stem(s) for s, stem in stems.items()}
