"""The whole job on real clusters: videos in, tables and files out."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from distributed import Client, LocalCluster, Security
from killed_workers import KillOnce

import trackkit as tk
from trackkit.core.masks import decode_rle
from trackkit.run.cluster import start_cluster, tls_security
from trackkit.run.options import SessionOptions
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene
from trackkit.video.reader import VideoReader

CONFIG = tk.TrackConfig.from_preset("color", "red. blue. green.")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six short videos; two have the same name."""
    folder = tmp_path_factory.mktemp("clips")
    names = ["a/car.mp4", "b/car.mp4", "c.mp4", "d.mp4", "e.mp4", "f.mp4"]
    paths = []
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        scene = make_scene(
            seed, num_frames=12, num_objects=3, colors=("red", "blue", "green"), occlusion=False,
            entries_and_exits=False,
        )  # fmt: skip
        paths.append(write_video(scene, path))
    return paths


@pytest.fixture(scope="module")
def session() -> Iterator[tk.Session]:
    with tk.Session(CONFIG, device="cpu", num_workers=2) as running:
        yield running


def test_many_videos_on_two_workers(session: tk.Session, clips: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video at all" * 100)
    events: list[tk.Progress] = []
    results = session.track(
        [*clips, broken, tmp_path / "missing.mp4"],
        output_jsonl=tmp_path / "tracks.jsonl",
        output_video_dir=tmp_path / "annotated",
        skip_missing=True,
        on_progress=events.append,
    )
    videos = results.videos.set_index("video_path")
    assert (videos.loc[[str(path) for path in clips], "status"] == "ok").all()
    assert (videos.loc[[str(path) for path in clips], "objects"] == 3).all()
    assert (videos.loc[[str(path) for path in clips], "frames"] == 12).all()
    assert set(results.failures["video_path"]) == {str(broken), str(tmp_path / "missing.mp4")}
    assert set(results.failures["error_type"]) == {"VideoOpenError"}
    assert set(videos["worker"].dropna()) == {"0", "1"}
    assert set(results.tracks["label"]) == {"red", "blue", "green"}
    assert {event.worker for event in events} <= {"0", "1"}
    seen = {event.video_path for event in events}  # the last ones may come after the results
    assert len(seen) >= 4
    assert seen <= {str(path) for path in clips}

    back = tk.read_jsonl(tmp_path / "tracks.jsonl")
    order = ["video_path", "frame_idx", "obj_id"]
    for name in ("tracks", "videos", "failures"):
        wanted, got = getattr(results, name), getattr(back, name)
        key = order if name == "tracks" else ["video_path"]
        wanted, got = (
            t.astype({"video_path": "str"}).sort_values(key).reset_index(drop=True) for t in (wanted, got)
        )
        pd.testing.assert_frame_equal(wanted, got)

    outputs = [Path(path) for path in videos["output_video"].dropna()]
    assert sorted((tmp_path / "annotated").iterdir()) == sorted(outputs)
    assert len(outputs) == 6
    for path in outputs:
        with VideoReader(path) as reader:
            assert sum(1 for _ in reader) == 12


def test_tracks_match_the_ground_truth(session: tk.Session, tmp_path: Path) -> None:
    from trackkit.synthetic.render import iter_frames

    scene = make_scene(
        9,
        num_frames=20,
        num_objects=3,
        colors=("red", "blue", "green"),
        occlusion=False,
        entries_and_exits=False,
    )
    tracks = session.track(write_video(scene, tmp_path / "scene.mp4")).tracks
    assert tracks.groupby("obj_id")["label"].nunique().tolist() == [1, 1, 1]
    for (_, truth), (_, rows) in zip(iter_frames(scene), tracks.groupby("frame_idx"), strict=True):
        masks = {row.label: decode_rle(row.mask_rle, scene.height, scene.width) for row in rows.itertuples()}
        for label, mask in zip(truth.labels, truth.masks, strict=True):
            found = masks[label.split()[0]]
            assert (mask & found).sum() / (mask | found).sum() > 0.85


@pytest.mark.parametrize("schedule", ("dynamic", "round-robin"))
def test_cluster_and_process_give_the_same(clips: list[Path], schedule: str) -> None:
    with tk.Session(CONFIG, num_workers=0, device="cpu") as session:
        assert session.client is None
        here = session.track(clips)
    with tk.Session(CONFIG, num_workers=2, device="cpu", schedule=schedule) as session:
        there = session.track(clips)
    workers = there.videos.set_index("video_path")["worker"]
    if schedule == "round-robin":
        expected = {task.video_path: str(k % 2) for k, task in enumerate(tk.Job(clips, CONFIG).tasks)}
        assert workers.to_dict() == expected
    columns = ["video_path", "frame_idx", "obj_id"]
    one, two = (
        r.tracks.astype({"video_path": "str"}).sort_values(columns).reset_index(drop=True)
        for r in (here, there)
    )
    pd.testing.assert_frame_equal(one, two)
    single = tk.track_video(clips[0], CONFIG).tracks
    pd.testing.assert_frame_equal(
        single.drop(columns="video_path"),
        one[one["video_path"] == str(clips[0])].drop(columns="video_path").reset_index(drop=True),
    )


def test_a_second_run_does_what_is_left(session: tk.Session, clips: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "tracks.jsonl"
    session.track(clips[:2], output_jsonl=path)
    first = path.read_bytes()
    ran = [outcome.task.video_path for outcome in session.iter_results(clips[:4], output_jsonl=path)]
    assert sorted(ran) == sorted(map(str, clips[2:4]))
    assert path.read_bytes().startswith(first)
    everything = session.track(clips[:4], output_jsonl=path)
    assert sorted(everything.videos["video_path"]) == sorted(map(str, clips[:4]))
    assert path.read_bytes().count(b"\n") == 4


def test_a_cluster_that_is_already_there(clips: list[Path]) -> None:
    with LocalCluster(
        n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        targets: list[dict[str, object]] = [{"scheduler": cluster.scheduler_address}, {"cluster": cluster}]
        with Client(cluster) as client:
            for target in [*targets, {"client": client}]:
                with tk.Session(CONFIG, **target) as session:  # type: ignore[arg-type]
                    assert len(session.track(clips[:1])) == 1
            assert client.status == "running"
            left = client.run(
                lambda dask_worker: [name for name in dask_worker.plugins if "trackkit" in name]
            )
            assert list(left.values()) == [[]]


def test_a_cluster_that_is_lost(clips: list[Path]) -> None:
    with LocalCluster(
        n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        session = tk.Session(CONFIG, cluster=cluster)
        outcomes = session.iter_results(clips)
        next(outcomes)
    with pytest.raises(tk.ClusterError, match="goes on from here"):
        list(outcomes)
    session.close()


def test_a_killed_worker_costs_an_attempt_of_its_video(clips: list[Path], tmp_path: Path) -> None:
    long = write_video(make_scene(5, num_frames=400), tmp_path / "long.mp4")
    with tk.Session(CONFIG, device="cpu", num_workers=2) as session:
        kill = KillOnce(session.client, long)
        results = session.track([*clips, long], on_progress=kill)
        assert kill.done.is_set()
        videos = results.videos.set_index("video_path")
        assert len(videos) == len(clips) + 1
        assert (videos["status"] == "ok").all()
        assert "second attempt, alone" in videos.loc[str(long), "warnings"]
        assert videos.loc[[str(c) for c in clips], "warnings"].isna().all()
        deadline = time.monotonic() + 60
        while len(session.client.nthreads()) < 2:  # the worker comes back, with its models
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert len(session.track(clips).failures) == 0


def test_the_only_worker_is_killed_and_the_others_still_run(clips: list[Path], tmp_path: Path) -> None:
    long = write_video(make_scene(5, num_frames=200), tmp_path / "long.mp4")
    with (
        start_cluster(options=SessionOptions(num_workers=1)) as cluster,
        tk.Session(CONFIG, scheduler=cluster.scheduler_address) as session,
    ):
        kill = KillOnce(session.client, long)
        results = session.track([*clips[:2], long], on_progress=kill)
    assert kill.done.is_set()
    assert (results.videos["status"] == "ok").all()
    assert len(results) == 3


def test_models_that_do_not_load_end_the_run_with_one_reason() -> None:
    config = CONFIG.replace(text_prompt="zebra")
    with pytest.raises(tk.PromptError, match="zebra"):
        tk.Session(config, device="cpu", num_workers=1)
    with pytest.raises(tk.PromptError, match="zebra"):
        tk.Session(config, device="cpu", num_workers=0)


def test_futures_are_released(session: tk.Session, clips: list[Path]) -> None:
    assert session.client is not None
    for _ in session.iter_results(clips):
        assert len(session.client.futures) <= 2 + 1  # one per worker, and the one that is handed over
    deadline = time.monotonic() + 10
    while any(session.client.who_has().values()) or session.client.futures:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_stopping_early_leaves_a_session_that_works(session: tk.Session, clips: list[Path]) -> None:
    outcomes = session.iter_results(clips)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert len(session.track(clips[:2]).tracks) > 0


def test_an_output_folder_that_is_gone_ends_the_run_at_once(clips: list[Path], tmp_path: Path) -> None:
    folder, path = tmp_path / "annotated", tmp_path / "tracks.jsonl"
    options = {"output_video_dir": folder, "output_jsonl": path}
    with tk.Session(CONFIG, num_workers=0, device="cpu") as session:
        outcomes = session.iter_results(clips[:4], **options)  # type: ignore[arg-type]
        next(outcomes)
        shutil.rmtree(folder)
        with pytest.raises(tk.StorageError, match="goes on from here"):
            list(outcomes)
        assert len(tk.read_jsonl(path)) == 1
        assert not path.with_name("tracks.failures.jsonl").exists()
        assert len(list(session.iter_results(clips[:4], **options))) == 3  # type: ignore[arg-type]
    assert len(list(folder.iterdir())) == 3


def test_a_cluster_behind_tls(clips: list[Path], tmp_path: Path) -> None:
    made, files = Security.temporary(), {}
    for name in ("tls_ca_file", "tls_client_cert", "tls_client_key"):
        files[name] = tmp_path / name
        files[name].write_text(getattr(made, name))
    security = tls_security(*files.values())
    with start_cluster(options=SessionOptions(num_workers=1, security=security)) as cluster:
        address = cluster.scheduler_address
        assert address.startswith("tls://127.0.0.1:")
        with pytest.raises(tk.ClusterError, match="TLS"):
            tk.Session(CONFIG, scheduler=address, worker_timeout_s=2)
        with pytest.raises(tk.ClusterError, match="TLS"):  # certificates of somebody else
            tk.Session(CONFIG, scheduler=address, worker_timeout_s=2, security=Security.temporary())
        with tk.Session(CONFIG, scheduler=address, security=security) as session:
            assert len(session.track(clips[:1]).tracks) > 0
    assert tls_security(None, None, None) is None
    with pytest.raises(tk.ConfigError, match=r"--tls-key is missing: TLS needs all of --tls-ca-file"):
        tls_security(files["tls_ca_file"], files["tls_client_cert"], None)
    with pytest.raises(tk.ConfigError, match=r"--tls-cert .*gone.pem is no file"):
        tls_security(files["tls_ca_file"], tmp_path / "gone.pem", files["tls_client_key"])


def test_a_session_that_is_closed_says_so(clips: list[Path]) -> None:
    session = tk.Session(CONFIG, device="cpu", num_workers=0)
    session.close()
    for use in (session.track, session.preview):
        with pytest.raises(tk.ClusterError, match="the session is closed"):
            use(clips)
    session.close()


def test_a_cluster_without_dashboard_or_workers() -> None:
    errors: list[logging.LogRecord] = []
    log, handler = logging.getLogger("distributed.core"), logging.Handler(logging.ERROR)
    handler.emit = errors.append  # type: ignore[method-assign]
    log.addHandler(handler)
    with (
        LocalCluster(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        tk.Session(CONFIG, device="cpu", cluster=cluster) as session,
    ):
        assert session.dashboard is not None
        assert "was started without a dashboard" in str(session.dashboard.note)
        cluster.scale(0)
        assert session.client is not None
        while session.client.nthreads():
            time.sleep(0.05)
        assert session.preview(["missing.mp4"]).workers == 1
    log.removeHandler(handler)
    assert errors == []


def test_a_client_that_does_not_connect_is_closed_at_once() -> None:
    def loops() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == "IO loop"}

    before = loops()
    with pytest.raises(tk.ClusterError, match=r"no Dask scheduler answers .*TLS"):
        tk.Session(CONFIG, scheduler="tls://127.0.0.1:1", worker_timeout_s=1)
    assert loops() <= before


def test_wrong_arguments() -> None:
    with pytest.raises(tk.ConfigError, match="dynamic, round-robin"):
        tk.Session(CONFIG, schedule="random")
    with pytest.raises(tk.ConfigError, match="give one"):
        tk.Session(CONFIG, scheduler="tcp://127.0.0.1:1", client="x")  # type: ignore[arg-type]
    with pytest.raises(tk.ConfigError, match="leave it out"):
        tk.Session(CONFIG, scheduler="tcp://127.0.0.1:1", gpu_ids=[0])
    with pytest.raises(tk.ClusterError, match="no Dask scheduler answers"):
        tk.Session(CONFIG, scheduler="tcp://127.0.0.1:1", worker_timeout_s=1)


def test_the_one_liner(clips: list[Path]) -> None:
    results = tk.track(clips[0], "red", preset="color", session={"device": "cpu", "num_workers": 0})
    assert set(results.tracks["label"]) == {"red"}
    with pytest.raises(tk.VideoOpenError, match=r"gone\.mp4"):
        tk.track("gone.mp4", "red", preset="color")
