"""Progress that a worker reports."""

from __future__ import annotations

import trackkit as tk


def progress(
    video: str, worker: str = "0", frames: int = 4, seconds: float = 2.0, **more: object
) -> tk.Progress:
    parts = {"decode": seconds / 4, "detect": 3 * seconds / 4}
    return tk.Progress(video, worker, frames, 8, 2, parts, **more)  # type: ignore[arg-type]
