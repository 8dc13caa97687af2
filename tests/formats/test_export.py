"""Exports, read back by the readers of others and compared with the results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import supervision as sv
from PIL import Image as PilImage
from pycocotools import mask as coco
from pycocotools.coco import COCO
from samples import CONFIG, HEIGHT, WIDTH, sample_failure, sample_objects, sample_result
from trackeval.datasets import DAVIS, MotChallenge2DBox, YouTubeVIS

import trackkit as tk
from trackkit.cli import main as cli
from trackkit.core.errors import ConfigError, ResultsError, VideoOpenError
from trackkit.core.files import remove_abandoned
from trackkit.core.masks import decode_rle
from trackkit.core.tasks import VideoTask
from trackkit.formats.writers import EXPORT_FORMATS
from trackkit.results.columns import TRACK_DTYPES
from trackkit.results.jsonl import failures_path
from trackkit.results.jsonl_line import encode_failure, encode_result
from trackkit.results.rows import TrackTable
from trackkit.results.video_result import VideoResult
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene
from trackkit.video.reader import VideoReader

BOX = ["x", "y", "width", "height"]
DATUMARO = "datumaro==1.13.12"


def video(source: str, frames: dict[int, list[int]], *, masks: bool = True) -> VideoResult:
    """A video of which every second frame was processed; an odd and an even id may overlap."""
    table = TrackTable(source[1:], CONFIG.classes)
    for frame_idx, ids in frames.items():
        table.add(sample_objects(frame_idx, ids, masks=masks))
    idx = np.array(list(frames), np.int32)
    task = VideoTask(source[1:], source)
    return replace(
        sample_result(), task=task, tracks=table.to_frame(), frames=(idx, idx / 29.97), truncated=None
    )


def tracked(*, masks: bool = True) -> tk.TrackingResults:
    """Two videos of one name, one with nothing in it, one whose name needs care, one that failed."""
    outcomes = [
        video("/a/car.mp4", {0: [1, 3], 2: [], 4: [3], 6: [1, 3]}, masks=masks),
        video("/b/car.mp4", {0: [], 2: [2], 4: [2], 6: []}, masks=masks),
        video("/c/none.mp4", {0: [], 2: [], 4: [], 6: []}, masks=masks),
        video("/d/my clip.mp4", {0: [2], 2: [2, 4], 4: [], 6: [2, 4]}, masks=masks),
        sample_failure("/e/gone.mp4"),
    ]
    return tk.TrackingResults(outcomes, CONFIG)


@pytest.fixture(scope="module")
def results() -> tk.TrackingResults:
    return tracked()


def names(exported: tk.Exported) -> dict[str, str]:
    """The name in the dataset of every video path."""
    table = pd.read_csv(exported.list_path, keep_default_na=False)
    return dict(zip(table["video_path"], table["name"], strict=True))


def by_path(results: tk.TrackingResults) -> dict[str, VideoResult]:
    return {o.task.video_path: o for o in results.outcomes if isinstance(o, VideoResult)}


def same_masks(found: list[Any], rows: pd.DataFrame) -> bool:
    masks = [coco.decode(each).astype(bool) for each in found]
    wanted = [decode_rle(rle, HEIGHT, WIDTH) for rle in rows["mask_rle"]]
    return len(masks) == len(wanted) and all(map(np.array_equal, masks, wanted))


# ---- every format, by another's reader ----


def test_pandas_reads_the_tables(results: tk.TrackingResults, tmp_path: Path) -> None:
    results.to_parquet(tmp_path / "tracks.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "tracks.parquet"), results.tracks)
    results.to_csv(tmp_path / "tracks.csv")
    back = pd.read_csv(tmp_path / "tracks.csv").astype(TRACK_DTYPES)
    for name in ("video_path", "label"):
        back[name] = back[name].cat.set_categories(results.tracks[name].cat.categories)
    pd.testing.assert_frame_equal(back, results.tracks)


@pytest.mark.parametrize("masks", [True, False])
def test_pycocotools_reads_coco(tmp_path: Path, masks: bool) -> None:
    results = tracked(masks=masks)
    done = results.to_coco(tmp_path / "coco.json")
    assert any("boxes without masks" in note for note in done.notes) != masks
    data = COCO(tmp_path / "coco.json")
    assert [c["name"] for c in data.loadCats([1, 2])] == ["red", "Blue cup"]
    assert len(data.imgs) == 16
    file_names = {
        (image["frame_idx"], image["file_name"].split("/")[0]): image for image in data.imgs.values()
    }
    tracks: dict[int, set[tuple[str, int]]] = {}
    for path, result in by_path(results).items():
        for idx in result.frames[0].tolist():
            image = file_names[idx, names(done)[path]]
            assert image["file_name"] == f"{names(done)[path]}/{idx:05d}.jpg"
            assert (image["height"], image["width"]) == (HEIGHT, WIDTH)
            rows = result.tracks[result.tracks["frame_idx"] == idx]
            found = data.loadAnns(data.getAnnIds(image["id"]))
            boxes = np.array([a["bbox"] for a in found], np.float32).reshape(-1, 4)
            assert np.array_equal(boxes, rows[BOX])
            for name, key in (("area_px", "area"), ("obj_id", "obj_id"), ("score", "score")):
                assert np.allclose([a[key] for a in found], rows[name])
            assert [data.cats[a["category_id"]]["name"] for a in found] == rows["label"].tolist()
            if masks:
                assert same_masks([data.annToRLE(a) for a in found], rows)
            for a in found:
                tracks.setdefault(a["track_id"], set()).add((path, a["obj_id"]))
    assert sorted(tracks) == list(range(1, 6))
    assert all(len(objects) == 1 for objects in tracks.values())


def test_trackeval_reads_youtube_vis(results: tk.TrackingResults, tmp_path: Path) -> None:
    done = results.to_youtube_vis(tmp_path / "gt" / "youtube_vis_all" / "truth.json")
    done.list_path.rename(tmp_path / "list.csv")  # the reader wants one file in the folder
    (tmp_path / "trackers" / "youtube_vis_all").mkdir(parents=True)
    places = {"GT_FOLDER": f"{tmp_path}/gt/", "TRACKERS_FOLDER": f"{tmp_path}/trackers/"}
    data = YouTubeVIS({**places, "SPLIT_TO_EVAL": "all", "TRACKERS_TO_EVAL": [], "PRINT_CONFIG": False})
    assert data.class_list == ["red", "Blue cup"]
    name = names(replace(done, list_path=tmp_path / "list.csv"))
    for path, result in by_path(results).items():
        read = data._load_raw_file(None, name[path], is_gt=True)
        assert read["num_timesteps"] == 4
        of_id: dict[int, set[int]] = {}
        for t, idx in enumerate(result.frames[0].tolist()):
            rows = result.tracks[result.tracks["frame_idx"] == idx]
            assert same_masks(read["gt_dets"][t], rows)
            assert [data.class_list[k - 1] for k in read["gt_classes"][t]] == rows["label"].tolist()
            for found, obj_id in zip(read["gt_ids"][t].tolist(), rows["obj_id"], strict=True):
                of_id.setdefault(found, set()).add(obj_id)
        assert all(len(objects) == 1 for objects in of_id.values())


def test_trackeval_reads_motchallenge(results: tk.TrackingResults, tmp_path: Path) -> None:
    done = results.to_mot(tmp_path / "mot")
    assert any("no labels" in note for note in done.notes)
    lengths = {name: 8 for name in names(done).values() if name}
    assert {path.stem for path in done.path.iterdir()} == set(lengths)
    data = MotChallenge2DBox(
        {
            **{"GT_FOLDER": str(done.path), "GT_LOC_FORMAT": "{gt_folder}/{seq}.txt"},
            **{"TRACKERS_FOLDER": str(tmp_path), "TRACKERS_TO_EVAL": ["mot"], "TRACKER_SUB_FOLDER": ""},
            **{"SEQ_INFO": lengths, "SKIP_SPLIT_FOL": True, "PRINT_CONFIG": False},
        }
    )
    for path, result in by_path(results).items():
        read = data._load_raw_file("mot", names(done)[path], is_gt=False)
        for idx in range(8):
            rows = result.tracks[result.tracks["frame_idx"] == idx]
            assert read["tracker_ids"][idx].tolist() == rows["obj_id"].tolist()
            assert np.array_equal(read["tracker_dets"][idx].reshape(-1, 4), rows[BOX])
            assert np.allclose(read["tracker_confidences"][idx], rows["score"])


def test_trackeval_reads_davis(results: tk.TrackingResults, tmp_path: Path) -> None:
    done = results.to_davis(tmp_path / "davis")
    data = DAVIS(
        {
            **{"GT_FOLDER": str(done.path), "TRACKERS_FOLDER": str(tmp_path), "PRINT_CONFIG": False},
            **{"TRACKERS_TO_EVAL": ["davis"], "TRACKER_SUB_FOLDER": ""},
        }
    )
    assert set(data.seq_list) == set(names(done).values()) - {""}
    assert not [note for note in done.notes if "overlap" in note]
    for path, result in by_path(results).items():
        read = data._load_raw_file("davis", names(done)[path], is_gt=False)
        for t, idx in enumerate(result.frames[0].tolist()):
            rows = result.tracks[result.tracks["frame_idx"] == idx]
            assert read["tracker_ids"][t].tolist() == rows["obj_id"].tolist()
            assert same_masks(read["tracker_dets"][t], rows)
    with PilImage.open(done.path / "my_clip" / "00002.png") as image:
        assert image.mode == "P"
        assert image.getpalette()[: 3 * 5] == [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128]


def test_cvat_is_plain_xml(results: tk.TrackingResults, tmp_path: Path) -> None:
    done = results.to_cvat(tmp_path / "cvat")
    for path, result in by_path(results).items():
        file = done.path / f"{names(done)[path]}.xml"
        assert pd.read_xml(file, xpath="./meta/task", parser="etree").loc[0, "size"] == 8
        if result.tracks.empty:
            continue
        boxes = pd.read_xml(file, xpath="./track/box", parser="etree").query("outside == 0")
        rows = result.tracks.sort_values(["obj_id", "frame_idx"])
        assert boxes["frame"].tolist() == rows["frame_idx"].tolist()
        assert np.allclose(boxes[["xtl", "ytl"]], rows[["x", "y"]], atol=0.005)
        assert np.allclose(boxes["xbr"] - boxes["xtl"], rows["width"], atol=0.01)
        tracks = pd.read_xml(file, xpath="./track", parser="etree")
        assert tracks["label"].tolist() == rows.groupby("obj_id")["label"].first().tolist()


READ_CVAT = """
import json, sys
from datumaro.components.dataset import Dataset
found = []
for item in Dataset.import_from(sys.argv[1], "cvat"):
    for a in item.annotations:
        found.append([item.attributes["frame"], a.attributes["track_id"], a.label, *a.points,
                      a.attributes["outside"], a.attributes["keyframe"]])
print(json.dumps(found))
"""


def read_with_datumaro(path: Path) -> list[list[Any]]:
    """Datumaro's wishes for pandas, Pillow and OpenCV are not ours: it has an environment of its own."""
    uv = [sys.executable, "-m", "uv", "run", "--quiet", "--offline", "--no-project", "--isolated"]
    command = [*uv, "--python", sys.executable, "--with", DATUMARO, "python", "-c", READ_CVAT, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode and "cache" in run.stderr:
        pytest.skip(f"no {DATUMARO} in uv's cache: `uv run --no-project --with {DATUMARO} true` gets it")
    assert run.returncode == 0, run.stderr
    found: list[list[Any]] = json.loads(run.stdout.splitlines()[-1])
    return found


def test_datumaro_reads_cvat(results: tk.TrackingResults, tmp_path: Path) -> None:
    done = results.to_cvat(tmp_path / "cvat")
    assert any("boxes were written" in note for note in done.notes)
    result = by_path(results)["a/car.mp4"]
    found = read_with_datumaro(done.path / f"{names(done)['a/car.mp4']}.xml")
    seen = sorted(row[:7] for row in found if not row[7])
    rows = result.tracks.sort_values(["frame_idx", "obj_id"])
    corners = rows[BOX].to_numpy(np.float64) @ [[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1]]
    labels = [CONFIG.classes.index(label) for label in rows["label"]]
    wanted = np.column_stack([rows["frame_idx"], rows["obj_id"], labels, corners])
    assert np.allclose(seen, wanted, atol=0.005)
    assert all(row[8] for row in found)
    assert [row[:2] for row in found if row[7]] == [[2, 1], [2, 3]]  # out of sight from frame 2 on


# ---- and by our own ----


@pytest.mark.parametrize(("format", "by"), [("mot", "box"), ("davis", "mask"), ("youtube-vis", "mask")])
def test_a_run_is_perfect_against_its_own_export(
    results: tk.TrackingResults, tmp_path: Path, format: str, by: str
) -> None:
    path = tmp_path / ("truth.json" if format == "youtube-vis" else "truth")
    exported = tk.export_results(results, path, format)
    assert (exported.videos, exported.rows) == (4, len(results.tracks))
    found = tk.evaluate(results, path, by=by)
    assert not found.notes
    assert found.overall["objects"] == 5
    assert found.overall[["HOTA", "IDF1", "MOTA", "precision", "recall"]].tolist() == [1.0] * 5
    assert found.overall["frames"] == 16


@pytest.mark.parametrize("format", EXPORT_FORMATS)
def test_a_results_file_gives_the_same_bytes(
    results: tk.TrackingResults, tmp_path: Path, format: str
) -> None:
    def contents(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    jsonl = tmp_path / "tracks.jsonl"
    outcomes = [o for o in results.outcomes if isinstance(o, VideoResult)]
    old = replace(outcomes[0], tracks=outcomes[0].tracks.iloc[:1])
    lines = [encode_result(each, CONFIG) for each in (old, *outcomes)]
    lines[2] = json.dumps(json.loads(lines[2])).encode() + b"\n"  # as another tool spaces it
    jsonl.write_bytes(b"".join(lines))
    failures_path(jsonl).write_bytes(encode_failure(sample_failure("/e/gone.mp4"), CONFIG))
    suffix = EXPORT_FORMATS[format].suffix or ""
    one = tk.export_results(results, tmp_path / "one" / f"out{suffix}", format)
    two = tk.export_results(jsonl, tmp_path / "two" / f"out{suffix}", format)
    assert one.notes == two.notes
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert "failed, not in it: /e/gone.mp4: VideoOpenError" in "\n".join(two.notes)
    listed = pd.read_csv(two.list_path).set_index("video_path")
    assert listed.loc["/e/gone.mp4", "status"] == "failed"
    assert "no such file" in listed.loc["/e/gone.mp4", "message"]
    assert listed["name"].nunique() == 4


def test_frames_make_a_dataset(tmp_path: Path) -> None:
    write_video(make_scene(3, num_frames=9, colors=("red", "blue")), tmp_path / "my clip.mp4")
    config = tk.TrackConfig.from_preset("color", "red. blue", fps=10)
    result = tk.track_video(tmp_path / "my clip.mp4", config)
    results = tk.TrackingResults([result], config)
    done = results.to_coco(tmp_path / "coco.json", with_frames=True)
    assert done.frames_path == tmp_path / "coco_frames"
    dataset = sv.DetectionDataset.from_coco(str(done.frames_path), str(done.path), force_masks=True)
    assert dataset.classes == ["red", "blue"]
    assert 1 < len(dataset) == len(result.frames[0]) < 9
    with VideoReader(tmp_path / "my clip.mp4") as reader:
        frames = {frame.idx: frame.image for frame in reader}
    for path, image, detections in dataset:
        idx = int(Path(path).stem)
        assert np.abs(image[:, :, ::-1].astype(int) - frames[idx]).mean() < 3
        assert len(detections) == (result.tracks["frame_idx"] == idx).sum()
    write_video(make_scene(3, num_frames=4, colors=("red", "blue")), tmp_path / "my clip.mp4")
    with pytest.raises(ResultsError, match="Has it changed since"):
        results.to_csv(tmp_path / "again.csv", with_frames=True)
    (tmp_path / "my clip.mp4").unlink()
    with pytest.raises(VideoOpenError):
        results.to_csv(tmp_path / "again.csv", with_frames=True)
    assert {path.name for path in tmp_path.iterdir()} == {"coco.json", "coco.videos.csv", "coco_frames"}


# ---- what formats cannot hold ----


def test_where_objects_overlap_the_smaller_one_has_the_pixels(tmp_path: Path) -> None:
    overlapping = video("/v/car.mp4", {0: [1, 2], 2: [1]})
    tracks = overlapping.tracks
    done = tk.TrackingResults([overlapping], CONFIG).to_davis(tmp_path / "davis")
    assert "car: objects overlap in 1 frames, the smaller has the pixels" in done.notes
    image = np.asarray(PilImage.open(done.path / "car" / "00000.png"))
    first, second = (decode_rle(rle, HEIGHT, WIDTH) for rle in tracks["mask_rle"][:2])
    assert (image == 2)[second].all()  # as large as the other: the higher id
    assert (image == 1)[first & ~second].all()
    inside = decode_rle(tracks["mask_rle"][0], HEIGHT, WIDTH)
    rle = coco.encode(np.asfortranarray((first & second).astype(np.uint8)))["counts"].decode()
    smaller = tracks.assign(
        mask_rle=[rle, *tracks["mask_rle"][1:]], area_px=[(first & second).sum(), *tracks["area_px"][1:]]
    )
    done = tk.TrackingResults([replace(overlapping, tracks=smaller)], CONFIG).to_davis(tmp_path / "smaller")
    image = np.asarray(PilImage.open(done.path / "car" / "00000.png"))
    assert (image == 1)[inside & second].all()
    twins = smaller.assign(mask_rle=rle, area_px=[(first & second).sum()] * 3)
    done = tk.TrackingResults([replace(overlapping, tracks=twins)], CONFIG).to_davis(tmp_path / "twins")
    assert any("1 times nothing is left of the larger" in note for note in done.notes)


def test_davis_holds_254_objects(tmp_path: Path) -> None:
    many = video("/v/car.mp4", {2 * k: [k + 1] for k in range(254)})
    high = replace(many, tracks=many.tracks.assign(obj_id=many.tracks["obj_id"] + np.int32(1000)))
    done = tk.TrackingResults([high], CONFIG).to_davis(tmp_path / "high")
    assert any("1001 is 1, 1002 is 2" in note for note in done.notes)
    assert np.asarray(PilImage.open(done.path / "car" / "00506.png")).max() == 254
    over = video("/v/car.mp4", {2 * k: [k + 1] for k in range(255)})
    with pytest.raises(ConfigError, match=r"car.mp4 has 255 objects, .* 254"):
        tk.TrackingResults([over], CONFIG).to_davis(tmp_path / "over")
    assert {path.name for path in tmp_path.iterdir()} == {"high", "high.videos.csv"}


@pytest.mark.parametrize("format", EXPORT_FORMATS)
def test_boxes_without_masks(tmp_path: Path, format: str) -> None:
    boxes = [video("/v/a.mp4", {0: [1]}), video("/v/b.mp4", {0: [1]}, masks=False)]
    results = tk.TrackingResults(boxes, CONFIG)
    if not EXPORT_FORMATS[format].masks_only:
        assert tk.export_results(results, tmp_path / "out", format).rows == 2
        return
    with pytest.raises(ConfigError, match=r"v/b.mp4 has boxes without masks.* csv, parquet, coco, mot, cvat"):
        tk.export_results(results, tmp_path / "out", format)
    assert not list(tmp_path.iterdir())


# ---- names and places ----


def test_names_stay_in_their_folder(tmp_path: Path) -> None:
    evil = ["/v/...mp4", "/v/.hidden.mp4", "/v/a\nb;$(x).mp4", "/v/-rf.mp4", "/w/-RF.mp4", "/v/ü ß.mp4"]
    results = tk.TrackingResults([video(source, {0: [1]}) for source in evil], CONFIG)
    for format, kind in EXPORT_FORMATS.items():
        folder = tmp_path / "in" / format
        done = tk.export_results(results, folder / f"out{kind.suffix or ''}", format)
        assert done.videos == len(set(names(done).values())) == len(evil)
        assert {path.name for path in folder.iterdir()} == {done.path.name, done.list_path.name}
        if kind.suffix is None:
            assert len({path.name.casefold() for path in done.path.iterdir()}) == len(evil)
            assert not [path for path in done.path.iterdir() if path.name.startswith(".")]
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_what_is_there_is_not_destroyed(results: tk.TrackingResults, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    results.to_mot(tmp_path / "old")  # it is empty
    with pytest.raises(ConfigError, match="must be new or empty"):
        results.to_mot(tmp_path / "old")
    with pytest.raises(ConfigError, match=r"is a folder: csv is a file, such as .*tracks\.csv"):
        results.to_csv(tmp_path / "old")
    (tmp_path / "x_frames" / "y").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"x_frames is there already: --with-frames"):
        results.to_csv(tmp_path / "x.csv", with_frames=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="check the folder"):
        results.to_csv(tmp_path / "file" / "x.csv")
    with pytest.raises(ConfigError, match=r"'xml' is unknown: choose one of csv, parquet, coco"):
        tk.export_results(results, tmp_path / "x", "xml")
    results.to_csv(tmp_path / "x.csv")
    results.to_csv(tmp_path / "x.csv")  # a file is replaced
    jsonl = tmp_path / "tracks.jsonl"
    jsonl.write_bytes(encode_result(by_path(results)["a/car.mp4"], CONFIG)[:-40])
    with pytest.raises(ResultsError, match="line 1"):
        tk.export_results(jsonl, tmp_path / "y.csv", "csv")
    jsonl.write_bytes(b"")
    with pytest.raises(ResultsError, match="holds no results"):
        tk.export_results(jsonl, tmp_path / "y.csv", "csv")
    assert not (tmp_path / "y.csv").exists()
    assert not list(tmp_path.glob(".trackkit*"))


@pytest.mark.parametrize("masks", [True, False])
def test_supervision_gets_every_frame(masks: bool) -> None:
    results = tracked(masks=masks)
    result = by_path(results)["d/my clip.mp4"]
    found = dict(results.to_supervision("d/my clip.mp4"))
    assert list(found) == [0, 2, 4, 6]
    for idx, detections in found.items():
        rows = result.tracks[result.tracks["frame_idx"] == idx]
        assert detections.tracker_id.tolist() == rows["obj_id"].tolist()
        assert detections.data["class_name"].tolist() == rows["label"].tolist()
        assert [CONFIG.classes[k] for k in detections.class_id] == rows["label"].tolist()
        assert np.array_equal(detections.confidence, rows["score"])
        assert np.array_equal(detections.area, rows["area_px"]) or not masks
        assert (detections.mask is not None) == masks
    assert len(sv.Detections.merge(list(found.values()))) == len(result.tracks)
    with pytest.raises(ResultsError, match=r"4 videos were tracked and none is named; .* of a/car"):
        results.to_supervision()
    with pytest.raises(ResultsError, match=r"^/e/gone\.mp4 failed .*; expected one .* of a/car"):
        results.to_supervision("/e/gone.mp4")


def test_what_a_killed_process_has_left_is_removed_a_day_later(tmp_path: Path) -> None:
    for name in (".trackkit-1.part", ".trackkit-2.part"):
        (tmp_path / name / "video").mkdir(parents=True)
    os.utime(tmp_path / ".trackkit-1.part", (0, 0))
    assert remove_abandoned(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == [".trackkit-2.part"]


# ---- the command ----


def test_the_command(results: tk.TrackingResults, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jsonl = tmp_path / "tracks.jsonl"
    jsonl.write_bytes(encode_result(by_path(results)["a/car.mp4"], CONFIG))
    words = ["export", str(jsonl), "--format", "mot", "--output", str(tmp_path / "mot")]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert "5 rows of 1 videos" in out
    assert "note: MOTChallenge has no labels" in out
    assert (tmp_path / "mot" / "car.txt").is_file()
    assert cli.main(words) == 2
    assert "must be new or empty" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["export", "--help"])
    shown = capsys.readouterr().out
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for name, kind in EXPORT_FORMATS.items():
        assert f"{name:11}  {kind.about}" in shown
        assert f"| `{name}` | `results.to_{name.replace('-', '_')}(" in readme
