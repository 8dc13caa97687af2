"""Shapes, backgrounds and textures."""

from __future__ import annotations

import numpy as np
import pytest
from overlaps import mask_iou
from still_scenes import still

from trackkit.synthetic.render import render_frame
from trackkit.synthetic.scenery import BACKGROUNDS, SHAPES, TEXTURES
from trackkit.synthetic.scenes import Scene, make_scene


def test_all_shapes_differ() -> None:
    masks = [render_frame(Scene(100, 80, 10, 25.0, (still(shape),)), 0)[1].masks for shape in SHAPES]
    iou = mask_iou(np.concatenate(masks), np.concatenate(masks))
    assert (iou[~np.eye(len(SHAPES), dtype=bool)] < 0.8).all()


@pytest.mark.parametrize("background", BACKGROUNDS)
@pytest.mark.parametrize("texture", TEXTURES)
def test_backgrounds_and_textures_can_be_combined(background: str, texture: str) -> None:
    image, truth = render_frame(make_scene(2, background=background, texture=texture), 30)
    assert image.dtype == np.uint8
    assert image.shape == (240, 320, 3)
    nothing = ~truth.masks.any(0)
    spread = np.ptp(image[nothing].astype(int), axis=1)
    assert np.median(spread) == 0  # neutral
