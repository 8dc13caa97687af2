"""A run as HTML: how many, how fast, what failed and why, and the tracks that are least to be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import pandas as pd

from trackkit.core.words import plural
from trackkit.results.trust import PARTS

_SHOWN = 10  # rows of a table in a summary


def results_html(
    title: str,
    prompt: str,
    *,
    notes: Sequence[str] = (),
    videos: pd.DataFrame,
    failures: pd.DataFrame,
    trust: pd.DataFrame,
) -> str:
    """A run: how many, how fast, what failed and why, and the tracks that are least to be trusted.

    Args:
        title: The counts, in a line.
        prompt: What was looked for.
        notes: ``results.notes``.
        videos: ``results.videos``.
        failures: ``results.failures``.
        trust: ``results.trust``.
    """
    videos = videos[videos["status"] != "failed"]
    seconds, frames = videos["seconds_total"].sum(), videos["frames"].sum()
    lines = [f"<b>{escape(title)}</b>", f"prompt <i>{escape(prompt)}</i>"]
    lines += [f"note: {escape(note)}" for note in notes]
    if seconds and frames:
        lines.append(
            f"{frames / seconds:.1f} frames/s a worker, {seconds:.0f} s of work on "
            f"{plural(videos['worker'].nunique(), 'worker')}, {frames / len(videos):.0f} frames a video"
        )
    if warned := int(videos["warnings"].notna().sum()):
        lines.append(f"{plural(warned, 'video')} with warnings: <code>results.videos.warnings</code>")
    parts = ["".join(f"<div>{line}</div>" for line in lines)]
    if len(failures):
        columns = ["video_path", "error_type", "message", "attempts"]
        parts.append(_listing("Failures", failures[columns], "results.failures"))
    if len(trust):
        worst = trust.sort_values("trust", kind="stable")
        columns = ["video_path", "obj_id", "label", "rows", "trust", *PARTS]
        parts.append(_listing("Least trusted tracks", worst[columns], "results.review()", shown=5))
    return "".join(parts)


def _listing(title: str, table: pd.DataFrame, whole: str, shown: int = _SHOWN) -> str:
    more = f" ({shown} of {len(table)}, all: <code>{whole}</code>)" if len(table) > shown else ""
    with pd.option_context("display.max_colwidth", None):
        rows = table.head(shown).to_html(index=False, border=0, na_rep="", float_format="{:.2f}".format)
    return f"<div style='margin-top: .6em'><b>{title}</b>{more}</div>{rows}"
