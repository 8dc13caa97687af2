"""One video in which objects are pointed out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from by_hand import CONFIG, PROMPT, SCENE, overlap, track_by_hand

import trackkit as tk
from trackkit.core.errors import ConfigError, PromptError
from trackkit.core.prompts import Prompt
from trackkit.results.journal import Journal
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.render import GroundTruthFrame, iter_frames
from trackkit.tracking.models import Models, load_models

torch.set_num_threads(1)


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
    return track_by_hand(clip, truth, models)


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
