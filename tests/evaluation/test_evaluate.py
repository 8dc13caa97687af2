"""Which video is which, and what is told of all of them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from squares import CONFIG, HEIGHT, MASKS, SHARES, STILL, WIDTH, Square, info, mot, predicted, results, table

import trackkit as tk
from trackkit.cli import main as cli
from trackkit.core.errors import ConfigError, ResultsError
from trackkit.core.frames import VideoInfo
from trackkit.core.masks import decode_rle, encode_masks
from trackkit.core.tasks import VideoTask
from trackkit.formats.ground_truth import read_ground_truth
from trackkit.results.columns import TRACK_DTYPES
from trackkit.results.jsonl_line import encode_result
from trackkit.results.video_result import VideoResult
from trackkit.synthetic.dataset import write_ground_truth


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
