"""Tables for benchmarks/RESULTS.md: one section per benchmark, replaced when it runs again."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")


def machine(*packages: str) -> str:
    """One line that says when, where and with which versions."""
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return f"{date.today()}, {cpu}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def publish(title: str, body: str, *, write: bool) -> None:
    """Print a section; with ``write`` put it in RESULTS.md, in place of the one of that title."""
    section = f"## {title}\n\n{body.strip()}\n"
    print(section)
    if not write:
        return
    text = (
        RESULTS.read_text() if RESULTS.exists() else "# Measured\n\nRatios within one run; machines differ.\n"
    )
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if pattern.search(text):
        text = pattern.sub(lambda _: section + "\n", text)
    else:
        text = f"{text.rstrip()}\n\n{section}"
    RESULTS.write_text(text.rstrip() + "\n")
