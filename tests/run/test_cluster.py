from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from distributed import Client

from trackkit.core.errors import ClusterError, ConfigError
from trackkit.run.cluster import start_cluster
from trackkit.run.gpus import choose_gpus
from trackkit.run.options import SessionOptions


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], None]:
    """Pretend that these GPUs are there."""
    return lambda names: monkeypatch.setattr("trackkit.run.gpus.visible_gpus", lambda: names)


@pytest.mark.parametrize(
    ("options", "slots"),
    [
        ({}, ["0", "1", "2"]),
        ({"device": "cuda"}, ["0", "1", "2"]),
        ({"device": "cuda:2"}, ["2"]),
        ({"device": "cuda:2", "num_workers": 2}, ["2", "2"]),
        ({"device": "cpu"}, []),
        ({"gpu_ids": [0, 0, 1]}, ["0", "0", "1"]),
        ({"gpu_ids": [2, 0], "num_workers": 5}, ["2", "0", "2", "0", "2"]),
        ({"gpu_ids": [2, 0], "num_workers": 1}, ["2"]),
        ({"num_workers": 4}, ["0", "1", "2", "0"]),
    ],
)
def test_the_gpu_of_each_worker(
    gpus: Callable[[list[str]], None], options: dict[str, Any], slots: list[str]
) -> None:
    gpus(["0", "1", "2"])
    assert choose_gpus(**options) == slots


def test_ids_count_the_gpus_that_are_visible(gpus: Callable[[list[str]], None]) -> None:
    gpus(["GPU-aaa", "7"])
    assert choose_gpus(gpu_ids=[1, 0]) == ["7", "GPU-aaa"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"device": "tpu"}, ConfigError, "choose cpu, cuda, or cuda:N"),
        ({"device": "cpu", "gpu_ids": [0]}, ConfigError, "give one of the two"),
        ({"device": "cuda:1", "gpu_ids": [0]}, ConfigError, "give one of the two"),
        ({"gpu_ids": [0, 3]}, ClusterError, r"gpu_ids \[3\] are not there: torch sees 1 GPU, 0 to 0"),
        ({"device": "cuda:1"}, ClusterError, r"\[1\] are not there"),
        ({"gpu_ids": [-1]}, ClusterError, r"\[-1\] are not there"),
    ],
)
def test_values_that_cannot_work(
    gpus: Callable[[list[str]], None], options: dict[str, Any], error: type[Exception], words: str
) -> None:
    gpus(["0"])
    with pytest.raises(error, match=words):
        choose_gpus(**options)


@pytest.mark.parametrize("options", [{"device": "cuda"}, {"device": "cuda:0"}, {"gpu_ids": [0]}])
def test_a_gpu_that_is_not_there_is_never_replaced(
    gpus: Callable[[list[str]], None], options: dict[str, Any]
) -> None:
    gpus([])
    with pytest.raises(ClusterError, match="--device cpu"):
        choose_gpus(**options)
    assert choose_gpus() == []


def _about(dask_worker: Any) -> tuple[str, str | None, str | None, int, str]:
    environ = os.environ
    return (
        str(dask_worker.name),
        environ.get("CUDA_VISIBLE_DEVICES"),
        environ.get("OMP_NUM_THREADS"),
        dask_worker.state.nthreads,
        dask_worker.address,
    )


def test_cpu_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    with start_cluster(options=SessionOptions(num_workers=2)) as workers, Client(workers) as client:
        seen = sorted(client.run(_about).values())
        assert [name for name, *_ in seen] == ["0", "1"]
        assert {threads for *_, threads, _ in seen} == {1}
        assert {int(omp or 0) for _, _, omp, *_ in seen} == {max(1, (os.cpu_count() or 1) // 2)}
        addresses = [address for *_, address in seen]
        for address in [workers.scheduler_address, workers.dashboard_link, *addresses]:
            assert "127.0.0.1" in address
        # A machine so busy that a killed process is not gone at once; Dask's own nanny gives up.
        workers.sync(workers.workers[0].kill, timeout=0)


@pytest.mark.filterwarnings("ignore:Cannot get CPU affinity")  # there is no GPU whose cores it could find
def test_a_gpu_may_have_several_workers() -> None:
    pytest.importorskip("dask_cuda")
    with start_cluster(["0", "0", "1"]) as workers, Client(workers) as client:
        seen = sorted(client.run(_about).values())
        assert [(name, devices) for name, devices, *_ in seen] == [
            ("gpu0-0", "0"),
            ("gpu0-1", "0"),
            ("gpu1-2", "1"),
        ]
        assert all(int(omp or 0) >= 1 for _, _, omp, *_ in seen)
        assert all("127.0.0.1" in address for *_, address in seen)
        # A worker that is killed comes back as itself, on its own GPU.
        os.kill(client.run(os.getpid, workers=[seen[2][-1]])[seen[2][-1]], signal.SIGKILL)
        deadline = time.monotonic() + 60
        while seen[2][-1] in client.nthreads() or len(client.nthreads()) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert sorted(client.run(_about).values())[2][:2] == ("gpu1-2", "1")


@pytest.mark.gpu
def test_workers_compute_on_their_gpu(require_gpu: None) -> None:
    def multiply() -> tuple[int, float]:
        import torch

        ones = torch.ones(64, 64, device="cuda:0")
        return torch.cuda.device_count(), float((ones @ ones).sum())

    with start_cluster(choose_gpus(gpu_ids=[0, 0])) as workers, Client(workers) as client:
        assert list(client.run(multiply).values()) == [(1, 64.0**3)] * 2
