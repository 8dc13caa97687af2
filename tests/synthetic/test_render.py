"""Frames and their ground truth: what is in front hides what is behind."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from still_scenes import still

from trackkit.core.colors import NAMED_COLORS
from trackkit.synthetic.render import render_frame
from trackkit.synthetic.scenery import SHAPES
from trackkit.synthetic.scenes import Scene, make_scene


def test_the_same_seed_gives_the_same_video() -> None:
    scene = make_scene(3, background="noise", num_frames=20)
    assert scene == make_scene(3, background="noise", num_frames=20)
    assert scene != make_scene(4, background="noise", num_frames=20)
    assert (render_frame(scene, 7)[0] == render_frame(scene, 7)[0]).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_covers_its_mask_with_its_colour(shape: str) -> None:
    scene = Scene(100, 80, 10, 25.0, (still(shape),))
    image, truth = render_frame(scene, 0)
    background, _ = render_frame(dataclasses.replace(scene, objects=()), 0)
    mask = truth.masks[0]
    assert truth.labels == (f"red {shape}",)
    assert (truth.xyxy[0] >= [20, 10, 20, 10]).all()
    assert (truth.xyxy[0] <= [80, 70, 80, 70]).all()
    assert 400 < mask.sum() < np.pi * 31**2
    # The middle of a pixel decides: inside it is nearer to the colour, outside nearer to the background.
    to_color = abs(image.astype(int) - NAMED_COLORS["red"].rgb).sum(2)
    to_background = abs(image.astype(int) - background).sum(2)
    agree = (to_color < to_background) == mask
    assert agree.mean() > 0.995
    edge = mask != np.roll(mask, 1, 0)
    for shift, axis in ((-1, 0), (1, 1), (-1, 1)):
        edge |= mask != np.roll(mask, shift, axis)
    assert agree[~edge].all()


def test_the_object_in_front_hides_the_one_behind() -> None:
    back, front = still("circle", obj_id=1, radius=30), still("square", "blue", obj_id=2, radius=20)
    scene = Scene(100, 80, 10, 25.0, (back, front))
    alone = render_frame(dataclasses.replace(scene, objects=(back,)), 0)[1]
    _, truth = render_frame(scene, 0)
    assert truth.obj_ids.tolist() == [1, 2]
    assert not (truth.masks[0] & truth.masks[1]).any()
    assert ((truth.masks[0] | truth.masks[1]) == alone.masks[0]).all()


def test_what_cannot_be_seen_is_not_in_the_truth() -> None:
    hidden, outside = still("circle", obj_id=1, radius=10), still("star", "green", x=150, obj_id=3)
    scene = Scene(100, 80, 10, 25.0, (hidden, still("square", "blue", obj_id=2, radius=20), outside))
    _, truth = render_frame(scene, 0)
    assert truth.obj_ids.tolist() == [2]
    assert render_frame(dataclasses.replace(scene, objects=()), 0)[1].masks.shape == (0, 80, 100)
