"""Runs that are interrupted, as a user or a batch system interrupts them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from faults import write_faulty_video

import trackkit as tk
from trackkit.cli import main as cli
from trackkit.cli.track import begins_anew, config_of
from trackkit.core.arrays import Image
from trackkit.core.frames import Detections
from trackkit.core.tasks import Progress
from trackkit.detectors import register_detector
from trackkit.detectors.color import ColorDetector
from trackkit.monitor.status import read_status
from trackkit.run.interrupts import Interrupted, orderly_end
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene
from trackkit.video.reader import probe

OPTIONS = ["--preset", "color", "--text-prompt", "red. blue.", "--device", "cpu", "--num-workers", "1"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 400 names of one video."""
    folder = tmp_path_factory.mktemp("clips")
    first = write_video(make_scene(0, num_frames=8, colors=("red", "blue")), folder / "000.mp4")
    for k in range(1, 400):
        (folder / f"{k:03}.mp4").hardlink_to(first)
    return folder


@contextmanager
def running(clips: Path, jsonl: Path) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """``trackkit track`` with some videos done, and the processes that it has started."""
    words = ["track", "--video-list", str(clips), "--output-jsonl", str(jsonl), *OPTIONS]
    words += ["--output-video-dir", str(jsonl.parent / "annotated")]
    with subprocess.Popen(
        [sys.executable, "-m", "trackkit", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Background jobs of a shell are born deaf to Ctrl-C, and trackkit leaves that so.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            # Three, and one that may be taken back: it can be seen before it has reached the disk.
            while not jsonl.exists() or jsonl.read_bytes().count(b"\n") < 4:
                assert process.poll() is None
                time.sleep(0.05)
            yield process, psutil.Process(process.pid).children(recursive=True)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("send", "number"),
    [(os.killpg, signal.SIGINT), (os.kill, signal.SIGTERM)],  # Ctrl-C reaches the workers, too
)
def test_one_signal_ends_a_run_in_order(
    clips: Path, tmp_path: Path, send: Callable[[int, int], None], number: int
) -> None:
    path = tmp_path / "tracks.jsonl"
    with running(clips, path) as (process, children):
        assert children
        send(process.pid, number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "stopping" in err
    assert "the same command goes on from here" in err
    assert "Traceback" not in err
    assert psutil.wait_procs(children, timeout=20)[1] == []
    status = read_status(path, clips)
    assert status.left == 400 - status.done
    assert (status.failed, status.writer) == ({}, None)
    results = tk.read_jsonl(path)  # every line is whole
    assert (results.videos["status"] == "ok").all()
    assert len(results) == status.done
    assert {p.name for p in tmp_path.iterdir()} == {"tracks.jsonl", "annotated"}
    finals = list((tmp_path / "annotated").glob("*.mp4"))
    assert {Path(p) for p in results.videos["output_video"]} <= set(finals)
    assert all(probe(p).num_frames == 8 for p in finals)


def test_ctrl_c_while_the_workers_start(clips: Path, tmp_path: Path) -> None:
    words = ["track", "--video-list", str(clips / "000.mp4"), *OPTIONS[:-1], "2"]
    log = tmp_path / "log"
    with (
        log.open("w") as out,
        subprocess.Popen(
            [sys.executable, "-m", "trackkit", *words],
            stdout=out,
            stderr=out,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process,
    ):
        started: list[psutil.Process] = []
        while len(started) < 2:
            assert process.poll() is None
            children = psutil.Process(process.pid).children()
            started = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
            time.sleep(0.05)
        time.sleep(0.5)  # they import
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
    assert [line.split(":")[0] for line in log.read_text().splitlines()] == ["note", "note", "trackkit"]
    assert psutil.wait_procs(started, timeout=20)[1] == []


class Interrupting(ColorDetector):
    """A signal comes at the fifth frame."""

    seen = 0

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        time.sleep(0.15)  # told of how far it is a few times a second
        self.seen += len(images)
        if self.seen == 5:
            signal.raise_signal(signal.SIGINT)
        return super().detect(images)


def test_it_is_said_which_video_begins_anew_and_how_long_it_takes(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register_detector("interrupting")(lambda config, device: Interrupting(config.classes, 0.3))
    words = ["--text-prompt", "red.", "--detector", "interrupting", "--tracker", "bytetrack"]
    words += ["--video-list", str(clips / "000.mp4"), "--num-workers", "0", "--batch-size", "1"]
    assert cli.main(["track", *words, "--device", "cpu"]) == 128 + signal.SIGINT
    said = rf"{clips}/000.mp4 was under way and begins anew next time: (\d) of 8 frames in 0:00:0(\d)"
    found = re.search(rf"{said}; all of them take about 0:00:0(\d)$", capsys.readouterr().err, re.MULTILINE)
    assert found
    frames, spent_s, whole_s = map(int, found.groups())
    assert 2 <= frames <= 4
    assert 0 <= spent_s <= whole_s


def test_what_begins_anew_may_not_say_how_long_it_is() -> None:
    video = Progress("a.mp4", "0", frames=5400, total=0, objects=1, seconds={"track": 7080.0})
    assert begins_anew(video) == "a.mp4 was under way and begins anew next time: 5400 of ? frames in 1:58:00"
    video = replace(video, total=90_000)
    assert begins_anew(video).endswith("in 1:58:00; all of them take about 1 day, 8:46:40")


def test_a_signal_while_the_models_load(tmp_path: Path) -> None:
    video = write_faulty_video(tmp_path / "video.mp4")
    loading, path = tmp_path / "loading", tmp_path / "tracks.jsonl"
    program = "import sys, faults; from trackkit.cli.main import main; sys.exit(main())"
    words = ["track", "--video-list", str(video), "--text-prompt", "object", "--tracker", "bytetrack"]
    words += ["--detector", "endless", "--detector-model", str(loading), "--output-jsonl", str(path)]
    folders = [str(Path(__file__).parents[1]), *sys.path]
    with subprocess.Popen(
        [sys.executable, "-c", program, *words, "--device", "cpu", "--num-workers", "1"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(folders),
            "DASK_DISTRIBUTED__WORKER__PRELOAD": "faults",
        },
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not loading.exists():
            assert process.poll() is None
            time.sleep(0.05)
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert err.splitlines()[-1] == "trackkit: interrupted; the same command goes on from here"
    assert children
    assert psutil.wait_procs(children, timeout=20)[1] == []
    assert {file.name for file in tmp_path.iterdir()} == {"video.mp4", "loading"}


def test_a_second_signal_ends_it_at_once(clips: Path, tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    with running(clips, path) as (process, children):
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "stopping" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert psutil.wait_procs(children, timeout=20)[1] == []
    with tk.Job(clips, config_of(cli.make_parser().parse_args(["track", "--video-list", "x", *OPTIONS])),
                output_jsonl=path) as job:  # fmt: skip
        assert len(job.done) >= 3


def test_signals_are_handled_inside_the_block_only() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted) as caught, orderly_end():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.exit_code == 143
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with orderly_end():
            signal.raise_signal(signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL  # the other one is handled
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_leave_signals_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with orderly_end():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]
