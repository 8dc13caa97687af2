"""What holds for exports in any format: names, places, and what is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import supervision as sv
from exported import by_path, names, video
from samples import CONFIG, sample_failure

import trackkit as tk
from trackkit.cli import main as cli
from trackkit.core.errors import ConfigError, ResultsError, VideoOpenError
from trackkit.formats.writers import EXPORT_FORMATS
from trackkit.results.jsonl import failures_path
from trackkit.results.jsonl_line import encode_failure, encode_result
from trackkit.results.video_result import VideoResult
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene
from trackkit.video.reader import VideoReader


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


def test_the_command(results: tk.TrackingResults, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jsonl = tmp_path / "tracks.jsonl"
    jsonl.write_bytes(encode_result(by_path(results)["a/car.mp4"], CONFIG))
    words = ["export", str(jsonl), "--format", "mot", "--output", str(tmp_path / "mot")]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert "5 rows of 1 video;" in out
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
