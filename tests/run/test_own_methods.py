"""Detectors and trackers of the user's own, on workers that know nothing of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from distributed import Client, LocalCluster

import trackkit as tk
from trackkit.core.arrays import Image
from trackkit.detectors.none import NoDetector
from trackkit.run.cluster import start_cluster
from trackkit.run.options import SessionOptions
from trackkit.trackers.bytetrack import ByteTrackModel
from trackkit.video.writer import VideoWriter

CONFIG = tk.TrackConfig("thing", detector="own", tracker="bytetrack")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four videos of four frames."""
    folder = tmp_path_factory.mktemp("clips")
    for name in range(4):
        with VideoWriter(folder / f"{name}.mp4", width=64, height=48, fps=25) as writer:
            for k in range(4):
                writer.write(np.full((48, 64, 3), 40 * k, np.uint8))
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Two workers, started before anything is registered."""
    with start_cluster(options=SessionOptions(num_workers=2)) as workers:
        yield workers


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster, set_as_default=False) as connected:
        yield connected


def register_own(score: float = 0.9) -> None:
    """Register a detector as a notebook would: what is made in a function goes by value, too."""

    class OwnDetector:
        def __init__(self, config: tk.TrackConfig, device: str) -> None:
            self.label = config.classes[0]

        def detect(self, images: Sequence[Image]) -> list[tk.Detections]:
            box = np.array([[8, 8, 24, 24]], np.float32)
            return [tk.Detections(box, np.array([score], np.float32), (self.label,)) for _ in images]

    tk.register_detector("own")(OwnDetector)


def scores(session: tk.Session, clips: Sequence[Path]) -> set[float]:
    """All scores of a run in which every frame of every video has the one object."""
    results = session.track(clips)
    assert len(results.failures) == 0
    assert len(results.tracks) == 4 * len(clips)
    return {round(float(score), 3) for score in results.tracks["score"]}


def test_an_own_detector_runs_on_every_kind_of_cluster(
    cluster: LocalCluster, client: Client, clips: list[Path]
) -> None:
    register_own()
    targets: list[dict[str, Any]] = [
        {"client": client},
        {"cluster": cluster},
        {"scheduler": cluster.scheduler_address},
        {"num_workers": 0},
    ]
    for where in targets:
        with tk.Session(CONFIG, device="cpu", **where) as session:
            assert scores(session, clips) == {0.9}, where


def test_the_newest_definition_counts(client: Client, clips: list[Path]) -> None:
    register_own(0.9)
    with tk.Session(CONFIG, device="cpu", client=client) as older:
        register_own(0.7)
        with tk.Session(CONFIG, device="cpu", client=client) as newer:
            assert scores(newer, clips) == {0.7}
            assert scores(older, clips) == {0.9}


def test_a_worker_that_comes_back_knows_them(client: Client, clips: list[Path]) -> None:
    register_own()
    with tk.Session(CONFIG, device="cpu", client=client) as session:
        client.restart()
        assert scores(session, clips) == {0.9}


@pytest.mark.parametrize("other", [{}, {"batch_size": 1}])
def test_sessions_on_one_cluster_do_not_share_models(
    client: Client, clips: list[Path], other: dict[str, int]
) -> None:
    config = tk.TrackConfig.from_preset("color", "red")
    with tk.Session(config, device="cpu", client=client) as first:
        with tk.Session(config.replace(**other), device="cpu", client=client) as second:
            assert len(first.track(clips[:2]).failures) == 0
            assert len(second.track(clips[:2]).failures) == 0
        results = first.track(clips)
        assert len(results.failures) == 0
        assert len(results.videos) == len(clips)


def test_detector_and_tracker_go_on_sharing_what_both_use(client: Client) -> None:
    loaded: list[str] = []

    @tk.register_detector("sharing")
    def load_detector(config: tk.TrackConfig, device: str) -> NoDetector:
        loaded.append("detector")
        return NoDetector()

    @tk.register_tracker("sharing")
    def load_tracker(config: tk.TrackConfig, device: str) -> ByteTrackModel:
        if loaded != ["detector"]:
            msg = f"the tracker sees {loaded}"
            raise ValueError(msg)
        return ByteTrackModel(config)

    config = CONFIG.replace(detector="sharing", tracker="sharing")
    with tk.Session(config, device="cpu", client=client):
        assert loaded == []  # it happened on the workers


MODULE = """
import numpy as np

import trackkit as tk


@tk.register_detector("of-a-module")
class ModuleDetector:
    def __init__(self, config, device):
        self.label = config.classes[0]

    def detect(self, images):
        box, score = np.array([[8, 8, 24, 24]], np.float32), np.array([0.8], np.float32)
        return [tk.Detections(box, score, (self.label,)) for _ in images]
"""


def test_a_module_that_workers_lack_is_told_and_can_be_sent(
    client: Client, clips: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "module_of_mine.py"
    path.write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = import_module(path.stem)
    config = CONFIG.replace(detector="of-a-module")
    told = (
        r"worker \d \(tcp://.*\) cannot import what detector 'of-a-module' needs \(ModuleNotFoundError: "
        r"No module named 'module_of_mine'\): .*PYTHONPATH.*client\.upload_file"
    )
    with pytest.raises(tk.ConfigError, match=told):
        tk.Session(config, device="cpu", client=client)
    with tk.Session(config, device="cpu", num_workers=0) as here:
        assert scores(here, clips[:1]) == {0.8}
    cloudpickle.register_pickle_by_value(module)
    try:
        with tk.Session(config, device="cpu", client=client) as session:
            assert scores(session, clips) == {0.8}
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    with pytest.raises(tk.ConfigError, match=told):
        tk.Session(config, device="cpu", client=client)
    client.upload_file(str(path))
    with tk.Session(config, device="cpu", client=client) as session:
        assert scores(session, clips) == {0.8}


def test_a_package_that_workers_lack_is_told(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[trackkit.detectors]\ntheirs = theirs:load\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    told = r"detector 'theirs' is unknown to worker \d .*, which knows color, .*install the package"
    with pytest.raises(tk.ConfigError, match=told):
        tk.Session(CONFIG.replace(detector="theirs"), device="cpu", client=client)


def test_what_cannot_be_sent_is_told_at_once(client: Client) -> None:
    lock = threading.Lock()

    @tk.register_detector("locked")
    def load(config: tk.TrackConfig, device: str) -> Any:
        with lock:
            raise AssertionError

    config = CONFIG.replace(detector="locked")
    told = "detector 'locked' cannot be sent to the workers .*lock.*: make within the loader"
    with pytest.raises(tk.ConfigError, match=told):
        tk.Session(config, device="cpu", client=client)
