"""Where objects are, and how they move."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from trackkit.core.errors import ConfigError
from trackkit.synthetic.dataset import ground_truth
from trackkit.synthetic.render import iter_frames, render_frame
from trackkit.synthetic.scenes import make_scene


@pytest.mark.parametrize("seed", range(4))
def test_occlusion_happens_when_asked_for(seed: int) -> None:
    scene = make_scene(seed, num_objects=2, entries_and_exits=False)
    _, truth = render_frame(scene, scene.num_frames // 2)
    back = dataclasses.replace(scene, objects=scene.objects[:1])
    unhidden = render_frame(back, scene.num_frames // 2)[1].masks[0].sum()
    assert truth.masks[truth.obj_ids == 1].sum() < 0.8 * unhidden


@pytest.mark.parametrize("seed", range(4))
def test_without_occlusion_all_objects_are_whole_in_all_frames(seed: int) -> None:
    scene = make_scene(seed, num_objects=4, occlusion=False, entries_and_exits=False, num_frames=45)
    areas = []
    for _, truth in iter_frames(scene):
        assert truth.obj_ids.tolist() == [1, 2, 3, 4]
        areas.append(truth.masks.sum((1, 2)))
    # Only the pixel raster changes the area a little.
    assert (np.ptp(areas, axis=0) < 0.1 * np.mean(areas, axis=0)).all()


def test_objects_enter_and_leave_over_the_border() -> None:
    truth = ground_truth(make_scene(1, occlusion=False))
    seen = truth.groupby("obj_id")["frame_idx"].agg(["min", "max"])
    assert seen.loc[1].tolist() == [0, 59]
    assert seen.loc[2, "min"] > 0
    assert seen.loc[2, "max"] == 59
    assert seen.loc[3, "min"] == 0
    assert seen.loc[3, "max"] < 59
    first = truth[truth.obj_id == 2].iloc[0]
    last = truth[truth.obj_id == 3].iloc[-1]
    for row in (first, last):
        assert row.y == 0 or row.y + row.height == 240


def test_movement_is_smooth() -> None:
    for obj in make_scene(5, num_objects=6).objects:
        centers = np.array([obj.center(i) for i in range(60)])
        steps = np.hypot(*np.diff(centers, axis=0).T)
        assert steps.max() < 20
        assert max(abs(b - a) for a, b in pairwise(steps)) < 4


def test_short_and_empty_scenes() -> None:
    assert len(list(iter_frames(make_scene(0, num_frames=1)))) == 1
    assert len(ground_truth(make_scene(0, num_objects=0, num_frames=3))) == 0


def test_colours_do_not_repeat_while_some_are_left() -> None:
    colors = [obj.color for obj in make_scene(0, num_objects=8).objects]
    assert len(set(colors)) == 8


@pytest.mark.parametrize(
    "option", [{"shapes": ["blob"]}, {"colors": ["red", "beige"]}, {"background": "sky"}, {"texture": "fur"}]
)
def test_unknown_names_are_refused(option: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="is unknown: choose from"):
        make_scene(0, **option)
