"""What docs/clusters.md shows runs, also on a machine without SLURM; tests/cluster/ runs it with one."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from dask.utils import parse_timedelta
from distributed import Security
from guide import ARRAY, CLIENT, GUIDE, MERGE, ONE_JOB, SCHEDULER, SNIPPET, SPLIT_AND_SUBMIT, WORKER

import trackkit as tk
from trackkit.cli import main as cli
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene

ROOT = Path(__file__).parents[1]
COLOR = ["--device", "cpu", "--preset", "color", "--num-workers", "0"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the user works: six clips, of which one is damaged, and their list."""
    first = write_video(make_scene(0, num_frames=4, colors=("red",)), tmp_path / "0.mp4")
    for k in range(1, 5):
        (tmp_path / f"{k}.mp4").hardlink_to(first)
    (tmp_path / "5.mp4").write_bytes(b"no video")
    (tmp_path / "videos.txt").write_text("".join(f"{k}.mp4\n" for k in range(6)))
    return tmp_path


def in_bash(code: str, *words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    path = f"{cwd / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", code, "script", *words],
        cwd=cwd,
        env={**os.environ, "PATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


class StandIns:
    """Programs that scripts call, in ``.venv/bin``: they write down their words, and end as they are told."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        bin_ = folder / ".venv" / "bin"
        bin_.mkdir(parents=True)
        (bin_ / "activate").touch()
        for name, then in {
            "srun": 'exec "$@"',
            "trackkit": 'exit "$TRACKKIT_ENDS_WITH"',
            "scontrol": "",
        }.items():
            program = bin_ / name
            program.write_text(f'#!/bin/bash\nprintf "%s\\0" "$@" > {name}.words\n{then}\n')
            program.chmod(0o755)

    def run(self, script: str, *words: str, ends_with: int = 0, **variables: str) -> int:
        """The exit code of a script."""
        for path in self._folder.glob("*.words"):
            path.unlink()
        variables["TRACKKIT_ENDS_WITH"] = str(ends_with)
        return in_bash(script, *words, cwd=self._folder, **variables).returncode

    def words(self, name: str) -> list[str] | None:
        """What a program was called with; None if it was not."""
        path = self._folder / f"{name}.words"
        return path.read_text().split("\0")[:-1] if path.exists() else None


def test_the_lines_of_an_array(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins = StandIns(folder)
    monkeypatch.chdir(folder)
    split, submit = SPLIT_AND_SUBMIT.splitlines()
    assert in_bash(split, cwd=folder).returncode == 0
    first, last = re.search(r"--array=(\d)-(\d) ", submit).groups()  # type: ignore[union-attr]
    parts = range(int(first), int(last) + 1)
    assert len(list(folder.glob("part.*"))) == len(parts)
    codes = []
    for k in parts:
        variables = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(k), "SLURM_JOB_ID": str(8 + k)}
        assert stand_ins.run(ARRAY, "red.", *COLOR, **variables) == 0
        words = stand_ins.words("trackkit")
        assert words is not None
        codes.append(cli.main(words))
    assert codes == [0, 1, 0, 0]  # one video is damaged
    assert in_bash(MERGE, cwd=folder).returncode == 0
    done = [result.task.video_path for result, _ in tk.iter_jsonl(folder / "all.jsonl")]
    assert sorted(done) == [f"{k}.mp4" for k in range(5)]


@pytest.mark.parametrize("ends_with", [0, 1, 2, 130, 143])
@pytest.mark.parametrize(
    ("script", "job", "words"), [(ONE_JOB, "5", ["videos.txt", "red."]), (ARRAY, "7_3", ["red."])]
)
def test_a_job_goes_on_by_itself_if_its_time_was_over(
    tmp_path: Path, script: str, job: str, words: Sequence[str], ends_with: int
) -> None:
    stand_ins = StandIns(tmp_path)
    variables = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3", "SLURM_JOB_NAME": "trackkit"}
    assert stand_ins.run(script, *words, ends_with=ends_with, SLURM_JOB_ID="5", **variables) == ends_with
    assert stand_ins.words("scontrol") == (["requeue", job] if ends_with == 130 else None)
    options = re.findall(r"^#SBATCH (\S+)", script, re.MULTILINE)
    assert {"--signal=INT@120", "--requeue", "--open-mode=append"} <= set(options)


def call_of(program: str, interface: str) -> str:
    """The ``SLURMCluster(...)`` of a program."""
    (call,) = re.findall(r"SLURMCluster\(.*?^\)", program, re.MULTILINE | re.DOTALL)
    return re.sub(r" +#.*", "", call.replace(f'"{interface}"', '"lo"'))


def test_the_jobs_of_dask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dask_jobqueue = pytest.importorskip("dask_jobqueue")
    monkeypatch.chdir(tmp_path)
    with eval(
        call_of(SNIPPET, "ib0"), {"SLURMCluster": dask_jobqueue.SLURMCluster, "Security": Security}
    ) as cluster:
        script = cluster.job_script()
        assert cluster.scheduler_address.startswith("tls://127.0.0.1:")
        assert cluster.dashboard_link.startswith("http://127.0.0.1:")
    assert "#SBATCH --gres=gpu:1" in script
    *_, line = script.splitlines()
    words = line.split()
    # What a worker makes of its words: the last of two counts.
    options = dict(pairwise(words))
    assert (options["--nthreads"], options["--memory-limit"]) == ("1", "0")
    latest = parse_timedelta(options["--lifetime"]) + parse_timedelta(options["--lifetime-stagger"])
    hours, minutes, seconds = map(int, re.search(r"-t (\d+):(\d+):(\d+)", script).groups())  # type: ignore[union-attr]
    assert latest < 3600 * hours + 60 * minutes + seconds
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}  # keys


def test_the_notebook_asks_slurm_in_the_same_way() -> None:
    notebook = nbformat.read(ROOT / "notebooks" / "03_many_videos.ipynb", as_version=4)
    (cell,) = (cell.source for cell in notebook.cells if "SLURMCluster(" in cell.source)
    assert call_of(cell, "lo") == call_of(SNIPPET, "ib0")
    (then,) = (cell.source for cell in notebook.cells if "cluster.adapt" in cell.source)
    assert re.search(r"^cluster\.adapt.*", then, re.MULTILINE)[0] in SNIPPET  # type: ignore[index]
    assert re.search(r"^with tk\.Session.*", then, re.MULTILINE)[0] in SNIPPET  # type: ignore[index]


@contextmanager
def running(code: str, cwd: Path) -> Iterator[None]:
    """A program as a process of its own, ended as SIGTERM ends it."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    log = (cwd / "log.txt").open("ab")
    with (
        log,
        subprocess.Popen(
            ["bash", "-c", code], cwd=cwd, env=environment, stdout=log, stderr=log, start_new_session=True
        ) as process,
    ):
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)


@pytest.mark.slow
def test_workers_that_one_starts_oneself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Security.temporary()
    for name, file in {"tls_ca_file": "ca", "tls_client_cert": "cert", "tls_client_key": "key"}.items():
        (folder / f"{file}.pem").write_text(getattr(made, name))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    scheduler, worker, client = (
        code.replace("10.0.0.1:8786", address) for code in (SCHEDULER, WORKER, CLIENT)
    )
    scheduler = scheduler.replace("127.0.0.1:8787", "127.0.0.1:0")
    monkeypatch.chdir(folder)
    stand_ins = StandIns(folder)
    assert stand_ins.run(client.replace("person. red cup.", "red.")) == 0
    words = stand_ins.words("trackkit")
    assert words is not None
    (folder / "videos.txt").write_text("0.mp4\n1.mp4\n")
    with running(scheduler, folder), running(worker, folder):
        code = cli.main([*words, "--preset", "color", "--device", "cpu"])
        assert code == 0, (folder / "log.txt").read_text()
    assert len(tk.read_jsonl(folder / "tracks.jsonl")) == 2


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", GUIDE):
        path, _, place = target.partition("#")
        assert not path or (ROOT / "docs" / path).exists(), target
        headings = [
            heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", GUIDE, re.MULTILINE)
        ]
        assert not place or place in headings, target
