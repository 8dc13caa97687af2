"""What docs/clusters.md shows, run as it stands by a real SLURM on this host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from guide import ARRAY, MERGE, ONE_JOB, SNIPPET, SPLIT_AND_SUBMIT
from slurm import NoSlurm, Slurm, one_host_slurm

import trackkit as tk
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
PROMPT = "red. blue."
HERE = ["--preset", "color", "--device", "cpu", "--num-workers", "1"]  # given to the scripts after the prompt
CLIPS = 7


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """SLURM on this host; skips where there is none, unless TRACKKIT_REQUIRE_SLURM=1 makes that an error.

    Jobs have the detector ``patient`` of tests/faults.py, as one that an installed package brings.
    """
    packages = tmp_path_factory.mktemp("packages")
    info = packages / "patient-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: patient\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[trackkit.detectors]\npatient = faults:_load_patient\n")
    try:
        with one_host_slurm() as slurm:
            slurm.environment["PYTHONPATH"] = os.pathsep.join(map(str, [ROOT, ROOT / "tests", packages]))
            yield slurm
    except NoSlurm as reason:
        if os.environ.get("TRACKKIT_REQUIRE_SLURM") == "1":
            pytest.fail(str(reason))
        pytest.skip(str(reason))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the user works: clips, their list, the scripts of the guide, and an environment to activate."""
    first = write_video(make_scene(0, num_frames=8, colors=("red", "blue")), tmp_path / "0.mp4")
    for k in range(1, CLIPS):
        (tmp_path / f"{k}.mp4").hardlink_to(first)
    (tmp_path / "videos.txt").write_text("".join(f"{k}.mp4\n" for k in range(CLIPS)))
    (tmp_path / "trackkit.sbatch").write_text(ONE_JOB)
    (tmp_path / "trackkit-array.sbatch").write_text(ARRAY)
    activate = tmp_path / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text(f"PATH={Path(sys.executable).parent}:$PATH\n")
    return tmp_path


class Endless:
    """Videos that take longer than any job, until there is a file. They come last, as they are the smallest.

    Attributes:
        names: In the list.
        options: Of the models, so that they do.
        words: The same, of the command line.
    """

    def __init__(self, folder: Path, count: int = 1) -> None:
        self.names = [f"endless-{k}.mp4" for k in range(count)]
        for name in self.names:
            video = write_video(make_scene(1, width=64, height=48, num_frames=12), folder / name)
            assert video.stat().st_size < (folder / "0.mp4").stat().st_size
        with (folder / "videos.txt").open("a") as file:
            file.writelines(f"{name}\n" for name in self.names)
        self._gate = folder / "gate"
        self.options = {"detector": "patient", "detector_model": str(self._gate), "tracker": "bytetrack"}
        named = {f"--{name.replace('_', '-')}": value for name, value in self.options.items()}
        self.words = [*HERE, *chain.from_iterable(named.items())]

    def end(self) -> None:
        """From now on they are clips like the others."""
        self._gate.touch()


def submit(slurm: Slurm, folder: Path, *words: str) -> str:
    (job,) = re.findall(r"^Submitted batch job (\d+)$", slurm.run("sbatch", *words, cwd=folder), re.MULTILINE)
    return job


def lines(folder: Path, pattern: str) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob(pattern))


def check_each_is_there_once(path: Path, names: list[str]) -> None:
    results = tk.read_jsonl(path)
    assert not len(results.failures)
    counts = Counter(result.task.video_path for result, _ in tk.iter_jsonl(path))
    assert counts == Counter(names)
    assert all(Path(video).is_file() for video in results.videos["output_video"].dropna())


def clips(*others: str) -> list[str]:
    return [*(f"{k}.mp4" for k in range(CLIPS)), *others]


def test_one_job_on_one_node(slurm: Slurm, folder: Path) -> None:
    job = submit(slurm, folder, "trackkit.sbatch", "videos.txt", PROMPT, *HERE)
    end = slurm.wait(job)
    assert (end["JobState"], end["ExitCode"], end["Restarts"]) == ("COMPLETED", "0:0", "0")
    assert "gpu:4" in end["TresPerNode"]
    check_each_is_there_once(folder / "tracks-trackkit.jsonl", clips())
    assert len(list((folder / "annotated").glob("*.mp4"))) == CLIPS


def test_it_goes_on_by_itself_when_its_time_is_over(slurm: Slurm, folder: Path) -> None:
    endless = Endless(folder)
    # The script, and its signal, with two minutes in place of a day.
    short = ("--time=2", "--signal=INT@60")
    job = submit(slurm, folder, *short, "trackkit.sbatch", "videos.txt", PROMPT, *endless.words)
    slurm.wait_until(lambda: slurm.job(job)["Restarts"] == "1", "the job is in the queue again")
    path = folder / "tracks-trackkit.jsonl"
    assert lines(folder, path.name) == CLIPS
    endless.end()
    end = slurm.wait(job)
    assert (end["JobState"], end["ExitCode"], end["Restarts"]) == ("COMPLETED", "0:0", "1")
    check_each_is_there_once(path, clips(*endless.names))
    log = (folder / f"slurm-{job}.out").read_text()
    assert f"{endless.names[0]} was under way and begins anew next time: " in log  # of the first job
    assert f"{CLIPS} videos are in {path.name} already: skipped" in log  # of the second


def test_scontrol_requeue_goes_on_and_scancel_is_for_good(slurm: Slurm, folder: Path) -> None:
    endless = Endless(folder)
    job = submit(slurm, folder, "trackkit.sbatch", "videos.txt", PROMPT, *endless.words)
    slurm.wait_until(lambda: lines(folder, "tracks-trackkit.jsonl") == CLIPS, "the clips are done")
    slurm.run("scontrol", "requeue", job)
    log = folder / f"slurm-{job}.out"
    slurm.wait_until(lambda: "already: skipped" in log.read_text(), "the job goes on")
    slurm.run("scancel", job)
    end = slurm.wait(job)
    assert (end["JobState"], end["Restarts"]) == ("CANCELLED", "1")
    check_each_is_there_once(folder / "tracks-trackkit.jsonl", clips())


def test_an_array(slurm: Slurm, folder: Path) -> None:
    endless = Endless(folder)  # the eighth line: in the last part, whose job has the number of the array
    split, sbatch = SPLIT_AND_SUBMIT.splitlines()
    slurm.run("bash", "-c", split, cwd=folder)
    words = sbatch.replace('"person. red cup."', f'"{PROMPT}"') + " " + " ".join(endless.words)
    (array,) = re.findall(r"\d+", slurm.run("bash", "-c", words, cwd=folder))
    tasks = [f"{array}_{k}" for k in range(4)]
    slurm.wait_until(lambda: lines(folder, "tracks.*.jsonl") == CLIPS, "the clips are done")
    slurm.run("scancel", "--signal=INT", tasks[3])  # what SLURM does before its time is over
    slurm.wait_until(lambda: slurm.job(tasks[3])["Restarts"] == "1", "the task is in the queue again")
    endless.end()
    ends = [slurm.wait(task) for task in tasks]
    assert [end["JobState"] for end in ends] == ["COMPLETED"] * 4
    assert [end["Restarts"] for end in ends] == ["0", "0", "0", "1"]  # the others were left alone
    slurm.run("bash", "-c", MERGE, cwd=folder)
    check_each_is_there_once(folder / "all.jsonl", clips(*endless.names))


def snippet(**options: str) -> str:
    """The guide's Python, with what this host has in place of a cluster, and with workers of short lives."""
    program = SNIPPET
    replaced = {
        'tk.TrackConfig("person. red cup.")': f"tk.TrackConfig({PROMPT!r}, **{options})",
        '"ib0"': '"lo"',
        '"225m"': '"60s"',
        '"10m"': '"5s"',
    }
    for old, new in replaced.items():
        assert program.count(old) == 1, old
        program = program.replace(old, new)
    return program


def test_dask_asks_slurm_for_workers(slurm: Slurm, folder: Path) -> None:
    """Jobs come as there are videos, go when there are none, and are replaced as they end before that."""
    endless = Endless(folder, count=2)
    log = folder / "log.txt"
    seen: set[str] = set()

    def new_jobs() -> set[str]:
        assert program.poll() is None, log.read_text()
        return set(slurm.jobs("RUNNING")) - seen

    def is_replaced(why: str) -> None:
        seen.update(slurm.jobs())
        slurm.wait_until(lambda: bool(new_jobs()), f"a job comes in the place of one that {why}")

    with (
        log.open("w") as file,
        subprocess.Popen(
            [sys.executable, "-c", snippet(**endless.options)],
            cwd=folder,
            env=slurm.environment,
            stdout=file,
            stderr=file,
        ) as program,
    ):
        try:
            slurm.wait_until(lambda: lines(folder, "tracks.jsonl") == CLIPS, "the clips are done")
            slurm.wait_until(lambda: len(new_jobs()) == 2, "a job for each of those that are left")
            slurm.run("scancel", next(iter(new_jobs())))
            is_replaced("was cancelled")
            is_replaced("was at the end of its life")
            endless.end()
            assert program.wait(180) == 0, log.read_text()
        finally:
            program.kill()
    check_each_is_there_once(folder / "tracks.jsonl", clips(*endless.names))
    slurm.wait_until(lambda: not slurm.jobs(), "all jobs are over")
    assert not list(folder.glob(".dask-jobqueue*"))  # keys
