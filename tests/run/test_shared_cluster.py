"""Sessions that share a cluster: none disturbs another, and one that is killed leaves nothing behind."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster, Scheduler, Security, Worker

import trackkit as tk
from trackkit.run import abandoned
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene

CONFIG = tk.TrackConfig.from_preset("color", "red. blue.")
SLOW = """
import time
import trackkit as tk

class Slow:
    def detect(self, images):
        time.sleep(0.2 * len(images))
        return [tk.Detections.empty()] * len(images)

tk.register_detector("slow")(lambda config, device: Slow())
config = tk.TrackConfig.from_preset("color", "red", detector="slow", detection_frequency=1, batch_size=1)
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A dozen short videos."""
    folder = tmp_path_factory.mktemp("clips")
    first = write_video(make_scene(0, num_frames=12, colors=("red", "blue")), folder / "00.mp4")
    return [first, *(Path(shutil.copy(first, folder / f"{k:02}.mp4")) for k in range(1, 12))]


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Takes the slow detector a minute."""
    scene = make_scene(1, num_frames=300, num_objects=1, colors=("red",), width=96, height=64)
    return write_video(scene, tmp_path_factory.mktemp("long") / "long.mp4")


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    """One worker, so that what comes later waits for what is there."""
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as running:
        yield running


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster, set_as_default=False) as connected:
        yield connected


def held_by_scheduler(dask_scheduler: Scheduler) -> set[str]:
    return {name for name in dask_scheduler.worker_plugins if name.startswith("trackkit-models-")}


def held_by_worker(dask_worker: Worker) -> set[str]:
    return {name for name in dask_worker.plugins if name.startswith("trackkit-models-")}


def tasks_of(dask_worker: Worker) -> int:
    return len(dask_worker.state.tasks)


def held(client: Client) -> int:
    """How many sessions have models on this cluster."""
    there = client.run_on_scheduler(held_by_scheduler)
    assert all(names <= there for names in client.run(held_by_worker).values())
    return len(there)


def wait_until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_sessions_with_the_same_options_do_not_need_each_other(
    cluster: LocalCluster, client: Client, clips: list[Path]
) -> None:
    with tk.Session(CONFIG, scheduler=cluster.scheduler_address) as one:
        going = one.iter_results(clips)
        outcomes = [next(going)]
        with (
            tk.Session(CONFIG, scheduler=cluster.scheduler_address) as other,
            tk.Session(CONFIG, client=client) as third,
        ):
            assert held(client) == 3
            assert other.track(clips[:1]).videos["status"].tolist() == ["ok"]
            assert third.track(clips[:1]).videos["status"].tolist() == ["ok"]
        assert held(client) == 1
        outcomes += going
    assert sorted(outcome.task.video_path for outcome in outcomes) == [str(path) for path in clips]
    assert all(isinstance(outcome, tk.VideoResult) for outcome in outcomes)
    assert held(client) == 0
    with pytest.raises(tk.PromptError, match="zebra"):
        tk.Session(CONFIG.replace(text_prompt="zebra"), client=client)
    assert held(client) == 0
    with tk.Session(CONFIG, client=client) as later:
        assert later.track(clips[:1]).videos["status"].tolist() == ["ok"]


def test_a_session_that_is_killed_leaves_nothing_behind(
    cluster: LocalCluster, client: Client, clips: list[Path], long_clip: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        SLOW
        + textwrap.dedent("""
        import sys
        from trackkit.run import abandoned

        abandoned.GRACE_S = 1.0
        tell = lambda progress: print("on", flush=True)
        with tk.Session(config, scheduler=sys.argv[1]) as session:
            session.track(sys.argv[2], output_video_dir=sys.argv[3], on_progress=tell)
        """)
    )
    command = [sys.executable, script, cluster.scheduler_address, long_clip, tmp_path / "out"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"on\n"
        assert held(client) == 1
        process.kill()
    # Its video does not go on to its end, which is a minute away, nor does its file stay.
    wait_until(lambda: sum(client.run(tasks_of).values()) == 0, seconds=10)
    wait_until(lambda: list((tmp_path / "out").iterdir()) == [])
    with tk.Session(CONFIG, scheduler=cluster.scheduler_address) as other:
        going = other.iter_results(clips)
        next(going)
        wait_until(lambda: held(client) == 1)  # that of the other
        assert len(list(going)) == len(clips) - 1
    cluster.scale(2)
    client.wait_for_workers(2, timeout=60)
    assert held(client) == 0


def test_a_client_that_was_cut_off_gets_its_models_back(
    cluster: LocalCluster, client: Client, clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(dask_scheduler: Scheduler, client_id: str) -> None:
        dask_scheduler.client_comms[client_id].abort()

    monkeypatch.setattr(abandoned, "GRACE_S", 1.0)
    with tk.Session(CONFIG, scheduler=cluster.scheduler_address) as session:
        assert session.client is not None
        client.run_on_scheduler(cut, client_id=session.client.id)
        wait_until(lambda: session.client is not None and session.client.status == "running")
        time.sleep(2.0)
        assert held(client) == 1  # it was back in time
        (name,) = client.run_on_scheduler(held_by_scheduler)
        client.unregister_worker_plugin(name)  # as if it had not been
        assert session.track(clips[:1]).videos["status"].tolist() == ["ok"]
        assert held(client) == 1
        client.unregister_worker_plugin(name)
    assert held(client) == 0


def test_a_run_that_is_broken_off_frees_its_workers(clips: list[Path], long_clip: Path) -> None:
    scope: dict[str, Any] = {}
    exec(SLOW, scope)
    with tk.Session(scope["config"], device="cpu", num_workers=2) as session:
        assert session.client is not None
        going = session.iter_results([long_clip, *clips[:2]])  # the long one takes a minute of one worker
        assert next(going).task.video_path != str(long_clip)
        going.close()
        client = session.client
        wait_until(lambda: sum(client.run(tasks_of).values()) == 0, seconds=10)


def broken_targets() -> Iterator[tuple[dict[str, Any], type[Exception], str]]:
    async def make(kind: type[Any]) -> Any:
        async with kind(asynchronous=True, processes=False, n_workers=0, dashboard_address=None) as made:
            with pytest.raises(tk.ConfigError, match=r"is asynchronous, .* without asynchronous=True"):
                tk.Session(CONFIG, **{kind.__name__.removeprefix("Local").lower(): made})

    asyncio.run(make(Client))
    asyncio.run(make(LocalCluster))
    with LocalCluster(processes=False, n_workers=0, dashboard_address=None) as closed:
        client, lost = Client(closed, set_as_default=False), Client(closed, set_as_default=False)
        client.close()
        address = closed.scheduler_address
    yield {"client": client}, tk.ClusterError, "the client is closed"
    yield {"client": lost}, tk.ClusterError, "the client is closed"
    yield {"cluster": closed}, tk.ClusterError, "the cluster is closed"
    yield {"scheduler": address}, tk.ClusterError, "no Dask scheduler answers"
    yield {"cluster": LocalCluster}, tk.ConfigError, "expected a Dask client, a cluster object"
    yield {"cluster": 5}, tk.ConfigError, "is 5: expected a Dask client"
    yield {"client": [address]}, tk.ConfigError, "expected a Dask client"
    yield {"scheduler": "http://127.0.0.1:1"}, tk.ClusterError, "unknown address scheme 'http'"
    yield {"scheduler": "tcp://127.0.0.1"}, tk.ClusterError, "missing port"
    secure = {"security": Security.temporary()}
    yield {"scheduler": "tcp://127.0.0.1:1", **secure}, tk.ClusterError, "begins with tls://"
    yield {"scheduler": "tls://127.0.0.1:1"}, tk.ClusterError, "check the address, TLS if it has it"


def test_a_cluster_that_cannot_be_used_is_told_in_a_sentence() -> None:
    for target, kind, words in broken_targets():
        with pytest.raises(kind, match=words) as error:
            tk.Session(CONFIG, worker_timeout_s=1, **target)
        assert "\n" not in str(error.value)


def test_a_cluster_of_other_software_is_told_in_a_sentence(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hide(dask_worker: Worker | None = None) -> None:
        sys.modules["trackkit.run.worker"] = None  # type: ignore[assignment]  # its import fails now

    versions = client.get_versions()
    monkeypatch.setattr(Client, "get_versions", lambda self: versions)
    for there, who in (
        (versions["scheduler"], "the scheduler"),
        (*versions["workers"].values(), "worker tcp"),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(there["host"], "python", "3.99.1.final.0")
            with pytest.raises(tk.ClusterError, match=rf"^{who}\S* runs Python 3\.99, and this process"):
                tk.Session(CONFIG, client=client)
    client.run(hide)
    with pytest.raises(tk.ClusterError, match=r"^worker \S+ cannot import trackkit .*: install it there"):
        tk.Session(CONFIG, client=client)
    assert held(client) == 0
