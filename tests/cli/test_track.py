"""The command line, run as a user runs it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

import trackkit as tk
from trackkit.cli import main as cli
from trackkit.cli.demo import DEMO_CLASSES
from trackkit.cli.track import config_of
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_natural_scene, make_scene

COLOR = ["--preset", "color", "--text-prompt", "red. blue.", "--device", "cpu"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two short videos, one that is broken, and a list."""
    folder = tmp_path_factory.mktemp("clips")
    for seed in range(2):
        write_video(make_scene(seed, num_frames=6, colors=("red", "blue")), folder / f"{seed}.mp4")
    (folder / "broken.mp4").write_bytes(b"nonsense")
    (folder / "good.txt").write_text("0.mp4\n1.mp4\n")
    (folder / "all.txt").write_text("0.mp4\n1.mp4\nbroken.mp4\ngone.mp4\n")
    return folder


def run(*words: str | Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = cli.main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_old_command_line_is_accepted_unchanged() -> None:
    words = [
        *("track", "--video_list", "videos.txt", "--text_prompt", "person. car."),
        *("--output_jsonl", "results/tracks.jsonl", "--output_video_dir", "results/videos"),
        *("--sam_type", "sam2.1_hiera_large"),
        *("--model_path", "models/sam2/checkpoints/sam2.1_hiera_large.pt"),
        *("--detection_frequency", "5", "--max_frames", "60", "--fps", "10"),
        *("--gpu_ids", "0", "0", "1", "--num_workers", "6"),
    ]
    options = cli.make_parser().parse_args([cli.to_kebab(word) for word in words])
    config = config_of(options)
    assert config.classes == ("person", "car")
    assert (config.sam_type, config.detection_frequency, config.max_frames, config.fps) == (
        "sam2.1_hiera_large", 5, 60, 10.0,
    )  # fmt: skip
    assert config.model_path == "models/sam2/checkpoints/sam2.1_hiera_large.pt"
    assert (options.gpu_ids, options.num_workers) == ([0, 0, 1], 6)
    assert options.output_video_dir == "results/videos"


def test_values_with_underscores_stay_as_they_are() -> None:
    assert cli.to_kebab("--video_list=my_list.txt") == "--video-list=my_list.txt"
    assert cli.to_kebab("my_list.txt") == "my_list.txt"


def test_track_writes_what_it_says(clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        *("track", "--video-list", clips / "all.txt", "--output-jsonl", tmp_path / "t.jsonl"),
        *("--output-video-dir", tmp_path / "annotated", "--num-workers", "0", *COLOR),
    ]
    code, _, err = run(*words, capsys=capsys)
    assert code == 2
    assert "1 of 4 videos are missing" in err
    assert "gone.mp4" in err
    assert not (tmp_path / "t.jsonl").exists()

    code, out, _ = run(*words, "--skip-missing", capsys=capsys)
    assert code == 1
    for word in (
        "[4/4]",
        "2 ok, 0 truncated, 2 failed",
        "gone.mp4: failed: VideoOpenError",
        "frames/s",
        "decode",
    ):
        assert word in out
    results = tk.read_jsonl(tmp_path / "t.jsonl")
    assert results.videos["status"].value_counts().to_dict() == {"ok": 2, "failed": 2}
    assert len(list((tmp_path / "annotated").glob("*.mp4"))) == 2

    code, out, _ = run(*words, "--skip-missing", capsys=capsys)
    assert code == 1
    assert "2 videos are in" in out


def test_a_run_with_nothing_left_is_done(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["track", "--video-list", clips / "good.txt", "--output-jsonl", tmp_path / "t.jsonl", *COLOR]
    assert run(*words, "--num-workers", "0", capsys=capsys)[0] == 0
    code, out, _ = run(*words, capsys=capsys)
    assert code == 0
    assert "nothing to do" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--gpu-ids", "0"], "give one of the two"),
        (["--detection-frequency", "0"], "detection_frequency is 0"),
        (["--text-prompt", "zebra", "--num-workers", "0"], "zebra"),
        (["--output-video-dir", "/proc/nowhere", "--num-workers", "0"], "/proc/nowhere"),
    ],
)
def test_a_command_that_cannot_work(
    clips: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run("track", "--video-list", clips / "good.txt", *COLOR, *words, capsys=capsys)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_no_gpu_names_the_choices(
    clips: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("trackkit.run.gpus.visible_gpus", list)
    words = ["track", "--video-list", clips / "good.txt", "--preset", "color", "--text-prompt", "red"]
    code, _, err = run(*words, "--device", "cuda", capsys=capsys)
    assert code == 2
    assert "--device cpu" in err


def test_demo_leaves_files_to_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Shorter than `make demo`, which CI runs, too.
    monkeypatch.setattr("trackkit.cli.demo.make_natural_scene", partial(make_natural_scene, num_frames=6))
    code, out, _ = run("demo", "--output-dir", tmp_path / "demo", "--num-workers", "1", capsys=capsys)
    assert code == 0
    for name in ("contact_sheet.png", "annotated", "tracks.jsonl"):
        assert (tmp_path / "demo" / name).exists()
        assert str(tmp_path / "demo" / name) in out.replace("\n", "")
    results = tk.read_jsonl(tmp_path / "demo" / "tracks.jsonl")
    assert len(results) == 3
    assert results.failures.empty
    assert set(results.tracks["label"]) == set(DEMO_CLASSES)
    assert (results.videos["objects"] >= 2).all()
    assert len(list((tmp_path / "demo" / "annotated").glob("*.mp4"))) == 3


def test_doctor_looks_at_everything(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run("doctor", capsys=capsys)
    assert code == 0
    for word in ("torch", "sam2", "transformers", "GPU", "libx264", "GroundingDINO weights", "SAM 2 weights"):
        assert word in out
    assert "results folder" in out


def test_models_are_listed_fetched_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    checkpoint = tmp_path / "models" / "sam2" / "checkpoints" / "sam2.1_hiera_tiny.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"cut")
    code, out, _ = run("models", "list", capsys=capsys)
    assert code == 0
    assert "sam2.1_hiera_large" in out
    assert str(checkpoint) in out
    code, out, _ = run("models", "fetch", "sam2.1_hiera_tiny", capsys=capsys)  # it is here: no network
    assert code == 0
    assert str(checkpoint) in out
    code, _, err = run("models", "verify", str(checkpoint), capsys=capsys)
    assert code == 2
    assert "sam2.1_hiera_tiny.pt" in err


def test_what_is_waited_for_is_a_note(
    clips: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trackkit.run.lookout.FIRST_WORD_S", 0.1)
    words = ["track", "--video-list", clips / "0.mp4", "--scheduler", "tcp://127.0.0.1:1"]
    code, out, err = run(
        *words, "--worker-timeout", "1", "--text-prompt", "red", "--preset", "color", capsys=capsys
    )
    assert code == 2
    assert "note: waiting for the Dask scheduler at 'tcp://127.0.0.1:1' to answer: 0 s so far" in out
    assert "no Dask scheduler answers at" in err
