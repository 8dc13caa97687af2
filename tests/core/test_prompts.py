"""What the user points out is checked when it is said, and followed as the model follows it."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import trackkit as tk
from trackkit.core.errors import ConfigError, PromptError, ResultsError
from trackkit.core.masks import decode_rle
from trackkit.core.prompts import Prompt, settle_prompts
from trackkit.results.journal import Journal
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.render import GroundTruthFrame, iter_frames
from trackkit.synthetic.scenes import make_natural_scene
from trackkit.tracking.models import Models, load_models

torch.set_num_threads(1)

PROMPT = "cyan star. cyan square. green triangle"
CONFIG = tk.TrackConfig.from_preset("mini", PROMPT, detector="none")
SCENE = make_natural_scene(0, num_frames=16)  # a cyan star, a cyan square and a green triangle
SIZE = (SCENE.height, SCENE.width)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(SCENE, tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture(scope="module")
def truth() -> list[GroundTruthFrame]:
    return [frame for _, frame in iter_frames(SCENE)]


@pytest.fixture(scope="module")
def models() -> Models:
    return load_models(CONFIG, "cpu")


@pytest.fixture(scope="module")
def by_hand(clip: Path, truth: list[GroundTruthFrame], models: Models) -> tk.VideoResult:
    """The square by its box from frame 0 on, the triangle by a click from frame 4 on."""
    y, x = np.argwhere(truth[4].masks[2]).mean(0)
    prompts = [
        Prompt(4, 3, "green triangle", points=[(x, y)]),
        Prompt(0, 7, "cyan square", box=truth[0].xyxy[1]),
    ]
    return tk.track_video(clip, CONFIG, prompts=prompts, models=models)


def overlap(
    tracks: pd.DataFrame, obj_id: int, truth: list[GroundTruthFrame], k: int, first: int = 0
) -> float:
    """Mean IoU of an object with the ``k``-th of the scene."""
    of = tracks[tracks["obj_id"] == obj_id].set_index("frame_idx")["mask_rle"]
    found = [decode_rle(of[t.idx], *SIZE) if t.idx in of.index else np.zeros(SIZE, bool) for t in truth]
    pairs = [(a, t.masks[k]) for a, t in zip(found, truth, strict=True) if t.idx >= first]
    return float(np.mean([(a & b).sum() / (a | b).sum() for a, b in pairs]))


def test_prompts_are_plain_values() -> None:
    mask = np.zeros((6, 8), bool)
    mask[2:4, 3:7] = True
    for prompt in (
        Prompt(3, 1, "car", box=np.array([1, 2, 3.5, 4], np.float32), points=[[2, 3]], point_labels=[0]),
        Prompt(np.int64(0), 2, mask=mask),  # type: ignore[arg-type]
    ):
        assert Prompt(**asdict(prompt)) == prompt
        assert hash(replace(prompt, label="x")) != hash(prompt)
    assert (prompt.decode_mask() == mask).all()
    assert repr(Prompt(3, 1, "car", box=(1, 2, 3.5, 4), points=[(2, 3)])) == (
        "Prompt(frame 3, object 1 'car', box 1 2 3.5 4, +(2, 3))"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "expected a box, points or both; or else a mask"),
        ({"box": (1, 2, 3)}, "expected four finite numbers"),
        ({"box": (1, 2, 3, np.nan)}, "expected four finite numbers"),
        ({"points": [(1, 2, 3)]}, "expected pairs of finite"),
        ({"points": [(1, 2)], "point_labels": [1, 0]}, "a 1 or 0 for each"),
        ({"mask": np.zeros((4, 4))}, "the mask is empty"),
        ({"mask": np.ones((4, 4)), "box": (1, 2, 3, 4)}, "or else a mask"),
        ({"frame_idx": -1, "box": (1, 2, 3, 4)}, "frame_idx is -1"),
        ({"obj_id": 0, "box": (1, 2, 3, 4)}, "obj_id is 0"),
    ],
)
def test_what_does_not_fit_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        Prompt(**{"frame_idx": 0, "obj_id": 1, **values})  # type: ignore[arg-type]


def test_labels_are_classes_of_the_prompt() -> None:
    start = Prompt(0, 1, "cyan star", box=(1, 2, 3, 4))
    later = Prompt(5, 1, points=[(1, 2)], point_labels=[0])
    assert [p.label for p in settle_prompts([later, start], CONFIG.classes, 100)] == ["cyan star"] * 2
    for bad, message in (
        ([Prompt(0, 1, box=(1, 2, 3, 4))], "expected one of 'cyan star'"),
        ([Prompt(0, 1, "dog", box=(1, 2, 3, 4))], "label is 'dog'"),
        ([start, replace(later, label="cyan square")], "expected 'cyan star', as before"),
        ([start, start], "there are two"),
        ([replace(later, label="cyan star")], "begins with clicks off the object"),
    ):
        with pytest.raises(PromptError, match=message):
            settle_prompts(bad, CONFIG.classes, 100)
    with pytest.raises(PromptError, match="max_objects is 1"):
        settle_prompts([start, replace(start, obj_id=2)], CONFIG.classes, 1)


def test_what_lies_outside_is_named(clip: Path, models: Models) -> None:
    for values, message in (
        ({"box": (400, 10, 500, 50)}, "has no area in the frame"),
        ({"points": [(10, 300)]}, r"click \(10, 300\) is outside of the frame, the video is 320 x 240"),
        ({"mask": np.ones((10, 20))}, "the mask is 20 x 10 pixels"),
    ):
        with pytest.raises(PromptError, match=message):
            tk.track_video(
                clip,
                CONFIG,
                prompts=[Prompt(0, 1, "cyan star", **values)],
                models=models,  # type: ignore[arg-type]
            )
    late = Prompt(99, 1, "cyan star", box=(1, 2, 30, 40))
    with pytest.raises(PromptError, match="frames 99, but the last frame is 15"):
        tk.track_video(clip, CONFIG, prompts=[late], models=models)
    between = replace(late, frame_idx=3)
    with pytest.raises(PromptError, match=r"not every frame is processed \(fps 2.0\), the nearest is"):
        tk.track_video(clip, CONFIG.replace(fps=2.0), prompts=[between], models=models)


def test_a_tracker_of_detections_says_so(clip: Path) -> None:
    config = tk.TrackConfig.from_preset("color", "cyan")
    with pytest.raises(ConfigError, match=r"'bytetrack' joins detections and cannot take prompts: .* sam2"):
        tk.track_video(clip, config, prompts=[Prompt(0, 1, "cyan", box=(1, 2, 30, 40))])
    with pytest.raises(PromptError, match=r"no detector .* and no prompt"):
        tk.track_video(clip, CONFIG)


def test_objects_by_hand_are_followed_under_their_ids(
    by_hand: tk.VideoResult, truth: list[GroundTruthFrame]
) -> None:
    tracks = by_hand.tracks
    assert set(zip(tracks["obj_id"], tracks["label"], strict=True)) == {
        (7, "cyan square"),
        (3, "green triangle"),
    }
    assert tracks.groupby("obj_id")["frame_idx"].min().to_dict() == {3: 4, 7: 0}
    assert (tracks[tracks["detected"]][["frame_idx", "obj_id"]].to_numpy().tolist()) == [[0, 7], [4, 3]]
    assert overlap(tracks, 7, truth, 1) > 0.6
    assert overlap(tracks, 3, truth, 2, first=4) > 0.6


def test_a_box_by_hand_is_as_good_as_a_detection(
    clip: Path, truth: list[GroundTruthFrame], by_hand: tk.VideoResult
) -> None:
    """Beside the detector, which finds what is not pointed out, and gives it other ids."""
    config = tk.TrackConfig.from_preset("mini", PROMPT)
    found = tk.track_video(clip, config, prompts=[Prompt(0, 1, "cyan star", box=truth[0].xyxy[0])]).tracks
    assert overlap(found, 1, truth, 0) > 0.6
    assert len(found["obj_id"].unique()) > 1
    others = {i: overlap(found, i, truth, 1) for i in found["obj_id"].unique() if i != 1}
    assert overlap(by_hand.tracks, 7, truth, 1) >= max(others.values()) - 0.02
    stars = [i for i in others if overlap(found, i, truth, 0) > 0.3]
    assert not stars  # the detections of the star went to the object that was pointed out


def test_results_are_of_their_prompts(tmp_path: Path, clip: Path, by_hand: tk.VideoResult) -> None:
    path = tmp_path / "tracks.jsonl"
    with Journal(path, CONFIG) as journal:
        journal.write(by_hand)
    (back,) = tk.read_jsonl(path).outcomes
    assert isinstance(back, tk.VideoResult)
    assert back.task == by_hand.task
    pd.testing.assert_frame_equal(back.tracks, by_hand.tracks)
    same, other = by_hand.task.prompts, by_hand.task.prompts[:1]
    with tk.Job([clip], CONFIG, output_jsonl=path, prompts={str(clip): same}) as job:
        assert (len(job.done), len(job.tasks)) == (1, 0)
        assert [each.task for each in job.read_done()] == [by_hand.task]
    with tk.Job([clip], CONFIG, output_jsonl=path, prompts={str(clip): other}) as job:
        assert (len(job.done), len(job.tasks)) == (0, 1)
    with pytest.raises(PromptError, match="not among those to be tracked"):
        tk.Job([clip], CONFIG, prompts={"elsewhere.mp4": same})


def test_corrections_go_on_from_their_frame(
    tmp_path: Path, clip: Path, truth: list[GroundTruthFrame], by_hand: tk.VideoResult
) -> None:
    results = tk.TrackingResults([by_hand], CONFIG)
    edit = tk.edit(results)
    assert edit.obj_ids == [3, 7]
    y, x = np.argwhere(truth[9].masks[0]).mean(0)
    edit.add_click(1, 9, x, y, label="cyan star")
    edit.add_mask(3, 8, truth[8].masks[1])  # it moves over to the square
    edit.add_click(7, 10, 1, 1, positive=False)
    after = edit.run().tracks
    for obj_id, first in ((3, 8), (7, 10)):
        old, new = (t[(t["obj_id"] == obj_id) & (t["frame_idx"] < first)] for t in (by_hand.tracks, after))
        pd.testing.assert_frame_equal(old.reset_index(drop=True), new.reset_index(drop=True))
    assert after[after["obj_id"] == 1]["frame_idx"].min() == 9
    assert overlap(after, 1, truth, 0, first=9) > 0.5
    assert overlap(after, 3, truth, 1, first=8) > 0.6 > 0.1 > overlap(by_hand.tracks, 3, truth, 1, first=8)
    dropped = edit.drop(7, from_frame=5).run().tracks
    gone = (after["obj_id"] == 7) & (after["frame_idx"] >= 5)
    pd.testing.assert_frame_equal(dropped, after[~gone].reset_index(drop=True))
    path = tmp_path / "tracks.jsonl"
    with Journal(path, CONFIG) as journal:
        journal.write(by_hand)
    edit.save(path)
    pd.testing.assert_frame_equal(tk.read_jsonl(path).tracks, dropped)
    with tk.Job([clip], CONFIG, output_jsonl=path, prompts={str(clip): by_hand.task.prompts}) as job:
        (latest,) = job.read_done()  # the correction, and not what it corrects
        assert isinstance(latest, tk.VideoResult)
        pd.testing.assert_frame_equal(latest.tracks, dropped)


def test_annotations_say_what_does_not_fit(clip: Path, by_hand: tk.VideoResult) -> None:
    edit = tk.edit(tk.TrackingResults([by_hand], CONFIG), str(clip))
    for say, message in (
        (lambda: edit.drop(5), "there is no object 5: the objects are 3, 7"),
        (lambda: edit.add_click(3, 16, 5, 5), "is beyond the end: the last one is 15"),
        (lambda: edit.add_click(3, 2, 5, 5, positive=False), "begins with clicks off"),
        (lambda: edit.add_box(9, 2, (500, 1, 600, 20), "cyan star"), "has no area in the frame"),
        (lambda: edit.add_box(9, 2, (50, 1, 60, 20)), "expected one of"),
        (lambda: edit.drop(3).add_click(3, 12, 5, 5), "was dropped"),
    ):
        with pytest.raises(PromptError, match=message):
            say()
    assert not edit.pending
    with pytest.raises(PromptError, match="nothing is pointed out yet"):
        tk.annotate(clip, CONFIG).run()
    with pytest.raises(ResultsError, match=r"b\.mp4 is not in the results"):
        tk.edit(tk.TrackingResults([by_hand], CONFIG), "b.mp4")


def test_a_picture_shows_what_is_pointed_out(clip: Path, by_hand: tk.VideoResult) -> None:
    edit = tk.edit(tk.TrackingResults([by_hand], CONFIG))
    bare = edit.picture(6, grid=False)
    assert bare.shape == (240 * 3, 320 * 3, 3)
    edit.add_click(7, 6, 20, 200, positive=False)
    changed = (edit.picture(6, grid=False) != bare).any(2)
    rows, columns = np.nonzero(changed)
    assert abs(rows.mean() - 600) < 3
    assert abs(columns.mean() - 60) < 3
    assert (edit.picture(6)[:, 150] != edit.picture(6, grid=False)[:, 150]).any(1).mean() > 0.9  # x = 50
