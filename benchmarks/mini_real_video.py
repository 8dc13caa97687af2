"""What the mini models, which have never seen a photograph, find in real video.

    python benchmarks/mini_real_video.py FOLDER --write       # with 02_cups.mp4 and 03_blocks.mp4 in it

The clips are from the public demo galleries of SAM 2 and EdgeTAM. Reference is the colour detector, where it
can tell things apart: the first 50 frames of the cups, before they are shuffled; all of the blocks.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from report import machine, publish, table

import trackkit as tk
from trackkit.core.boxes import box_iou
from trackkit.core.frames import Frame
from trackkit.detectors import load_detector
from trackkit.video.reader import VideoReader

CUPS, FIRST, APART, LASTING = 3, 60, 50, 10
EVERY = 10
SMALLEST_PX = 900  # smaller regions are specks: a block is about 75 x 75


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output-dir", type=Path, help="annotated videos go there")
    parser.add_argument("--write", action="store_true", help="put the tables into RESULTS.md")
    options = parser.parse_args()
    if options.output_dir is not None:
        options.output_dir.mkdir(parents=True, exist_ok=True)
    rows = [
        *cups(options.folder / "02_cups.mp4", options.output_dir),
        *blocks(options.folder / "03_blocks.mp4"),
    ]
    body = f"{machine('torch', 'sam2', 'transformers')}; `--preset mini`.\n\n"
    publish("Mini models: real video", body + table(("", "measured", "goal"), rows), write=options.write)


def cups(path: Path, output: Path | None) -> list[Sequence[object]]:
    """Three red cups, lifted, put down, and shuffled from frame 50 on."""
    video = None if output is None else output / "cups.mp4"
    tracks = tk.track_video(path, tk.TrackConfig.from_preset("mini", "red object"), output_video=video).tracks
    reference = tk.track_video(path, tk.TrackConfig.from_preset("color", "red")).tracks
    early = tracks[tracks["frame_idx"] < FIRST]
    main_ids = early["obj_id"].value_counts().index[:CUPS]
    in_frame = early[early["obj_id"].isin(main_ids)].groupby("frame_idx").size()
    others = early[~early["obj_id"].isin(main_ids)]["obj_id"].value_counts()
    same = [on_distinct(tracks, reference, main_ids, idx) for idx in range(0, APART, EVERY)]
    lasts = ", ".join(f"{(tracks['obj_id'] == i).sum()}" for i in sorted(main_ids))
    return [
        (
            f"cups: first {FIRST} frames with all three, share",
            f"{(in_frame == CUPS).sum() / FIRST:.2f}",
            "0.90",
        ),
        (f"cups: frames in which the three are the cups, of {len(same)}", sum(same), len(same)),
        (f"cups: other objects for {LASTING} of these frames", int((others >= LASTING).sum()), "0"),
        (f"cups: frames of each id, of {tracks['frame_idx'].max() + 1} with the shuffle", lasts, ""),
        ("cups: ids in all", tracks["obj_id"].nunique(), ""),
    ]


def on_distinct(tracks: pd.DataFrame, reference: pd.DataFrame, ids: pd.Index, idx: int) -> bool:
    """Whether the objects lie on different regions of the reference in this frame."""
    mine, theirs = (boxes(t[t["frame_idx"] == idx]) for t in (tracks[tracks["obj_id"].isin(ids)], reference))
    iou = box_iou(mine, theirs)
    return len(mine) == CUPS and bool((iou.max(1) > 0.5).all()) and len(set(iou.argmax(1).tolist())) == CUPS


def blocks(path: Path) -> list[Sequence[object]]:
    """Letter blocks, some of them yellow, and hands."""
    mini = load_detector(tk.TrackConfig.from_preset("mini", "yellow object"), "cpu")
    color = load_detector(tk.TrackConfig.from_preset("color", "yellow"), "cpu")
    frames: list[Frame] = []
    with VideoReader(path) as reader:
        frames = [frame for frame in reader if frame.idx % EVERY == 0]
    found = regions = detections = 0
    for frame in frames:
        (mine,), (theirs,) = (each.detect([frame.image]) for each in (mini, color))
        size = np.prod(theirs.xyxy[:, 2:] - theirs.xyxy[:, :2], axis=1)
        large = theirs.xyxy[size >= SMALLEST_PX]
        found += int((box_iou(large, mine.xyxy).max(1, initial=0) >= 0.5).sum())
        regions += len(large)
        detections += len(mine)
    return [
        (
            f"blocks: yellow regions found, of {regions} in {len(frames)} frames, share",
            f"{found / regions:.2f}",
            "0.60",
        ),
        ("blocks: detections in all", detections, ""),
    ]


def boxes(tracks: pd.DataFrame) -> np.ndarray:
    corner = tracks[["x", "y"]].to_numpy(np.float32)
    return np.hstack([corner, corner + tracks[["width", "height"]].to_numpy(np.float32)])


if __name__ == "__main__":
    main()
