"""The main job on videos that are made on the spot: no weights, no GPU, no network."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from trackkit.cli.options import Commands
from trackkit.cli.track import run_job
from trackkit.config import TrackConfig
from trackkit.run.job import Job
from trackkit.run.options import SessionOptions
from trackkit.synthetic.dataset import write_dataset
from trackkit.synthetic.scenes import make_natural_scene
from trackkit.tracking_results import read_jsonl

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


def add_command(commands: Commands) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "demo",
        help="see it work: no weights, no GPU, no network",
        description="Make three videos, track them on a cluster of this machine, leave results to look at.",
    )
    parser.add_argument(
        "--output-dir", default="demo_output", help="where everything goes (default: %(default)s)"
    )
    parser.add_argument("--num-workers", type=int, default=2, help="workers (default: %(default)s)")
    parser.set_defaults(command=_demo)


def _demo(options: argparse.Namespace, console: Console) -> int:
    from trackkit.notebook.show import contact_sheet

    files = DemoFiles.under(Path(options.output_dir))
    console.print("making three videos ...")
    videos = make_demo_videos(files.videos)
    shutil.rmtree(files.annotated, ignore_errors=True)
    files.jsonl.unlink(missing_ok=True)
    with Job(videos, demo_config(), output_jsonl=files.jsonl, output_video_dir=files.annotated) as job:
        code = run_job(job, SessionOptions(device="cpu", num_workers=options.num_workers), console)
    contact_sheet(read_jsonl(files.jsonl)).save(files.contact_sheet)
    console.print(f"frames of each    {files.contact_sheet}", markup=False, highlight=False)
    return code
