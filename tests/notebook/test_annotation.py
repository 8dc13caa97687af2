"""Objects pointed out and corrected, step by step, in one video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from by_hand import CONFIG, SCENE, overlap, track_by_hand
from samples import sample_failure, sample_result

import trackkit as tk
from trackkit.core.errors import PromptError, ResultsError
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


@pytest.mark.parametrize(
    ("video", "message"),
    [
        (
            "other.mp4",
            "other.mp4 is not in the results; expected one that was tracked, of a/car.mp4, b/car.mp4",
        ),
        (
            "gone",
            "gone failed (VideoOpenError: no such file: .*); expected one that was tracked, of a/car.mp4",
        ),
        ("car.mp4", "car.mp4 is the name of several videos; expected one that was tracked, of a/car.mp4, b/"),
        (None, "2 videos were tracked and none is named; expected one that was tracked, of a/car.mp4, b/car"),
    ],
)
def test_a_video_that_cannot_be_edited_is_said_as_results_say_it(video: str | None, message: str) -> None:
    outcomes = [sample_result("a/car.mp4"), sample_result("b/car.mp4"), sample_failure("c/gone.mp4")]
    results = tk.TrackingResults(outcomes, CONFIG)
    with pytest.raises(ResultsError, match=message.replace("(", r"\(").replace(");", r"\);")) as of:
        results.of(video)
    with pytest.raises(ResultsError) as edit:
        tk.edit(results, video)
    assert type(edit.value) is type(of.value) is ResultsError
    assert edit.value.args == of.value.args
