"""Frames to train on: clips of natural scenes, rendered once by all cores, read from memory maps."""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trackkit.synthetic.render import render_frame
from trackkit.synthetic.scenes import make_natural_scene

HEIGHT, WIDTH = 240, 320
CLIP_FRAMES = 8
SCENE_FRAMES = 60
THINGS = 0.25

TRAIN_SEED = 1_000_000
"""Seeds from here on are for training; those below are for tests and benchmarks."""


@dataclass(frozen=True)
class Pool:
    """Clips in memory maps.

    Attributes:
        frames: ``uint8 (N, T, H, W, 3)``, RGB.
        ids: ``uint8 (N, T, H, W)``: 0, or 1 and up for the objects of ``labels``.
        labels: Of each clip, its objects as ``(color, shape)``.
        visibility: Of each clip, ``float32 (T, objects)``: visible share, 0 where it is hidden or outside.
    """

    frames: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.uint8]
    labels: list[list[tuple[str, str]]]
    visibility: list[npt.NDArray[np.float32]]

    @classmethod
    def open(cls, folder: Path, clips: int, seed: int = TRAIN_SEED) -> Pool:
        """The pool in ``folder``; it is rendered first where it is not there."""
        done = folder / "objects.json"
        if not done.is_file() or len(json.loads(done.read_text())) < clips:
            _render(folder, clips, seed)
        objects = json.loads(done.read_text())
        return cls(
            np.load(folder / "frames.npy", mmap_mode="r"),
            np.load(folder / "ids.npy", mmap_mode="r"),
            [[(color, shape) for color, shape in clip["labels"]] for clip in objects],
            [np.array(clip["visibility"], np.float32) for clip in objects],
        )


def _render(folder: Path, clips: int, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shape = (clips, CLIP_FRAMES, HEIGHT, WIDTH)
    np.lib.format.open_memmap(folder / "frames.npy", "w+", np.uint8, (*shape, 3)).flush()
    np.lib.format.open_memmap(folder / "ids.npy", "w+", np.uint8, shape).flush()
    parts = np.array_split(np.arange(clips), 4 * (os.cpu_count() or 1))
    with ProcessPoolExecutor() as workers:
        objects = [
            clip
            for part in workers.map(_render_part, [folder] * len(parts), parts, [seed] * len(parts))
            for clip in part
        ]
    (folder / "objects.json").write_text(json.dumps(objects))


def _render_part(folder: Path, clips: npt.NDArray[np.int64], seed: int) -> list[dict[str, object]]:
    frames = np.load(folder / "frames.npy", mmap_mode="r+")
    ids = np.load(folder / "ids.npy", mmap_mode="r+")
    objects = []
    for clip in clips.tolist():
        rng = np.random.default_rng((seed, clip))
        scene = make_natural_scene(
            seed + clip, width=WIDTH, height=HEIGHT, num_frames=SCENE_FRAMES, things=THINGS
        )
        targets = sorted((o for o in scene.objects if not o.is_clutter), key=lambda o: o.obj_id)
        visibility = np.zeros((CLIP_FRAMES, len(targets)), np.float32)
        step = int(rng.integers(1, 6))
        first = int(rng.integers(0, SCENE_FRAMES - step * (CLIP_FRAMES - 1)))
        for t in range(CLIP_FRAMES):
            frames[clip, t], truth = render_frame(scene, first + step * t)
            for obj_id, mask, share in zip(truth.obj_ids, truth.masks, truth.visibility, strict=True):
                ids[clip, t][mask] = obj_id  # targets have the ids 1, 2, ... in every natural scene
                visibility[t, obj_id - 1] = share
        objects.append(
            {"labels": [(o.color, o.shape) for o in targets], "visibility": visibility.round(3).tolist()}
        )
    return objects
