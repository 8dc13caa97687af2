"""Evaluation against cases that are worked out by hand."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as PilImage

import trackkit as tk
from trackkit.cli import main as cli
from trackkit.config import TrackConfig
from trackkit.core.errors import ConfigError, ResultsError
from trackkit.core.frames import VideoInfo
from trackkit.core.masks import boxes_of_masks, decode_rle, encode_masks
from trackkit.core.tasks import VideoTask
from trackkit.formats.ground_truth import read_ground_truth
from trackkit.results.columns import TRACK_DTYPES
from trackkit.results.jsonl_line import encode_result
from trackkit.results.video_result import VideoResult
from trackkit.synthetic.dataset import write_ground_truth

HEIGHT, WIDTH = 40, 60
CONFIG = TrackConfig("car. person")
SHARES = ["HOTA", "DetA", "AssA", "IDF1", "MOTA", "precision", "recall"]
MASKS = ["J", "F", "J&F"]

# (frame_idx, obj_id, left, top): a square of 10 pixels; its label is the fifth, else "car".
Square = tuple[int, int, int, int] | tuple[int, int, int, int, str]

STILL: list[Square] = [(t, 1, 5, 5) for t in range(4)] + [(t, 2, 40, 20) for t in range(4)]


def table(squares: Iterable[Square], *, masks: bool = True) -> pd.DataFrame:
    rows = []
    for frame_idx, obj_id, x, y, *label in squares:
        mask = np.zeros((1, HEIGHT, WIDTH), np.bool_)
        mask[:, y : y + 10, x : x + 10] = True
        x1, y1, x2, y2 = boxes_of_masks(mask)[0]
        counts = encode_masks(mask)[0].decode() if masks else None
        place = {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1, "area_px": mask.sum()}
        row = {"frame_idx": frame_idx, "time_s": frame_idx / 10, "obj_id": obj_id, **place}
        rows.append(row | {"label": label[0] if label else "car", "mask_rle": counts})
    columns = [name for name in TRACK_DTYPES if name not in ("video_path", "score", "detected", "pred_iou")]
    return pd.DataFrame(rows, columns=columns)


def info(num_frames: int = 4) -> VideoInfo:
    return VideoInfo(WIDTH, HEIGHT, 10.0, num_frames, num_frames / 10)


def predicted(
    squares: Iterable[Square],
    name: str = "car.mp4",
    *,
    frames: Iterable[int] = range(4),
    num_frames: int = 4,
    masks: bool = True,
) -> VideoResult:
    idx = np.array(list(frames), np.int32)
    tracks = table(squares, masks=masks).assign(video_path=name, score=0.5, detected=True, pred_iou=np.nan)
    return VideoResult(
        task=VideoTask(name, "/videos/" + name),
        info=info(num_frames),
        tracks=tracks.astype(TRACK_DTYPES),
        frames=(idx, idx / 10),
        process_fps=10.0,
        seconds={"total": 1.0},
        peak_rss_mb=1.0,
    )


def results(*videos: VideoResult) -> tk.TrackingResults:
    return tk.TrackingResults(videos, CONFIG)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Two objects that stand still for four frames."""
    return write_ground_truth(tmp_path / "truth.jsonl", {"car.mp4": (info(), table(STILL))})


def mot(path: Path, squares: Iterable[tuple[int, ...]], tail: str = "") -> Path:
    lines = (f"{t + 1},{obj_id},{x},{y},10,10{tail}\n" for t, obj_id, x, y in squares)
    path.write_text("".join(lines))
    return path


@pytest.mark.parametrize("by", ["mask", "box"])
def test_how_right_each_track_is(truth: Path, by: str) -> None:
    goes_over = [(t, 10, 5, 5) for t in range(3)] + [(3, 10, 40, 20)]
    found = [*goes_over, (0, 20, 40, 20), (1, 20, 40, 20), (0, 30, 20, 28)]
    tracks = tk.evaluate(results(predicted(found)), truth, by=by).tracks
    assert tracks["video_path"].tolist() == ["car.mp4"] * 3
    assert tracks["obj_id"].tolist() == [10, 20, 30]
    assert tracks["rows"].tolist() == [4, 2, 1]
    assert tracks["iou"].tolist() == [0.75, 1.0, 0.0]
    assert tracks["truth_id"].tolist() == [1, 2, pd.NA]
    assert len(tk.evaluate(results(predicted([])), truth, by="box").tracks) == 0


@pytest.mark.parametrize("by", ["mask", "box"])
def test_perfect_predictions(truth: Path, by: str) -> None:
    # Ids and order do not matter.
    found = results(predicted([(t, 9 - k, x, y) for t, k, x, y in reversed(STILL)]))  # type: ignore[misc]
    evaluation = tk.evaluate(found, truth, by=by)
    for row in (evaluation.videos.iloc[0], evaluation.overall):
        assert (row[SHARES] == 1.0).all()
        assert row[["frames", "objects", "id_switches"]].tolist() == [4, 2, 0]
        assert (row[MASKS] == 1.0).all() if by == "mask" else row[MASKS].isna().all()
    assert evaluation.by == by
    assert evaluation.notes == ()


def test_a_switch_a_miss_and_a_false_one(truth: Path) -> None:
    found = [(0, 10, 5, 5), (1, 10, 5, 5), (2, 11, 5, 5), (3, 11, 5, 5)]
    found += [(t, 20, 40, 20) for t in range(3)] + [(0, 30, 20, 28)]
    row = tk.evaluate(results(predicted(found)), truth).overall
    assert row["id_switches"] == 1
    assert row["precision"] == row["recall"] == 7 / 8
    assert row["MOTA"] == 1 - (1 + 1 + 1) / 8
    # 10 is object 1 twice, 20 is object 2 three times, of 8 on either side.
    assert row["IDF1"] == 5 / 8
    # Every overlap is whole, so all similarities give the same.
    deta, assa = 7 / (7 + 1 + 1), (4 * (2 / 4) + 3 * (3 / 4)) / 7
    assert row["DetA"] == pytest.approx(deta)
    assert row["AssA"] == pytest.approx(assa)
    assert row["HOTA"] == pytest.approx(math.sqrt(deta * assa))


def test_half_an_overlap(truth: Path) -> None:
    # 10 pixels wide, 2 to the side: 80 of 120.
    found = results(predicted([(t, k, x + 2, y) for t, k, x, y in STILL]))  # type: ignore[misc]
    for by in ("mask", "box"):
        row = tk.evaluate(found, truth, by=by).overall
        assert row["MOTA"] == row["IDF1"] == 1.0
        assert row["HOTA"] == pytest.approx(13 / 19)  # right at 0.05 to 0.65
    # 4 to the side: 60 of 140 is less than half.
    row = tk.evaluate(results(predicted([(t, k, x + 4, y) for t, k, x, y in STILL])), truth).overall  # type: ignore[misc]
    assert row["recall"] == 0
    assert row["MOTA"] == -1


def test_region_and_contour(truth: Path) -> None:
    # The tolerance of F is 0.8 percent of the diagonal, here 1 pixel; J is 90 of 110.
    row = tk.evaluate(results(predicted([(t, k, x + 1, y) for t, k, x, y in STILL])), truth).overall  # type: ignore[misc]
    assert row["J"] == pytest.approx(9 / 11)
    assert row["F"] == 1.0
    assert row["J&F"] == pytest.approx(10 / 11)
    # One of the two is perfect, the other is not found; more tracks than objects cost nothing.
    found = [square for square in STILL if square[1] == 1] + [(0, 7, 20, 28)]
    row = tk.evaluate(results(predicted(found)), truth).overall
    assert row[MASKS].tolist() == [0.5, 0.5, 0.5]
    # Half of the frames: where neither side shows the object, it is right.
    row = tk.evaluate(results(predicted([s for s in STILL if s[0] < 2])), truth).overall
    assert row[MASKS].tolist() == [0.5, 0.5, 0.5]


def test_labels(truth: Path) -> None:
    found = results(predicted([(*square, "Car" if square[1] == 1 else "person") for square in STILL]))  # type: ignore[misc, arg-type]
    found.outcomes[0].tracks["label"] = found.outcomes[0].tracks["label"].astype("str")  # type: ignore[union-attr]
    row = tk.evaluate(found, truth).overall
    assert row["precision"] == row["recall"] == 0.5
    assert row["MOTA"] == 0.0
    assert row["J&F"] == 0.5
    assert tk.evaluate(found, truth, by="box").overall["recall"] == 0.5
    evaluation = tk.evaluate(found, truth, ignore_labels=True)
    assert (evaluation.overall[[*SHARES, *MASKS]] == 1.0).all()
    found = results(predicted([(t, k, x, y, "person") for t, k, x, y in STILL]))  # type: ignore[misc]
    (note,) = tk.evaluate(found, truth).notes
    assert "ground truth car; predictions person" in note


def test_an_object_of_low_visibility_is_neither_missed_nor_wrong(tmp_path: Path) -> None:
    rows = table(STILL)
    rows["visibility"] = np.where((rows["obj_id"] == 2) & (rows["frame_idx"] >= 2), 0.1, 1.0)
    path = write_ground_truth(tmp_path / "truth.jsonl", {"car.mp4": (info(), rows)})
    for frames in (4, 2):  # found, or not
        found = results(predicted([s for s in STILL if s[1] == 1 or s[0] < frames]))
        assert (tk.evaluate(found, path, min_visibility=0.3).overall[SHARES] == 1.0).all()
    assert tk.evaluate(found, path).overall["recall"] == 6 / 8
    # What does not match it stays wrong.
    found = results(predicted([*[s for s in STILL if s[1] == 1 or s[0] < 2], (2, 2, 20, 28)]))
    assert tk.evaluate(found, path, min_visibility=0.3).overall["precision"] == 6 / 7


def test_motchallenge_flags_and_visibility(tmp_path: Path) -> None:
    squares = [(t, k, x, y) for t, k, x, y in STILL]  # type: ignore[misc]
    path = mot(tmp_path / "car.txt", squares, ",1,1,0.2")
    path.write_text(path.read_text() + "1,7,20,28,10,10,0,8,1\n")  # a distractor
    found = results(predicted([*STILL, (0, 5, 20, 28, "person")], masks=False))
    evaluation = tk.evaluate(found, path)
    assert evaluation.by == "box"
    assert (evaluation.overall[SHARES] == 1.0).all()  # no labels there
    row = tk.evaluate(found, path, min_visibility=0.5).overall
    assert row["objects"] == 0
    assert row[SHARES].isna().all()  # nothing to find, and nothing wrong


def test_only_frames_on_both_sides_count(truth: Path, tmp_path: Path) -> None:
    found = predicted([s for s in STILL if s[0] == 1], frames=[1, 3])
    row = tk.evaluate(results(found), truth).overall
    assert row["frames"] == 2
    assert row["recall"] == 0.5
    # MOTChallenge says nothing of frames without objects: they are empty, not missing.
    path = mot(tmp_path / "car.txt", [(1, 1, 5, 5), (1, 2, 40, 20)])
    row = tk.evaluate(results(found), path).overall
    assert row[["frames", "recall", "precision"]].tolist() == [2, 1.0, 1.0]
    path = mot(tmp_path / "car.txt", [(0, 1, 5, 5), (10, 1, 5, 5)])
    (note,) = tk.evaluate(results(found), path).notes
    assert "1 annotated frames are beyond the 4" in note


def test_void_pixels_do_not_count(tmp_path: Path) -> None:
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    image[5:15, 5:15] = 1
    image[5:15, 15:20] = image[30:, :] = 255
    (tmp_path / "car").mkdir()
    for idx in range(4):
        picture = PilImage.fromarray(image)
        picture.putpalette([0] * 768)
        picture.save(tmp_path / "car" / f"{idx:05d}.png")
    # One reaches into the void, the other lies in it.
    found = [(t, 1, 5, 5) for t in range(4)] + [(t, 3, 30, 30) for t in range(4)]
    wide = predicted(found)
    mask = np.zeros((1, HEIGHT, WIDTH), np.bool_)
    mask[:, 5:15, 5:20] = True
    wide.tracks.loc[wide.tracks["obj_id"] == 1, "mask_rle"] = encode_masks(mask)[0].decode()
    row = tk.evaluate(results(wide), tmp_path / "car").overall
    assert (row[[*SHARES, *MASKS]] == 1.0).all()


def test_overall_is_no_mean_of_rows(tmp_path: Path) -> None:
    videos = {"a/car.mp4": (info(), table(STILL)), "b/bus.mp4": (info(), table([(0, 1, 5, 5), (1, 1, 5, 5)]))}
    path = write_ground_truth(tmp_path / "truth.jsonl", videos)
    evaluation = tk.evaluate(results(predicted(STILL, "x/car.mp4"), predicted(STILL, "cat.mp4")), path)
    assert evaluation.videos["recall"].tolist() == [1.0, 0.0]
    assert evaluation.overall["recall"] == 8 / 10
    assert evaluation.overall[["frames", "objects"]].tolist() == [8, 3]
    assert evaluation.overall["DetA"] == pytest.approx(8 / 10)
    assert evaluation.overall["J"] == pytest.approx(
        (1 + 1 + 0.5) / 3
    )  # of three objects; unseen in two frames
    assert evaluation.notes == (
        "no predictions, all missed: b/bus.mp4",
        "no ground truth, not evaluated: cat.mp4",
    )


def test_which_video_is_which(tmp_path: Path) -> None:
    one = mot(tmp_path / "car.txt", [(0, 1, 5, 5)])
    square: list[Square] = [(0, 1, 5, 5)]
    (note,) = tk.evaluate(results(predicted(square, "frames")), one).notes
    assert "frames is compared with car" in note
    with pytest.raises(ConfigError, match=r"a/car\.mp4, b/car\.mp4"):
        tk.evaluate(results(predicted(square, "a/car.mp4"), predicted(square, "b/car.mp4")), one)
    with pytest.raises(ConfigError, match="on both sides"):
        tk.evaluate(results(predicted(square, "x.mp4"), predicted(square, "y.mp4")), one)
    paths = {f"{name}/car.mp4": (info(), table(square)) for name in "ab"}
    two = write_ground_truth(tmp_path / "truth.jsonl", paths)
    evaluation = tk.evaluate(results(predicted(square, "a/car.mp4"), predicted([], "b/car.mp4")), two)
    assert evaluation.videos["recall"].tolist() == [1.0, 0.0]
    with pytest.raises(ConfigError, match="ground truth of a/car"):
        tk.evaluate(results(predicted(square, "c/car.mp4")), two)


def test_more_tracks_than_pycocotools_counts(truth: Path) -> None:
    found = [*STILL, *((k % 4, 10 + k, 3 * (k % 16), 30 - (k % 7)) for k in range(300))]
    row = tk.evaluate(results(predicted(found)), truth).overall
    assert row["J&F"] == 1.0
    assert row["recall"] == 1.0


def test_videos_of_any_length(tmp_path: Path) -> None:
    for frames in (1, 300):
        squares = [(t, 1, 5, 5) for t in range(frames)]
        path = write_ground_truth(tmp_path / "truth.jsonl", {"car.mp4": (info(frames), table(squares))})
        found = predicted(squares, frames=range(frames), num_frames=frames)
        assert (tk.evaluate(results(found), path).overall[[*SHARES, *MASKS]] == 1.0).all()


def test_what_cannot_be_evaluated(truth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = results(predicted(STILL, masks=False))
    with pytest.raises(ConfigError, match=r"predictions of car\.mp4.*--by box"):
        tk.evaluate(found, truth, by="mask")
    with pytest.raises(ConfigError, match="by is 'area'"):
        tk.evaluate(found, truth, by="area")
    with pytest.raises(ConfigError, match="min_visibility is 30"):
        tk.evaluate(found, truth, min_visibility=30)
    with pytest.raises(ResultsError, match="cannot be read"):
        tk.evaluate(tmp_path / "gone.jsonl", truth)
    small = VideoInfo(WIDTH // 2, HEIGHT, 10.0, 4, 0.4)
    other = write_ground_truth(tmp_path / "other.jsonl", {"car.mp4": (small, table(STILL, masks=False))})
    with pytest.raises(ResultsError, match=r"\(40, 30\).*\(40, 60\)"):
        tk.evaluate(found, other)
    monkeypatch.setitem(sys.modules, "trackeval.metrics", None)
    with pytest.raises(ConfigError, match=r"pip install 'trackkit\[eval\]'"):
        tk.evaluate(found, truth)


def test_real_masks_against_themselves_and_shifted(shared_dir: Path) -> None:
    folder = shared_dir / "ground_truth" / "car-shadow" / "masks"
    (real,) = read_ground_truth(folder)
    assert real.size is not None
    assert real.frames is not None
    height, width = real.size
    last: dict[str, float] = {}
    for shift in (0, 8, 40):  # 8 pixels, 0.8 percent of the diagonal, are the tolerance of F
        rows = real.rows[["frame_idx", "obj_id"]].copy()
        masks = [np.roll(decode_rle(rle, height, width), shift, axis=1) for rle in real.rows["mask_rle"]]
        rows["mask_rle"] = [rle.decode() for rle in encode_masks(np.array(masks))]
        rows[["x", "y", "width", "height"]] = real.rows[["x", "y", "width", "height"]]
        rows = rows.assign(video_path="car", label="car", score=1.0, area_px=1, detected=True, time_s=0.0)
        rows["pred_iou"] = np.nan
        frames = real.frames, real.frames / 25
        size = VideoInfo(width, height, 25.0, len(real.frames), 1.6)
        tracks = rows[list(TRACK_DTYPES)].astype(TRACK_DTYPES)
        video = VideoResult(VideoTask("car", "/car"), size, tracks, frames, 25.0, {"total": 1.0}, 1.0)
        row = tk.evaluate(results(video), folder).overall
        assert row["frames"] == 40
        if shift == 0:
            assert (row[[*SHARES, *MASKS]] == 1.0).all()
        else:
            assert 0 < row["J"] < last["J"]
            assert (row["F"] == 1.0) == (shift == 8)
            assert row["HOTA"] < last["HOTA"]
        last = row.to_dict()


def test_a_notebook_shows_a_table(truth: Path) -> None:
    evaluation = replace(tk.evaluate(results(predicted(STILL[:6])), truth), notes=("no <b>truth</b>",))
    page = evaluation._repr_html_()
    for text in ("<td>car.mp4</td>", "<td>overall</td>", "<td>0.750</td>", "no &lt;b&gt;truth"):
        assert text in page


def test_the_command(truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracks = tmp_path / "tracks.jsonl"
    tracks.write_bytes(encode_result(predicted(STILL[:6]), CONFIG))
    words = ["eval", str(tracks), "--ground-truth", str(truth), "--json", str(tmp_path / "eval.json")]
    assert cli.main([*words, "--format", "jsonl", "--min_visibility", "0.5"]) == 0
    out = capsys.readouterr().out
    for word in ("similarity by mask", "car.mp4", "overall", "HOTA", "J&F", "0.750"):
        assert word in out
    data = json.loads((tmp_path / "eval.json").read_text())
    assert data["overall"]["recall"] == data["videos"][0]["recall"] == 0.75
    assert data["overall"]["objects"] == 2
    assert (data["by"], data["min_visibility"], data["ignore_labels"]) == ("mask", 0.5, False)
    assert cli.main([*words, "--by", "box", "--ignore-labels"]) == 0
    assert json.loads((tmp_path / "eval.json").read_text())["overall"]["J"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["eval.json", "tracks.jsonl", "truth.jsonl"]
    capsys.readouterr()
    assert cli.main(["eval", str(tracks), "--ground-truth", str(tmp_path / "gone")]) == 2
    assert "check the path" in capsys.readouterr().err
    assert cli.main([*words[:-1], str(tmp_path / "no" / "eval.json")]) == 2


def test_every_metric_is_in_the_readme() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for name in [*SHARES, *MASKS, "id_switches"]:
        assert f"`{name}`" in readme, name
