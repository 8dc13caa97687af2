"""What a session says of workers that are late, paused, lost or gone, and how it goes on."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import Client, LocalCluster
from faults import CONFIG as FAULTY
from faults import write_faulty_video
from killed_workers import KillOnce

import trackkit as tk
from trackkit.monitor.displays import NoteHandler
from trackkit.run.lookout import waiting_for
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene

CONFIG = tk.TrackConfig.from_preset("color", "red")
QUIET = {"n_workers": 0, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}


@pytest.fixture(autouse=True)
def small_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """A word comes sooner than users hear it."""
    monkeypatch.setattr("trackkit.run.lookout.LOOK_INTERVAL_S", 0.1)
    monkeypatch.setattr("trackkit.run.lookout.FIRST_WORD_S", 0.3)
    monkeypatch.setattr("trackkit.run.lookout.NEXT_WORD_S", 0.3)


@pytest.fixture
def said() -> Iterator[Callable[[], str]]:
    """All sentences so far."""
    sentences: list[str] = []
    log, notes = logging.getLogger("trackkit"), NoteHandler(sentences.append)
    log.addHandler(notes)
    log.setLevel(logging.INFO)
    yield lambda: "\n".join(sentences)
    log.setLevel(logging.NOTSET)
    log.removeHandler(notes)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    scene = make_scene(1, num_frames=30, num_objects=1, colors=("red",))
    return [write_video(scene, folder / f"{k}.mp4") for k in range(12)]


@contextmanager
def later(do: Callable[[], Any], when: Callable[[], bool]) -> Iterator[None]:
    """Do something beside the block, once something is so."""

    def wait() -> None:
        while not when():
            time.sleep(0.05)
        do()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    yield
    thread.join(10)
    assert not thread.is_alive()


def test_what_takes_long_is_told_again_and_again(said: Callable[[], str]) -> None:
    with waiting_for("nothing"):
        pass
    assert said() == ""
    with waiting_for("godot", 60.0):
        time.sleep(1.2)
    assert said().count("waiting for godot: ") >= 2
    assert "s so far, for up to 60 s" in said()


@pytest.mark.parametrize("schedule", ["dynamic", "round-robin"])
def test_a_cluster_that_adapts_grows_with_the_videos(
    tmp_path: Path, schedule: str, said: Callable[[], str]
) -> None:
    videos = [write_faulty_video(tmp_path / f"{k}.mp4", "slow", num_frames=4) for k in range(6)]
    config = FAULTY.replace(batch_size=1)
    with dask.config.set({"distributed.worker.preload": ["faults"]}), LocalCluster(**QUIET) as cluster:
        cluster.adapt(minimum=0, maximum=2, interval="100ms", target_duration="500ms")
        with tk.Session(config, device="cpu", cluster=cluster, schedule=schedule) as session:
            results = session.track(videos)
    assert (results.videos["status"] == "ok").all()
    assert len(set(results.videos["worker"])) == 2
    assert "came: 1 worker now" in said()


def test_a_worker_that_is_paused_is_told_and_waited_for(clips: list[Path], said: Callable[[], str]) -> None:
    tight = {"distributed.worker.memory.pause": 0.01, "distributed.worker.memory.terminate": False}
    with (
        dask.config.set(tight),
        LocalCluster(**QUIET | {"n_workers": 1}, memory_limit="4GiB") as cluster,
        tk.Session(CONFIG, device="cpu", cluster=cluster, worker_timeout_s=2) as session,
    ):
        assert session.client is not None
        while '"paused"' not in json.dumps(session.client.scheduler_info(n_workers=-1)["workers"]):
            time.sleep(0.05)
        with pytest.raises(tk.ClusterError, match=r"have been paused for 2 s, short of memory.*memory_limit"):
            session.track(clips[0])
        assert "worker 0 is paused: it holds" in said()
        assert "of the 4.00 GiB that it may" in said()
        assert "no worker takes videos" in said()
        told = said().count("no worker takes")
        with later(partial(session.client.run, _has_memory), lambda: said().count("no worker takes") > told):
            assert len(session.track(clips)) == len(clips)
        assert "worker 0 takes videos again" in said()


def _has_memory(dask_worker: Any) -> None:
    dask_worker.memory_manager.memory_pause_fraction = 0.99


def test_a_run_without_workers_says_so_and_goes_on_or_ends(
    clips: list[Path], said: Callable[[], str]
) -> None:
    with (
        LocalCluster(**QUIET | {"n_workers": 1}) as cluster,
        tk.Session(CONFIG, device="cpu", cluster=cluster, worker_timeout_s=4) as session,
    ):
        cluster.scale(0)
        with later(partial(cluster.scale, 2), lambda: "no worker takes videos" in said()):
            assert len(session.track(clips)) == len(clips)
        assert "for up to 4 s" in said()
        assert "the run goes on" in said()
        outcomes = session.iter_results(clips)
        next(outcomes)
        cluster.scale(0)
        with pytest.raises(tk.ClusterError, match=r"no worker came to .* within 4 s.*goes on from here"):
            list(outcomes)
        assert "left in order" in said()


def test_a_video_that_outlasts_its_workers_fails(tmp_path: Path, said: Callable[[], str]) -> None:
    long = write_faulty_video(tmp_path / "long.mp4", "slow", num_frames=400)  # 80 s
    with (
        dask.config.set({"distributed.worker.preload": ["faults"]}),
        LocalCluster(**QUIET | {"n_workers": 3}) as cluster,
        tk.Session(FAULTY.replace(batch_size=1), device="cpu", cluster=cluster) as session,
    ):
        # What the user's clusters go by is theirs: with another value they would not replace their workers.
        assert dask.config.get("distributed.deploy.lost-worker-timeout") == "15s"
        assert session.client is not None
        leave = partial(session.client.retire_workers, close_workers=True)
        addresses = {str(name): address for address, name in session.client.run(_name).items()}

        def let_go(progress: tk.Progress) -> None:
            if progress.worker in addresses:
                address = addresses.pop(progress.worker)
                threading.Thread(target=leave, args=[[address]]).start()

        results = session.track(long, on_progress=let_go)
    (failure,) = results.failures.itertuples()
    assert (failure.video_path, failure.error_type, failure.attempts) == (str(long), "WorkerLeft", 3)
    assert "--lifetime" in failure.message
    first = said().index(f"left in order; {long}, which it had for")
    assert "it fails when it has lost 3 workers" in said()[first:]


def _name(dask_worker: Any) -> Any:
    return dask_worker.name


def test_a_worker_of_ours_comes_back_whatever_dask_was_told(
    clips: list[Path], said: Callable[[], str], tmp_path: Path
) -> None:
    long = write_video(make_scene(5, num_frames=300), tmp_path / "long.mp4")
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1ms"}),
        tk.Session(CONFIG, device="cpu", num_workers=1) as session,
    ):
        assert dask.config.get("distributed.deploy.lost-worker-timeout") == "1ms"
        kill = KillOnce(session.client, long)
        results = session.track([long, *clips[:2]], on_progress=kill)
    assert (results.videos["status"] == "ok").all()
    assert "worker 0 (tcp://" in said()
    assert "was lost: its process died" in said()
    assert f"{long}: the worker process (tcp://" in said()
    assert "it is tried once more, alone" in said()


@pytest.mark.parametrize("kind", ["nobody", "silent", "http"])
def test_what_is_no_scheduler_is_told_and_given_up(kind: str, said: Callable[[], str]) -> None:
    with socket.socket() as silent, ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as http:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        threading.Thread(target=http.serve_forever, daemon=True).start()
        port = {"nobody": 9, "silent": silent.getsockname()[1], "http": http.server_port}[kind]
        with pytest.raises(tk.ClusterError, match="no Dask scheduler answers at"):
            tk.Session(CONFIG, scheduler=f"tcp://127.0.0.1:{port}", worker_timeout_s=0.5)
        http.shutdown()
    assert f"waiting for the Dask scheduler at 'tcp://127.0.0.1:{port}' to answer" in said()


def test_workers_start_no_workers(clips: list[Path]) -> None:
    def track(num_workers: int) -> int:
        return len(
            tk.track(clips[0], "red", preset="color", session={"num_workers": num_workers, "device": "cpu"})
        )

    with LocalCluster(**QUIET | {"n_workers": 1}) as cluster, Client(cluster) as client:
        with pytest.raises(tk.ClusterError, match=r"may start no others .*num_workers=0"):
            client.submit(track, 1).result()
        assert client.submit(track, 0).result() == 1


def test_a_worker_that_is_not_heard_is_told(
    clips: list[Path], said: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trackkit.run.lookout.SILENT_S", 1.5)
    with (
        LocalCluster(**QUIET | {"n_workers": 1}) as cluster,
        tk.Session(CONFIG, device="cpu", cluster=cluster) as session,
    ):
        assert session.client is not None
        (pid,) = session.client.run(os.getpid).values()
        outcomes = session.iter_results(clips)
        next(outcomes)
        os.kill(pid, signal.SIGSTOP)
        with later(partial(os.kill, pid, signal.SIGCONT), lambda: "has not been heard for" in said()):
            assert len(list(outcomes)) == len(clips) - 1
        assert "worker 0 is heard again" in said()
