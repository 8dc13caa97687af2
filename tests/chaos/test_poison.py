"""Videos that kill, hang and break, and workers that are killed: all others are done, each exactly once.

``--chaos-videos 200 --chaos-rounds 10`` for a long night.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

import dask
import pytest
from distributed import Client
from faults import CONFIG, write_faulty_video

import trackkit as tk
from trackkit.results.jsonl import iter_failures, iter_jsonl

HANGS_S = 20  # far more than a good video takes on a busy machine

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(7200)]


@pytest.fixture
def videos(tmp_path: Path, chaos_videos: int) -> dict[str, str]:
    """Path of each video to the error it ends in, ``""`` for a good one: of 200, ten end badly."""
    kills = ["KilledWorker"] * max(1, round(chaos_videos * 3 / 200))
    hangs = ["VideoTimeout"] * max(1, round(chaos_videos * 2 / 200))
    breaks = ["VideoOpenError"] * max(1, round(chaos_videos * 5 / 200))
    ends = [*kills, *hangs, *breaks]
    ends += [""] * (chaos_videos - len(ends))
    deadly = ("segfault", "exit", "kill")
    made = {}
    for k, end in enumerate(ends):
        path = tmp_path / f"{k:04}.mp4"
        fault = {"KilledWorker": deadly[k % 3], "VideoTimeout": "hang"}.get(end, "none")
        write_faulty_video(path, fault)
        if end == "VideoOpenError":
            path.write_bytes(path.read_bytes()[:300])
        made[str(path)] = end
    return made


def kill_a_worker(client: Client, numbers: random.Random) -> None:
    pids = sorted(client.run(os.getpid, on_error="ignore").values())
    with suppress(ProcessLookupError, IndexError):  # all are being restarted just now
        os.kill(numbers.choice(pids), signal.SIGKILL)


def test_every_good_video_is_done_exactly_once(
    videos: dict[str, str],
    tmp_path: Path,
    chaos_rounds: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("trackkit.run.schedule.WATCHDOG_GRACE_S", 2.0)
    for seed in range(chaos_rounds):
        numbers, path = random.Random(seed), tmp_path / f"tracks-{seed}.jsonl"
        names = numbers.sample(sorted(videos), len(videos))
        # Not at the end, where videos are tried alone: a second death there would be held against them.
        kills = Counter(numbers.randrange(1, len(videos) // 2) for _ in range(max(1, len(videos) // 50)))
        with (
            dask.config.set({"distributed.worker.preload": ["faults"]}),
            tk.Session(CONFIG, device="cpu", num_workers=2, timeout_per_video_s=HANGS_S) as session,
        ):
            assert session.client is not None
            for count, _ in enumerate(session.iter_results(names, output_jsonl=path), start=1):
                for _ in range(kills[count]):
                    kill_a_worker(session.client, numbers)
        done = [result.task.video_path for result, _ in iter_jsonl(path)]
        failed = {failure.task.video_path: failure for failure, _ in iter_failures(path)}
        with capsys.disabled():
            reasons = Counter(failure.error_type for failure in failed.values())
            print(f"\nseed {seed}: {len(done)} done, {sum(kills.values())} workers killed, {dict(reasons)}")
        assert sorted(done) == sorted(name for name, end in videos.items() if not end)
        assert {name: failure.error_type for name, failure in failed.items()} == {
            name: end for name, end in videos.items() if end
        }
        assert all(f.attempts == 2 for f in failed.values() if f.error_type == "KilledWorker")


def test_a_hang_that_lets_no_thread_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trackkit.run.schedule.WATCHDOG_GRACE_S", 0.5)
    frozen = write_faulty_video(tmp_path / "frozen.mp4", "freeze")
    good = write_faulty_video(tmp_path / "good.mp4")
    with (
        dask.config.set({"distributed.worker.preload": ["faults"]}),
        tk.Session(CONFIG, device="cpu", num_workers=1, timeout_per_video_s=HANGS_S) as session,
    ):
        results = session.track([frozen, good])
    (failure,) = results.failures.itertuples()
    assert (failure.video_path, failure.error_type, failure.attempts) == (str(frozen), "KilledWorker", 2)
    assert len(results) == 2
