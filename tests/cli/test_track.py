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
    try:
        code = cli.main([str(word) for word in words])
    except SystemExit as left:  # as argparse ends
        code = int(str(left.code))
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
    assert "1 of 4 videos is missing" in err
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
        (
            ["--detection-frequency", "0"],
            "--detection-frequency: 0 is out of range: expected a whole number from 1",
        ),
        (["--fps", "-1"], "--fps: -1 is out of range: expected a number above 0 (without it: every frame)"),
        (["--txt-prompt", "red"], "trackkit track: no option --txt-prompt; did you mean --text-prompt?"),
        (["--box_treshold=0.3"], "no option --box-treshold; did you mean --box-threshold?"),
        (["--no-resumee"], "did you mean --no-resume?"),
        (["-workers", "2"], "no option -workers; did you mean --num-workers?"),
        (["--preset", "colour"], "did you mean color?"),
        (["--detector", "grounding-dno"], "did you mean grounding-dino?"),
        (["--gpu-ids", "0,x"], "argument --gpu-ids: invalid int value: '0,x'"),
        (["--gpu-ids", ","], "expected at least one value"),
        (["more.mp4"], "more.mp4 is beside --video-list"),
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
    assert len(err.splitlines()) <= 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trak"], "'trak' (choose from 'track', "),
        (["trak"], "did you mean track?"),
        (["models", "lst"], "did you mean list?"),
        (["--video-list", "x"], "the command comes first: trackkit track --video-list ..."),
        (["track", "--text-prompt", "red"], "no videos: give --video-list"),
        (["track", "--video-list", "x"], "required: --text-prompt"),
        (
            ["track", "v.mp4", "--text-prompt", "red", "cup"],
            "there is no video 'cup': give paths; a prompt of several words is written in quotes",
        ),
        (["export", "x", "--formt", "coco"], "trackkit export: no option --formt; did you mean --format?"),
        (["eval", "x", "--nonsense"], "no option --nonsense\n"),
        (["eval", "x", "y", "--ground-truth", "z"], "unexpected y"),
        ([], "required: COMMAND"),
    ],
)
def test_mistyped_words_are_told_in_a_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(*words, capsys=capsys)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) <= 2


@pytest.mark.parametrize("words", ["0 0 1", "0,0,1", "0, 0, 1", "[0, 0, 1]", "0;0 1"])
def test_a_list_of_values_however_it_is_written(words: str) -> None:
    begin = ["track", "v.mp4", "--text-prompt", "red", "--gpu-ids"]
    parse = cli.make_parser().parse_args
    assert parse([*begin, *words.split(" ")]).gpu_ids == [0, 0, 1]
    assert parse([*begin, words]).gpu_ids == [0, 0, 1]
    assert parse([*begin, "0,0", "--gpu-ids", "1"]).gpu_ids == [0, 0, 1]


def test_a_prompt_may_begin_with_a_dash() -> None:
    words = ["track", "v.mp4", "--text-prompt", "- red\n- blue", "--preset", "color"]
    assert config_of(cli.make_parser().parse_args(words)).classes == ("red", "blue")


def test_videos_without_a_flag_and_a_run_that_keeps_nothing(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for named in (["0.mp4"], ["0.mp4", "1.mp4"], ["good.txt"]):
        paths = [clips / name for name in named]
        code, out, _ = run("track", *paths, *COLOR, "--num-workers", "0", capsys=capsys)
        assert code == 0
        first, *rest = out.splitlines()
        assert "nothing of this run will be kept; --output-jsonl" in first
        assert sum("mp4: 6 frames" in line for line in rest) == (1 if named == ["0.mp4"] else 2)
        assert not any("annotated" in line or "results" in line for line in rest)


def test_the_end_says_where_everything_lies(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    deep = tmp_path / ("deep" * 20)
    words = ["track", clips / "0.mp4", *COLOR, "--num-workers", "0", "--output-jsonl", deep / "t.jsonl"]
    deep.mkdir()
    _, out, _ = run(*words, "--output-video-dir", deep / "v", capsys=capsys)
    assert "kept" not in out
    assert f"results           {deep / 't.jsonl'}\n" in out
    assert f"annotated videos  {deep / 'v'}\n" in out
    assert f"trackkit status {deep / 't.jsonl'}" in out
    assert "what failed" not in out
    monkeypatch.setenv("COLUMNS", "100")
    code, out, _ = run(*words, clips / "broken.mp4", capsys=capsys)
    assert code == 1
    assert f"1 video is in {deep / 't.jsonl'} already: skipped" in out
    assert "[2/2]" in out
    assert "2 of 2: 0 ok, 0 truncated, 1 failed, 1 done before" in out
    assert f"what failed       {deep / 't.failures.jsonl'}\n" in out
    # The reason comes first: the path is told by then.
    assert "broken.mp4: failed: VideoOpenError: FFmpeg cannot" in out


def test_results_are_in_the_order_of_the_list(clips: Path) -> None:
    broken, first, second = (clips / name for name in ("broken.mp4", "1.mp4", "0.mp4"))
    for order in ([broken, first, second], [second, broken, first]):
        results = tk.track(order, "red", preset="color", session={"num_workers": 0})
        assert results.videos["video_path"].tolist() == [str(path) for path in order]
    (reason,) = results.failures["message"]
    assert reason.startswith("FFmpeg cannot")


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


def test_doctor_looks_at_everything(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run("doctor", capsys=capsys)
    assert code == 0
    for word in ("torch", "sam2", "transformers", "GPU", "libx264", "GroundingDINO weights", "SAM 2 weights"):
        assert word in out
    assert "`trackkit models fetch IDEA-Research/grounding-dino-base` gets the default" in out
    assert "results folder" in out


def test_models_are_listed_fetched_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "60")
    checkpoint = tmp_path / "models" / "sam2" / "checkpoints" / "sam2.1_hiera_tiny.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"cut")
    code, out, _ = run("models", "list", capsys=capsys)
    assert code == 0
    assert "sam2.1_hiera_large" in out
    assert "IDEA-Research/grounding-dino-tiny" in out
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
