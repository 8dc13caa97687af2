"""The main job on videos that are made on the spot: no weights, no GPU, no network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from trackkit.config import TrackConfig
from trackkit.datasets import make_scene, write_video
from trackkit.render import contact_sheet
from trackkit.results import TrackingResults
from trackkit.structures import VideoFailure
from trackkit.video import VideoReader

DEMO_COLORS = ("red", "yellow", "blue", "green")
DEMO_PROMPT = ". ".join(DEMO_COLORS) + "."


@dataclass(frozen=True, slots=True)
class DemoFiles:
    """What the demo leaves behind.

    Attributes:
        videos: Folder of the source videos.
        jsonl: The results.
        annotated: Folder of the annotated videos.
        contact_sheet: PNG with frames of every annotated video.
    """

    videos: Path
    jsonl: Path
    annotated: Path
    contact_sheet: Path

    @classmethod
    def under(cls, folder: Path) -> DemoFiles:
        """The demo's files in ``folder``."""
        return cls(
            folder / "videos", folder / "tracks.jsonl", folder / "annotated", folder / "contact_sheet.png"
        )


def demo_config() -> TrackConfig:
    """The embedded default, which needs no weights."""
    return TrackConfig.from_preset("color", DEMO_PROMPT)


def make_demo_videos(folder: Path) -> list[Path]:
    """Three videos of coloured shapes that hide each other, come in and leave."""
    folder.mkdir(parents=True, exist_ok=True)
    scenes = {
        "crossing": make_scene(5, width=640, height=360, num_frames=120, num_objects=3, colors=DEMO_COLORS),
        "busy": make_scene(
            10,
            width=640,
            height=360,
            num_frames=100,
            num_objects=4,
            colors=DEMO_COLORS,
            background="gradient",
        ),
        "grainy": make_scene(
            8, width=640, height=360, num_frames=80, num_objects=4, colors=DEMO_COLORS, background="noise"
        ),
    }
    return [write_video(scene, folder / f"{name}.mp4") for name, scene in scenes.items()]


def write_contact_sheet(results: TrackingResults, path: Path, columns: int = 4) -> None:
    """A PNG with frames of every annotated video, a row each, evenly spread over its length."""
    rows = []
    for result in sorted(results.outcomes, key=lambda outcome: outcome.task.video_path):
        if isinstance(result, VideoFailure) or result.task.output_video is None:
            continue
        frames, objects = len(result.frames[0]), result.tracks["obj_id"].nunique()
        wanted = set(np.linspace(0, frames - 1, columns + 2).round().astype(int)[1:-1].tolist())
        with VideoReader(result.task.output_video) as reader:
            images = [frame.image for frame in reader if frame.idx in wanted]
        title = f"{Path(result.task.video_path).name}: {objects} objects in {frames} frames"
        rows.append((title, images))
    PillowImage.fromarray(contact_sheet(rows)).save(path)
