"""Ground truth in every format: what is written is read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pytest
from PIL import Image as PilImage
from pycocotools import mask as coco
from samples import CONFIG, sample_result

from trackkit.core.errors import ConfigError, ResultsError
from trackkit.core.frames import VideoInfo
from trackkit.core.masks import decode_rle
from trackkit.formats.base import ROW_DTYPES, VideoTruth
from trackkit.formats.ground_truth import read_ground_truth
from trackkit.results.jsonl_line import encode_result
from trackkit.synthetic.dataset import ground_truth, write_ground_truth
from trackkit.synthetic.scenes import make_scene
from trackkit.tracking_results import read_jsonl

HEIGHT, WIDTH, FRAMES = 48, 64, 4
INFO = VideoInfo(WIDTH, HEIGHT, 25.0, FRAMES, FRAMES / 25.0)
BOX = ["x", "y", "width", "height"]


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return ground_truth(make_scene(5, width=WIDTH, height=HEIGHT, num_frames=FRAMES))


def ids(rows: pd.DataFrame, frame_idx: int) -> np.ndarray:
    """The objects of a frame as DAVIS stores them."""
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    for row in rows[rows["frame_idx"] == frame_idx].itertuples():
        image[decode_rle(row.mask_rle, HEIGHT, WIDTH)] = row.obj_id
    return image


def write_png(path: Path, image: np.ndarray, *, palette: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = PilImage.fromarray(image)
    if palette:
        picture.putpalette([(7 * k) % 256 for k in range(768)])
        assert picture.mode == "P"
    picture.save(path)


def write_mot(path: Path, rows: pd.DataFrame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = rows.assign(frame=rows["frame_idx"] + 1, flag=1, kind=1, visibility=0.5)
    columns = ["frame", "obj_id", *BOX, "flag", "kind", "visibility"]
    lines[columns].to_csv(path, header=False, index=False)


def assert_same(truth: VideoTruth, rows: pd.DataFrame, columns: list[str]) -> None:
    wanted = rows.sort_values(["frame_idx", "obj_id"])[columns].reset_index(drop=True)
    found = truth.rows.sort_values(["frame_idx", "obj_id"])[columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, wanted.astype({name: ROW_DTYPES[name] for name in columns}))


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
    assert truth.size == empty.size == (HEIGHT, WIDTH)
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


@pytest.mark.parametrize("place", ["car.txt", "car/gt/gt.txt"])
def test_motchallenge(tmp_path: Path, rows: pd.DataFrame, place: str) -> None:
    folder = tmp_path / "mot"
    write_mot(folder / place, rows)
    for path in (folder, folder / place, *([folder / "car"] if "/" in place else [])):
        (truth,) = read_ground_truth(path)
        assert truth.name == "car"
        assert_same(truth, rows, ["frame_idx", "obj_id", *BOX])
        assert (truth.rows["visibility"] == 0.5).all()
        assert truth.rows["label"].isna().all()
        assert truth.frames is None


def test_motchallenge_marks_what_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "car.txt"
    path.write_text("1,1,0,0,5,5,1,1,0.3\n1,2,0,0,5,5,0,8,1\n")
    (truth,) = read_ground_truth(path)
    assert truth.rows["ignored"].tolist() == [False, True]
    assert truth.rows["visibility"].tolist() == [0.3, 1.0]
    path.write_text("1,1,0,0,5,5,1,-1,-1,-1\n")  # of 2015: a place in the world, no visibility
    (truth,) = read_ground_truth(path)
    assert truth.rows["visibility"].tolist() == [1.0]


def test_mask_folders(tmp_path: Path, rows: pd.DataFrame) -> None:
    for name in ("car", "v1.2"):
        for idx in range(FRAMES):
            image = ids(rows, idx)
            image[0] = 255
            write_png(tmp_path / name / f"{idx:05d}.png", image)
    visible = rows[[not decode_rle(rle, HEIGHT, WIDTH)[0].any() for rle in rows["mask_rle"]]]
    assert [truth.name for truth in read_ground_truth(tmp_path)] == ["car", "v1.2"]
    (truth,) = read_ground_truth(tmp_path / "car")
    whole = truth.rows.merge(visible[["frame_idx", "obj_id"]])
    assert_same(VideoTruth("car", whole), visible, ["frame_idx", "obj_id", *BOX, "mask_rle"])
    assert truth.size == (HEIGHT, WIDTH)
    assert sorted(truth.void) == [0, 1, 2, 3]
    assert decode_rle(truth.void[3], HEIGHT, WIDTH).sum() == WIDTH


@pytest.mark.parametrize("values", [(0, 255), (0, 1, 255)])
def test_black_and_white_masks_show_one_object(tmp_path: Path, values: tuple[int, ...]) -> None:
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    image[:5, : len(values)] = values
    write_png(tmp_path / "car" / "00000.png", image, palette=False)
    (truth,) = read_ground_truth(tmp_path / "car")
    assert truth.rows["obj_id"].tolist() == [1]
    assert bool(truth.void) == (len(values) == 3)


def test_numbers_with_gaps(tmp_path: Path) -> None:
    for number in (0, 5, 10):
        write_png(tmp_path / "car" / f"{number:05d}.png", np.full((4, 4), number, np.uint8))
    (truth,) = read_ground_truth(tmp_path / "car")
    whole, apart = truth.in_video(100), truth.in_video(3)  # every fifth annotated; or just these frames
    assert (whole.rows["frame_idx"].tolist(), apart.rows["frame_idx"].tolist()) == ([5, 10], [1, 2])
    assert whole.frames is not None
    assert apart.frames is not None
    assert (whole.frames.tolist(), apart.frames.tolist()) == ([0, 5, 10], [0, 1, 2])


def test_youtube_vis(tmp_path: Path, rows: pd.DataFrame) -> None:
    annotations = []
    for number, (obj_id, track) in enumerate(rows.groupby("obj_id")):
        shapes: list[object] = [None] * FRAMES
        for row in track.itertuples():
            mask = decode_rle(row.mask_rle, HEIGHT, WIDTH)
            shape = {"size": [HEIGHT, WIDTH], "counts": row.mask_rle}
            if number == 1:  # not compressed
                flat = mask.ravel(order="F").astype(int)
                edges = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
                shape["counts"] = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
            shapes[row.frame_idx] = shape
        kind = {"video_id": 7, "category_id": 3, "iscrowd": int(number == 2)}
        annotations.append({"id": int(obj_id), "segmentations": shapes, **kind})
    square = [[8.0, 8.0, 16.0, 8.0, 16.0, 20.0, 8.0, 20.0]]
    polygon = {"id": 99, "video_id": 7, "category_id": 3, "segmentations": [square, None, None, None]}
    names = [f"car/{idx:05d}.jpg" for idx in range(FRAMES)]
    video = {"id": 7, "width": WIDTH, "height": HEIGHT, "length": FRAMES, "file_names": names}
    data = {"videos": [video], "annotations": [*annotations, polygon]}
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(data | {"categories": [{"id": 3, "name": "car"}]}))
    (truth,) = read_ground_truth(path)
    assert (truth.name, truth.size) == ("car", (HEIGHT, WIDTH))
    assert set(truth.rows["label"]) == {"car"}
    drawn = truth.rows[truth.rows["obj_id"] == 99]
    assert drawn[BOX].to_numpy().tolist() == [[8, 8, 8, 12]]
    rest = truth.rows[truth.rows["obj_id"] != 99]
    assert_same(VideoTruth("car", rest), rows, ["frame_idx", "obj_id", *BOX, "mask_rle"])
    assert set(truth.rows.loc[truth.rows["ignored"], "obj_id"]) == {rows["obj_id"].unique().max()}
    assert coco.area({"size": [HEIGHT, WIDTH], "counts": drawn["mask_rle"].iloc[0]}) == 96


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
        ("a.txt", "0,1,2,2,2,2\n", "frames from 0"),
        ("a.txt", "1,1,2,2\n", "4 columns"),
        ("a.txt", "1,1,2,2,2,2\n1,1,3,3,2,2\n", "object 1 is twice in frame 0"),
        ("a.json", "{", "no YouTube-VIS file"),
        ("a.json", '{"videos": [{"id": 1}]}', "file_names"),
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
