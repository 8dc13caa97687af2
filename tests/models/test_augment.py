"""What the trainer of the mini models does to its clips: all frames of one get the same decoration."""

from __future__ import annotations

import colorsys
import importlib.util
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from trackkit.core.arrays import Image

AUGMENT = Path(__file__).parents[2] / "models" / "mini" / "augment.py"
SPEC = importlib.util.spec_from_file_location("augment", AUGMENT)
assert SPEC is not None and SPEC.loader is not None
augment = sys.modules[SPEC.name] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(augment)

SEEDS = range(60)
GREY = 120
COLORS = {1: (200, 40, 40), 2: (40, 60, 210), 3: (40, 190, 60)}
PLACES = {1: (20, 20), 2: (20, 60), 3: (60, 20)}
SIZE = 26  # pixels of each side: more than a print needs


def clip_of(*frames: dict[int, int]) -> tuple[Image, npt.NDArray[np.uint8]]:
    """A clip of squares on plain grey: for each frame the objects in it, and how large they are."""
    ids = np.zeros((len(frames), 100, 160), np.uint8)
    for t, sizes in enumerate(frames):
        for obj_id, size in sizes.items():
            y, x = PLACES[obj_id]
            ids[t, y : y + size, x : x + size] = obj_id
    images = np.full((*ids.shape, 3), GREY, np.uint8)
    for obj_id, color in COLORS.items():
        images[ids == obj_id] = color
    return images, ids


ALL = dict.fromkeys(COLORS, SIZE)
LEAVES = [ALL, {1: SIZE, 2: SIZE}, {1: SIZE}, {}]


def decorated(seed: int, images: Image, ids: npt.NDArray[np.uint8]) -> Image:
    return np.asarray(augment.redecorate(np.random.default_rng(seed), images, ids))


def hue_of(image: Image) -> float:
    """Hue of the background far from all objects, in turns; grey has none, which is NaN."""
    hue, saturation, _ = colorsys.rgb_to_hsv(*np.median(image[:, 120:].reshape(-1, 3), 0) / 255)
    return hue if saturation > 0.08 else np.nan


def test_a_cloth_keeps_its_hue_when_objects_leave() -> None:
    images, ids = clip_of(*LEAVES)
    coloured = 0
    for seed in SEEDS:
        hues = np.array([hue_of(image) for image in decorated(seed, images, ids)])
        assert np.isnan(hues).all() or not np.isnan(hues).any(), seed
        away = np.abs(hues - hues[0])
        assert (np.minimum(away, 1 - away) < 0.02).all() or np.isnan(hues).all(), (seed, hues)
        coloured += not np.isnan(hues).any()
    assert coloured > 10


def test_the_hue_is_near_that_of_an_object_which_is_not_in_every_frame() -> None:
    images, ids = clip_of({}, ALL, {3: SIZE})
    own = [colorsys.rgb_to_hsv(*np.array(color) / 255)[0] for color in COLORS.values()]
    hues = np.array([hue_of(decorated(seed, images, ids)[0]) for seed in SEEDS])
    hues = hues[~np.isnan(hues)]
    away = np.abs(hues[:, None] - own)
    near = np.minimum(away, 1 - away) < 0.14
    assert near.any(1).mean() > 0.6  # seven of ten cloths, and of the others some by chance
    assert near.any(0).all()


@pytest.mark.parametrize(
    "frames", [LEAVES, [ALL, {**ALL, 1: 6}, {**ALL, 1: 1}]], ids=["objects leave", "one gets small"]
)
def test_the_others_keep_their_looks(frames: list[dict[int, int]]) -> None:
    """Prints and shades of an object are drawn for it, whatever else the frame shows."""
    images, ids = clip_of(*frames)
    changed = set()
    for seed in SEEDS:
        out = decorated(seed, images, ids)
        for obj_id in COLORS:
            whole = [t for t, sizes in enumerate(frames) if sizes.get(obj_id) == SIZE]
            y, x = PLACES[obj_id]
            looks = out[whole, y + 4 : y + SIZE - 4, x + 4 : x + SIZE - 4]  # a cloth shines into the border
            assert (looks == looks[0]).all(), (seed, obj_id)
            if (looks[0] != COLORS[obj_id]).any():
                changed.add(seed)
    assert len(changed) > 15


def test_all_frames_of_a_clip_are_photographed_alike() -> None:
    images, _ = clip_of({}, {}, {})
    for seed in SEEDS:
        out = augment.photograph(np.random.default_rng(seed), images)
        assert (out == out[0]).all()
    assert (out != images).any()
