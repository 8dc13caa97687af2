"""Videos that make their worker go wrong, on real clusters."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import dask
import pandas as pd
import pytest
from distributed import LocalCluster
from faults import CONFIG, wait_for_models_on_a_gpu, write_faulty_video

import trackkit as tk
from trackkit.results.jsonl_line import decode_failure
from trackkit.run.cluster import start_cluster


def test_a_video_that_takes_too_long_fails_at_the_frame_it_reached(tmp_path: Path) -> None:
    slow = write_faulty_video(tmp_path / "slow.mp4", "slow", num_frames=30)
    good = write_faulty_video(tmp_path / "good.mp4")
    config = CONFIG.replace(batch_size=1)
    with tk.Session(config, num_workers=0, device="cpu", timeout_per_video_s=0.5) as session:
        results = session.track([slow, good])
    (failure,) = results.failures.itertuples()
    assert (failure.video_path, failure.error_type, failure.attempts) == (str(slow), "VideoTimeout", 1)
    assert re.search(r"not done after 0\.5 s, at frame [1-9]\d* of 30", failure.message)
    with pytest.raises(tk.ConfigError, match="expected a number above 0"):
        tk.Session(CONFIG, timeout_per_video_s=0)


def test_out_of_gpu_memory_is_tried_once_more_in_less_of_it(tmp_path: Path) -> None:
    faults = ("none", "out of memory", "always out of memory")
    good, large, too_large = (str(write_faulty_video(tmp_path / f"{fault}.mp4", fault)) for fault in faults)
    with tk.Session(CONFIG, num_workers=0, device="cpu") as session:
        results = session.track([good, large, too_large])
    videos = results.videos.set_index("video_path")
    assert videos["status"].to_dict() == {good: "ok", large: "ok", too_large: "failed"}
    assert (
        "done again with batch_size 1 in place of 4, few objects at a time" in videos.loc[large, "warnings"]
    )
    assert pd.isna(videos.loc[good, "warnings"])
    assert videos.loc[large, "frames"] == 6
    (failure,) = results.failures.itertuples()
    assert (failure.error_type, failure.attempts) == ("OutOfMemoryError", 2)
    assert "--max-objects" in failure.message
    assert "faults.py" in failure.traceback


@pytest.mark.parametrize("fault", ["slow", "cuda error"])
def test_workers_within_this_process_do_not_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr("trackkit.run.schedule.WATCHDOG_GRACE_S", 0.0)
    monkeypatch.setattr("trackkit.run.watchdog.DELIVERY_S", 0.01)
    videos = [
        write_faulty_video(tmp_path / "bad.mp4", fault, num_frames=12),
        write_faulty_video(tmp_path / "good.mp4"),
    ]
    with (
        LocalCluster(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        tk.Session(CONFIG, device="cpu", cluster=cluster, timeout_per_video_s=0.1) as session,
    ):
        assert session.track(videos).videos["status"].tolist() == ["failed", "ok"]


def test_a_video_that_hangs_costs_its_worker_and_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trackkit.run.schedule.WATCHDOG_GRACE_S", 0.5)
    hangs = write_faulty_video(tmp_path / "hangs.mp4", "hang")
    good = [write_faulty_video(tmp_path / f"{k}.mp4") for k in range(2)]
    with (
        dask.config.set({"distributed.worker.preload": ["faults"]}),
        tk.Session(CONFIG, device="cpu", num_workers=1, timeout_per_video_s=2) as session,
    ):
        results = session.track([good[0], hangs, good[1]])
    (failure,) = results.failures.itertuples()
    assert (failure.video_path, failure.error_type, failure.attempts) == (str(hangs), "VideoTimeout", 1)
    assert "in _hang" in failure.traceback
    assert "hangs after 0 frames" in failure.message
    assert failure.worker == "0"
    assert len(results) == 3


def test_a_broken_gpu_context_costs_its_worker_and_no_other_video(tmp_path: Path) -> None:
    breaks = write_faulty_video(tmp_path / "breaks.mp4", "cuda error")
    good = write_faulty_video(tmp_path / "good.mp4")
    with (
        dask.config.set({"distributed.worker.preload": ["faults"]}),
        tk.Session(CONFIG, device="cpu", num_workers=1) as session,
    ):
        assert session.client is not None
        before = session.client.run(os.getpid)
        results = session.track([breaks, good])
        assert not set(before.values()) & set(session.client.run(os.getpid).values())
    (failure,) = results.failures.itertuples()
    assert (failure.video_path, failure.error_type, failure.attempts) == (str(breaks), "RuntimeError", 1)
    assert "illegal memory access" in failure.message
    assert "in _cuda_error" in failure.traceback
    assert len(results) == 2


def test_a_model_that_does_not_load_is_one_error() -> None:
    with pytest.raises(tk.CheckpointError, match=r"unloadable and .*\(RuntimeError: CUDA error"):
        tk.Session(CONFIG.replace(detector="unloadable"), device="cpu", num_workers=0)


def test_a_worker_that_dies_while_it_loads_is_one_error() -> None:
    with (
        dask.config.set({"distributed.worker.preload": ["faults"]}),
        pytest.raises(tk.ClusterError, match="died while it loaded the models"),
    ):
        tk.Session(CONFIG.replace(detector="deadly"), device="cpu", num_workers=1)


def test_a_model_that_does_not_load_again_ends_the_run(tmp_path: Path) -> None:
    poison = write_faulty_video(tmp_path / "poison.mp4", "exit")
    good = [write_faulty_video(tmp_path / f"{k}.mp4") for k in range(3)]
    config = CONFIG.replace(detector="once", detector_model=str(tmp_path / "loaded"))
    with (
        dask.config.set({"distributed.worker.preload": ["faults"]}),
        tk.Session(config, device="cpu", num_workers=1) as session,
        pytest.raises(tk.CheckpointError, match="FileExistsError"),
    ):
        session.track([poison, *good], output_jsonl=tmp_path / "tracks.jsonl")
    assert not (tmp_path / "tracks.failures.jsonl").exists()  # no failure for each video


def test_a_video_that_kills_its_worker_is_tried_once_more_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trackkit.run.runners.wait_for_models", wait_for_models_on_a_gpu)
    good = [write_faulty_video(tmp_path / f"{k}.mp4") for k in range(6)]
    poison = write_faulty_video(tmp_path / "poison.mp4", "segfault")
    path = tmp_path / "tracks.jsonl"
    with (
        dask.config.set({"distributed.worker.preload": ["faults"]}),
        tk.Session(CONFIG, device="cpu", num_workers=2) as session,
    ):
        results = session.track([*good[:3], poison, *good[3:]], output_jsonl=path)
    (failure,) = results.failures.itertuples()
    assert (failure.video_path, failure.error_type, failure.attempts) == (str(poison), "KilledWorker", 2)
    assert "tried once more alone" in failure.message
    assert failure.worker in ("0", "1")
    assert failure.gpu == "GPU-x"
    assert failure.seconds > 0
    (line,) = path.with_name("tracks.failures.jsonl").read_bytes().splitlines()
    assert decode_failure(line).gpu == "GPU-x"
    assert path.read_bytes().count(b"\n") == len(good)  # each exactly once
    assert results.videos["warnings"].isna().all()  # none beside them was killed


@pytest.mark.filterwarnings("ignore:Cannot get CPU affinity")  # there is no GPU whose cores it could find
def test_a_pinned_worker_that_is_killed_costs_no_video(tmp_path: Path) -> None:
    pytest.importorskip("dask_cuda")
    videos = [write_faulty_video(tmp_path / f"{k}.mp4") for k in range(8)]
    path = tmp_path / "tracks.jsonl"
    config = tk.TrackConfig.from_preset("color", "red")
    with (
        start_cluster(["0", "0"]) as cluster,  # one GPU, named twice
        tk.Session(config, cluster=cluster, device="cpu", schedule="round-robin") as session,
    ):
        assert session.client is not None
        pids = dict(session.client.run(lambda dask_worker: (dask_worker.name, os.getpid())).values())
        for count, _ in enumerate(session.iter_results(videos, output_jsonl=path)):
            if count == 0:
                os.kill(pids["gpu0-0"], signal.SIGKILL)
    results = tk.read_jsonl(path)
    assert path.read_bytes().count(b"\n") == len(videos)
    assert sorted(results.videos["video_path"]) == sorted(map(str, videos))
    assert results.failures.empty
    assert {"gpu0-1"} <= set(results.videos["worker"]) <= {"gpu0-0", "gpu0-1"}
