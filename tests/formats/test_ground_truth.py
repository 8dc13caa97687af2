"""Ground truth: our own format, which format a file has, and what is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pytest
from exported import BOX
from samples import CONFIG, sample_result
from truths import FRAMES, TRUTH_HEIGHT, TRUTH_WIDTH, assert_same, write_png

from trackkit.core.errors import ConfigError, ResultsError
from trackkit.core.frames import VideoInfo
from trackkit.formats.ground_truth import read_ground_truth
from trackkit.results.jsonl_line import encode_result
from trackkit.synthetic.dataset import write_ground_truth
from trackkit.tracking_results import read_jsonl

INFO = VideoInfo(TRUTH_WIDTH, TRUTH_HEIGHT, 25.0, FRAMES, FRAMES / 25.0)


@pytest.mark.parametrize("visibility", [True, False])
def test_our_own_format_round_trips_exactly(tmp_path: Path, rows: pd.DataFrame, visibility: bool) -> None:
    shares = np.linspace(0, 1, len(rows)) / 3
    rows = rows.assign(visibility=shares) if visibility else rows.drop(columns="visibility", errors="ignore")
    videos = {"a/shapes.mp4": (INFO, rows), "empty.mp4": (INFO, rows.iloc[:0])}
    path = write_ground_truth(tmp_path / "truth.jsonl", videos)
    assert [file.name for file in tmp_path.iterdir()] == ["truth.jsonl"]
    truth, empty = read_ground_truth(path)
    assert_same(truth, rows, ["frame_idx", "obj_id", "label", *BOX, "mask_rle"])
    assert truth.rows["visibility"].tolist() == (shares.tolist() if visibility else [1.0] * len(rows))
    assert truth.name == "a/shapes.mp4"
    assert truth.size == empty.size == (TRUTH_HEIGHT, TRUTH_WIDTH)
    for video in (truth, empty):
        assert video.frames is not None
        assert video.frames.tolist() == [0, 1, 2, 3]
    assert empty.rows.empty
    # It is a results file as any other.
    tracks = read_jsonl(path).tracks
    both = [name for name in rows.columns if name in tracks and name != "label"]
    pd.testing.assert_frame_equal(tracks[both], rows[both])


def test_results_are_ground_truth_in_either_layout(tmp_path: Path) -> None:
    tables = []
    for layout in ("frames", "objects"):
        path = tmp_path / f"{layout}.jsonl"
        path.write_bytes(encode_result(sample_result(), CONFIG, layout))
        (truth,) = read_ground_truth(path)
        assert truth.frames is not None
        assert truth.frames.tolist() == [0, 2, 4, 6]
        tables.append(truth.rows)
    pd.testing.assert_frame_equal(*tables)
    assert not tables[0]["ignored"].any()


def test_visibility_is_read_where_it_is_given(tmp_path: Path) -> None:
    line = orjson.loads(encode_result(sample_result(), CONFIG))
    line["frames"][0]["objects"][1]["visibility"] = 0.25
    path = tmp_path / "truth.jsonl"
    path.write_bytes(orjson.dumps(line))
    (truth,) = read_ground_truth(path)
    assert truth.rows["visibility"].tolist() == [1.0, 0.25, 1.0, 1.0]
    assert list(read_jsonl(path).tracks) == list(sample_result().tracks)


def test_labels_that_no_prompt_can_name(tmp_path: Path, rows: pd.DataFrame) -> None:
    with pytest.raises(ConfigError, match=r"a\. b"):
        write_ground_truth(tmp_path / "t.jsonl", {"v": (INFO, rows.assign(label="a. b"))})
    with pytest.raises(ResultsError, match="nowhere"):
        write_ground_truth(tmp_path / "nowhere" / "t.jsonl", {"v": (INFO, rows)})


def test_numbers_with_gaps(tmp_path: Path) -> None:
    for number in (0, 5, 10):
        write_png(tmp_path / "car" / f"{number:05d}.png", np.full((4, 4), number, np.uint8))
    (truth,) = read_ground_truth(tmp_path / "car")
    whole, apart = truth.in_video(100), truth.in_video(3)  # every fifth annotated; or just these frames
    assert (whole.rows["frame_idx"].tolist(), apart.rows["frame_idx"].tolist()) == ([5, 10], [1, 2])
    assert whole.frames is not None
    assert apart.frames is not None
    assert (whole.frames.tolist(), apart.frames.tolist()) == ([0, 5, 10], [0, 1, 2])


def test_decimal_names_are_places(tmp_path: Path) -> None:
    for obj_id, name in enumerate(("999.5", "1000.25", "1000.5"), start=1):
        write_png(tmp_path / "car" / f"{name}.png", np.full((4, 4), obj_id, np.uint8))
    (truth,) = read_ground_truth(tmp_path / "car")
    rows = truth.in_video(3).rows
    assert (rows["frame_idx"].tolist(), rows["obj_id"].tolist()) == ([0, 1, 2], [1, 2, 3])


def test_what_is_no_ground_truth(tmp_path: Path) -> None:
    def complaint(path: Path, kind: type[Exception], format: str | None = None) -> str:
        with pytest.raises(kind) as caught:
            read_ground_truth(path, format)
        return str(caught.value)

    assert "check the path" in complaint(tmp_path / "gone", ConfigError)
    (tmp_path / "empty").mkdir()
    assert "--format" in complaint(tmp_path / "empty", ConfigError)
    assert "holds no videos" in complaint(tmp_path / "empty", ResultsError, "davis")
    assert "is a folder" in complaint(tmp_path / "empty", ConfigError, "jsonl")
    assert "choose one of" in complaint(tmp_path / "empty", ConfigError, "xml")
    for name, text, message in (
        ("a.csv", "1", "--format"),
        ("a.txt", "frame,id\n", "no MOTChallenge file"),
        ("a.txt", "0,1,2,2,2,2\n", "a frame is 0"),
        ("a.txt", "1,1,2,2\n", "4 columns"),
        ("a.txt", "1,1,2,2,2,2\n1,1,3,3,2,2\n", "object 1 is twice in frame 0"),
        ("a.json", "{", "no YouTube-VIS file"),
        ("a.json", '{"videos": [{"id": 1}], "annotations": []}', "file_names"),
        ("a.jsonl", "{}\n", "line 1"),
    ):
        (tmp_path / name).write_text(text)
        assert message in complaint(tmp_path / name, ConfigError if name == "a.csv" else ResultsError)
    write_png(tmp_path / "both" / "v" / "0.png", np.zeros((2, 2), np.uint8))
    (tmp_path / "both" / "v.txt").write_text("1,1,2,2,2,2\n")
    assert "davis and mot" in complaint(tmp_path / "both", ConfigError)
    assert len(read_ground_truth(tmp_path / "both", "mot")) == 1
    write_png(tmp_path / "rgb" / "0.png", np.zeros((2, 2, 3), np.uint8), palette=False)
    assert "mode RGB" in complaint(tmp_path / "rgb", ResultsError)
    write_png(tmp_path / "sizes" / "0.png", np.zeros((2, 2), np.uint8))
    write_png(tmp_path / "sizes" / "1.png", np.zeros((2, 3), np.uint8))
    assert "several sizes" in complaint(tmp_path / "sizes", ResultsError)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "0.png").write_bytes((tmp_path / "sizes" / "0.png").read_bytes()[:40])
    assert "cannot be read" in complaint(tmp_path / "cut", ResultsError)
