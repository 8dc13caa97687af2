"""The main job on videos that are made on the spot: no weights, no GPU, no network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trackkit.config import TrackConfig
from trackkit.datasets import make_natural_scene, write_dataset

DEMO_CLASSES = ("red circle", "blue square", "yellow star", "green triangle")
DEMO_PROMPT = ". ".join(DEMO_CLASSES) + "."
DEMO_SEEDS = {"terrazzo": 33, "planks": 39, "haze": 48}


@dataclass(frozen=True, slots=True)
class DemoFiles:
    """What the demo leaves behind.

    Attributes:
        videos: Folder of the source videos.
        ground_truth: What there is to be seen in them, for ``trackkit eval``.
        jsonl: The results.
        annotated: Folder of the annotated videos.
        contact_sheet: PNG with annotated frames of every video.
    """

    videos: Path
    ground_truth: Path
    jsonl: Path
    annotated: Path
    contact_sheet: Path

    @classmethod
    def under(cls, folder: Path) -> DemoFiles:
        """The demo's files in ``folder``."""
        return cls(
            videos=folder / "videos",
            ground_truth=folder / "videos" / "ground_truth.jsonl",
            jsonl=folder / "tracks.jsonl",
            annotated=folder / "annotated",
            contact_sheet=folder / "contact_sheet.png",
        )


def demo_config() -> TrackConfig:
    """The embedded default: GroundingDINO and SAM 2, as small as they ship with trackkit."""
    return TrackConfig.from_preset("mini", DEMO_PROMPT)


def make_demo_videos(folder: Path) -> list[Path]:
    """Three videos of shapes among clutter that hide each other, come in, leave and return."""
    names = [(color, shape) for color, shape in map(str.split, DEMO_CLASSES)]
    scenes = {
        name: make_natural_scene(seed, width=640, height=360, num_objects=4, names=names)
        for name, seed in DEMO_SEEDS.items()
    }
    write_dataset(scenes, folder)
    return [folder / f"{name}.mp4" for name in scenes]
