"""Names of videos: their order, and how they become safe names of files."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

MAX_STEM_BYTES = 240  # file systems allow 255 for a name: with a hash and the ending of a file it fits

_DECIMAL = r"(?<![0-9.])[0-9]+\.[0-9]+(?!\.?[0-9])"  # not 1.2.3
_RAW_STREAMS = frozenset({".261", ".263", ".264", ".265", ".266"})
_NUMBERS = {True: re.compile(rf"({_DECIMAL}|[0-9]+)"), False: re.compile(r"([0-9]+)")}


def natural_sorted(names: Iterable[str]) -> list[str]:
    """Names in the order of the numbers in them, as a person would put them.

    ``img2`` is before ``img10``, and ``7.25`` before ``7.5``: a point between two numbers makes one of them.
    It does not if there are more points (``1.2.3``), nor in names such as ``1.9`` and ``1.10``: beside
    numbers with one digit after the point, nobody writes ``1.1`` so. A minus is a sign if the same names are
    there without it (``t-1``, ``t0``), else it is a dash. If numbers are equal (``7``, ``007``), the text
    decides.
    """
    names = list(names)
    stems = [_stem(name) for name in names]
    fractions = {part.split(".")[1] for stem in stems for part in re.findall(_DECIMAL, stem)}
    decimal = len({len(digits) for digits in fractions}) < 2 or not any(
        len(digits) > 1 and digits.endswith("0") for digits in fractions
    )
    parts = [_NUMBERS[decimal].split(stem) for stem in stems]
    before = {(i, part) for each in parts for i, part in enumerate(each[:-1]) if i % 2 == 0}
    keys = []
    for each in parts:
        # Text and number alternate, text first, so that like is compared with like.
        key: list[str | Decimal] = [Decimal(part) if i % 2 else part for i, part in enumerate(each)]
        for i in range(0, len(each) - 1, 2):
            if each[i].endswith("-") and (i, each[i][:-1]) in before:
                key[i], key[i + 1] = each[i][:-1], -Decimal(each[i + 1])
        keys.append(key)
    return [names[i] for i in sorted(range(len(names)), key=lambda i: (keys[i], names[i]))]


def _stem(name: str) -> str:
    """The name without its ending. Digits are none (``run1.5`` is a folder), but for those of raw streams."""
    stem, ending = os.path.splitext(name)  # noqa: PTH122 - not of a path
    return name if ending[1:].isdigit() and ending not in _RAW_STREAMS else stem


def output_video_name(source: str) -> str:
    """File name of the annotated video: see :func:`unique_stem`."""
    return f"{unique_stem(source)}.mp4"


def safe_stem(source: str) -> str:
    """File name without extension, of letters, digits, ``_``, ``-`` and ``.`` only: no folder, not hidden.

    At most 80 characters and ``MAX_STEM_BYTES`` bytes.
    """
    stem = re.sub(r"[^\w.-]+", "_", Path(source).stem).strip("._")[:80]
    return stem.encode()[:MAX_STEM_BYTES].decode(errors="ignore") or "video"


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
