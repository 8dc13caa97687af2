from __future__ import annotations

import numpy as np
import pytest

from trackkit.core.arrays import Image
from trackkit.synthetic.render import iter_frames
from trackkit.synthetic.scenes import make_scene
from trackkit.trackers.by_mask.scene_cuts import FLASH_FRAMES, SceneCuts


def clip(seed: int, num_frames: int = 8, background: str = "noise") -> list[Image]:
    scene = make_scene(seed, width=128, height=96, num_frames=num_frames, background=background)
    return [image for image, _ in iter_frames(scene)]


def cuts_in(images: list[Image], lookahead: int = FLASH_FRAMES) -> list[int]:
    cuts = SceneCuts[int](lookahead)
    decided = []
    for i, image in enumerate(images):
        decided += cuts.push(i, image)
        assert len(cuts) <= lookahead
    decided += cuts.flush()
    assert [i for i, _ in decided] == list(range(len(images)))
    return [i for i, is_cut in decided if is_cut]


DARK = [image // 3 for image in clip(1)]
LIGHT = [255 - image // 3 for image in clip(2)]
WHITE = np.full_like(DARK[0], 255)


@pytest.mark.parametrize("lookahead", [0, 1, 2])
def test_a_cut_is_found_where_it_is(lookahead: int) -> None:
    assert cuts_in(DARK + LIGHT, lookahead) == [len(DARK)]


def test_cuts_may_follow_each_other() -> None:
    assert cuts_in(DARK + LIGHT[:4] + DARK + LIGHT) == [8, 12, 20]
    assert cuts_in([DARK[0], LIGHT[0]]) == [1]


def test_objects_that_move_or_appear_are_no_cut() -> None:
    assert cuts_in(clip(3, 60)) == cuts_in(clip(4, 60, "plain")) == []
    near = DARK[0].copy()
    near[:, :80] = 230  # something large right before the lens
    assert cuts_in([*DARK, near, *DARK]) == []


def test_a_lamp_is_no_cut() -> None:
    assert cuts_in([DARK[0], DARK[0] * 2 + 40, DARK[0]]) == []


def test_a_moving_camera_is_no_cut() -> None:
    wide = np.concatenate(clip(5, 2), axis=1)
    assert cuts_in([np.ascontiguousarray(wide[:, x : x + 128]) for x in range(0, 128, 16)]) == []


@pytest.mark.parametrize("frames", [1, 2])
def test_a_flash_is_no_cut_but_what_stays_is(frames: int) -> None:
    assert cuts_in([*DARK, *[WHITE] * frames, *DARK]) == []
    assert cuts_in([*DARK, *[WHITE] * 3, *DARK]) == [8, 11]
    assert cuts_in([*DARK, WHITE, *LIGHT]) == [8, 9]  # it does not go back to the old scene


def test_real_clips_have_no_cut_and_two_joined_have_one(shared_dir: object) -> None:
    from trackkit.video.reader import VideoReader

    clips = []
    for path in sorted((shared_dir / "videos").glob("*.mp4")):  # type: ignore[operator]
        with VideoReader(str(path)) as reader:
            clips.append([frame.image for frame, _ in zip(reader, range(60), strict=False)])
        assert cuts_in(clips[-1]) == []
        assert cuts_in(clips[-1][::15]) == []
    assert cuts_in([image for clip in clips for image in clip[:4]]) == [4, 8, 12]


@pytest.mark.parametrize("size", [(16, 16), (3, 500), (37, 53)])
def test_any_size_will_do(size: tuple[int, int]) -> None:
    black, white = np.zeros((*size, 3), np.uint8), np.full((*size, 3), 255, np.uint8)
    assert cuts_in([black, black, white, white, white]) == [2]
