"""Files of earlier versions of trackkit are read, resumed, exported and evaluated."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trackkit as tk
from trackkit.cli.main import main
from trackkit.core.errors import ResultsError
from trackkit.monitor.status import read_status
from trackkit.synthetic import make_scene, write_video

DATA = Path(__file__).parents[1] / "data" / "results"
VERSIONS = sorted(path.name for path in DATA.iterdir() if path.is_dir())
COLOR = ["--preset", "color", "--text-prompt", "red. yellow. green. blue."]
CONFIG = tk.TrackConfig.from_preset("color", "red. yellow. green. blue.")
ROWS = {"color_frames.jsonl": 27, "mini_objects.jsonl": 18}

Change = Callable[[dict[str, Any]], object]


def nothing(line: dict[str, Any]) -> None:
    pass


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The videos that the files are of."""
    folder = tmp_path_factory.mktemp("clips")
    for seed in (1, 2):
        scene = make_scene(seed, width=96, height=64, num_frames=10, num_objects=2)
        write_video(scene, folder / f"{seed}.mp4")
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


def copy_for(clips: Path, path: Path, version: str, change: Change = nothing) -> Path:
    """The file of the preset ``color``, and the failures beside it, as if it were of these very clips."""
    for suffix in (".jsonl", ".failures.jsonl"):
        written = []
        for text in (DATA / version / f"color_frames{suffix}").read_text().splitlines():
            line = json.loads(text)
            place, key = (line, "source") if suffix == ".jsonl" else (line["task"], "task")
            name = Path(place["video_path"]).name
            stat = (clips / name).stat()
            facts = {"size_bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
            if key == "source":
                line["source"] |= {"path": str(clips / name), **facts}
            else:
                line["task"] |= {"source": str(clips / name), **facts}
            change(line)
            written.append(json.dumps(line, separators=(",", ":")) + "\n")
        path.with_suffix(suffix).write_text("".join(written))
    return path


def run(clips: Path, path: Path, *words: str) -> int:
    return main(["track", "--video-list", str(clips), *COLOR, "--num-workers", "0", "--device", "cpu",
                 "--output-jsonl", str(path), *words])  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ROWS)
def test_they_are_read(version: str, name: str) -> None:
    results = tk.read_jsonl(DATA / version / name)
    assert results.notes == ()
    assert results.videos.set_index("video_path")["status"].to_dict() == {
        "clips/1.mp4": "ok", "clips/2.mp4": "ok", "clips/broken.mp4": "failed",
    }  # fmt: skip
    assert len(results.tracks) == ROWS[name]
    assert results.tracks["mask_rle"].notna().all()
    assert results.tracks["pred_iou"].notna().all() == (name == "mini_objects.jsonl")
    assert results.config.classes[0].startswith("red")
    assert len(results.trust) == results.videos["objects"].sum()
    status = read_status(DATA / version / name)
    assert (status.done, status.failed) == (2, {"VideoOpenError": 1})


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ROWS)
def test_they_are_exported_and_evaluated(version: str, name: str, tmp_path: Path) -> None:
    path = DATA / version / name
    for format in ("csv", "coco", "youtube-vis", "mot", "davis", "cvat", "parquet"):
        done = tk.export_results(path, tmp_path / format / "out", format)
        assert (done.videos, done.rows) == (2, ROWS[name])
    pytest.importorskip("trackeval")
    found = tk.evaluate(path, path).overall
    assert (found["HOTA"], found["recall"], found["J"]) == pytest.approx((1, 1, 1))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--batch-size", "1", "--max-frames", "30"],  # what the README advises for too little GPU memory
        ["--compile", "--sam-type", "tiny", "--patience-s", "3"],  # of no use to this preset
        ["--detection-frequency", "1", "--box-threshold", "0.35"],  # the defaults
    ],
)
def test_they_are_resumed(
    version: str, words: list[str], clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy_for(clips, tmp_path / "tracks.jsonl", version)
    before = path.read_bytes()
    assert run(clips, path, *words) == 1  # the broken one was tried again
    assert "2 videos are in" in capsys.readouterr().out
    assert path.read_bytes() == before
    assert run(clips, path, *words, "--skip-failed") == 1
    assert "nothing to do" in capsys.readouterr().out
    results = tk.track(
        str(clips), CONFIG.text_prompt, preset="color", output_jsonl=path, session={"num_workers": 0}
    )
    assert results.videos["status"].value_counts().to_dict() == {"ok": 2, "failed": 1}
    assert len(results.tracks) == ROWS["color_frames.jsonl"]


@pytest.mark.parametrize("version", VERSIONS)
def test_they_go_on_with_new_videos(version: str, clips: Path, tmp_path: Path) -> None:
    path = copy_for(clips, tmp_path / "tracks.jsonl", version)
    scene = make_scene(3, width=96, height=64, num_frames=10, num_objects=2, colors=("red", "blue"))
    more = write_video(scene, tmp_path / "3.mp4")
    config = CONFIG.replace(batch_size=1)
    with tk.Session(config, num_workers=0, device="cpu") as session:
        results = session.track([*sorted(clips.glob("[12].mp4")), more], output_jsonl=path)
    assert list(results.videos["status"]) == ["ok"] * 3
    again = tk.read_jsonl(path)  # lines of two versions, with different batch sizes, are one run
    assert set(again.videos["status"]) == {"ok", "failed"}
    assert len(again.tracks) == len(results.tracks) > ROWS["color_frames.jsonl"]


@pytest.mark.parametrize("version", VERSIONS)
def test_other_options_are_refused(
    version: str, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy_for(clips, tmp_path / "tracks.jsonl", version)
    assert run(clips, path, "--box-threshold", "0.4", "--batch-size", "1") == 2
    told = capsys.readouterr().err
    assert "box_threshold: 0.35 there, 0.4 now" in told
    assert "batch_size" not in told
    with pytest.raises(ResultsError, match=r"text_prompt: .red\. yellow\. green\. blue\.. there, .red. now"):
        tk.Job(str(clips), CONFIG.replace(text_prompt="red"), output_jsonl=path)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("added", ["scene_cuts", "box_threshold", "batch_size", "memory"])
def test_a_file_from_before_an_option_was_there(
    version: str, added: str, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def without(line: dict[str, Any]) -> None:
        if "config" in line:
            del line["config"][added]
        line["config_hash"] = "0123456789abcdef"  # that version had a hash of its own

    path = copy_for(clips, tmp_path / "tracks.jsonl", version, without)
    assert run(clips, path, "--skip-failed") == 1
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("name", "value"), [("telepathy", 3), ("senses", ["x"])])
def test_a_file_with_an_option_of_a_later_version(
    version: str, name: str, value: Any, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def later(line: dict[str, Any]) -> None:
        if "config" in line:
            line["config"][name] = value
        line["config_hash"] = "fedcba9876543210"

    path = copy_for(clips, tmp_path / "tracks.jsonl", version, later)
    results = tk.read_jsonl(path)
    assert results.videos["status"].value_counts().to_dict() == {"ok": 2, "failed": 1}
    (note,) = results.notes
    assert f"{name}={value!r}" in note
    assert note in results._repr_html_().replace("&#x27;", "'")
    assert results.config.to_dict()[name] == value  # nothing is lost
    done = tk.export_results(path, tmp_path / "tracks.csv", "csv")
    assert any(name in each for each in done.notes)
    pytest.importorskip("trackeval")
    assert any(name in each for each in tk.evaluate(path, path).notes)
    assert run(clips, path) == 2
    assert f"{name}: {value!r} there, which this trackkit does not know" in capsys.readouterr().err
    for go_on in (
        lambda: tk.Job(str(clips), results.config, output_jsonl=path),
        lambda: tk.Session(results.config, num_workers=0),
        lambda: tk.track_video(clips / "1.mp4", results.config),
    ):
        with pytest.raises(tk.ConfigError, match=f"cannot be run: they were written with .*{name}"):
            go_on()


@pytest.mark.parametrize("version", VERSIONS)
def test_an_option_of_a_later_version_at_its_default_is_no_other_run(
    version: str, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def later(line: dict[str, Any]) -> None:
        if "config" in line:
            line["config"]["telepathy"] = 0
        line["config_hash"] = CONFIG.hash  # that version leaves defaults out, too

    path = copy_for(clips, tmp_path / "tracks.jsonl", version, later)
    assert tk.read_jsonl(path).notes == ()
    assert run(clips, path, "--skip-failed") == 1
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize("version", VERSIONS)
def test_a_choice_of_a_later_version_is_no_other_run_if_it_is_not_used(
    version: str, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def later(line: dict[str, Any]) -> None:
        if "config" in line:
            line["config"]["dtype"] = "fp4"  # the preset has no network
        line["config_hash"] = "fedcba9876543210"

    path = copy_for(clips, tmp_path / "tracks.jsonl", version, later)
    (note,) = tk.read_jsonl(path).notes
    assert "dtype='fp4'" in note
    assert run(clips, path, "--skip-failed") == 1
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize("version", VERSIONS)
def test_old_failures_are_known_if_there_is_nothing_else(
    version: str, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy_for(clips, tmp_path / "tracks.jsonl", version)
    path.write_bytes(b"")
    with tk.Job(str(clips), CONFIG, output_jsonl=path, skip_failed=True) as job:
        assert [Path(failure.task.video_path).name for failure in job.failed] == ["broken.mp4"]
        assert len(job.tasks) == 2


def test_another_window_is_said_if_it_may_matter(clips: Path, tmp_path: Path) -> None:
    path = copy_for(clips, tmp_path / "tracks.jsonl", VERSIONS[-1])
    for frames, said in ((30, False), (1, True)):
        with tk.Job(str(clips), CONFIG.replace(max_frames=frames), output_jsonl=path) as job:
            assert any("goes on with 1: objects may begin later" in note for note in job.notes) == said


@pytest.mark.parametrize(
    "odd",
    [
        {"config": None},
        {"config": 3},
        {"config": ["text_prompt"]},
        {"config": {"text_prompt": "red", "sam_type": 5}},
        {"config": {"text_prompt": "red", "tracker": ["a"]}},
        {"config": {"text_prompt": "red", "fps": 10**400}},
        {"config_hash": ["a"]},
        {"source": None},
        {"prompts": None},
    ],
)
def test_odd_lines_are_told_by_their_number(clips: Path, tmp_path: Path, odd: dict[str, Any]) -> None:
    path = copy_for(
        clips, tmp_path / "tracks.jsonl", VERSIONS[-1], lambda line: line.update({"config_hash": "0", **odd})
    )
    path.with_suffix(".failures.jsonl").unlink()
    with pytest.raises(ResultsError, match="line 1"):
        tk.Job(str(clips), CONFIG, output_jsonl=path)
    if odd.keys() & {"config", "source"}:
        with pytest.raises(ResultsError, match="line 1"):
            tk.read_jsonl(path)
        with pytest.raises(ResultsError, match="line 1"):
            tk.export_results(path, tmp_path / "out.csv", "csv")
