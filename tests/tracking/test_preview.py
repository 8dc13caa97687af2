"""A short look at videos: what is found, what it costs, what cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from clips import make_video, read_all
from retimed import retime

import trackkit as tk
from trackkit.core.tasks import VideoTask
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene
from trackkit.tracking.models import load_models
from trackkit.tracking.preview import Preview, evenly_spread, preview_video


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("videos")
    for seed, frames in ((0, 24), (1, 6)):
        write_video(make_scene(seed, width=192, height=128, num_frames=frames), folder / f"{seed}.mp4")
    (folder / "broken.mp4").write_bytes(b"no video")
    return [*sorted(folder.glob("*.mp4")), folder / "absent.mp4"]


@pytest.fixture(scope="module")
def preview(videos: list[Path]) -> Preview:
    return tk.preview(videos, "red. blue. green.", preset="color", frames=3)


def test_frames_are_spread_evenly() -> None:
    assert evenly_spread(24, 4) == [3, 9, 15, 21]
    assert evenly_spread(2, 4) == [0, 0, 1, 1]
    assert evenly_spread(0, 2) == [0, 0]


def test_every_video_is_looked_at(preview: Preview, videos: list[Path]) -> None:
    assert sorted(preview.videos["video_path"]) == [str(video) for video in videos[:2]]
    by_name = preview.videos.set_index("video_path")
    assert by_name.loc[str(videos[0]), ["looked_at", "frames"]].tolist() == [3, 24]
    assert by_name.loc[str(videos[1]), ["looked_at", "frames"]].tolist() == [3, 6]
    assert (preview.videos[["detect_s", "track_s"]] > 0).all(axis=None)
    assert set(preview.failures["video_path"]) == {str(video) for video in videos[2:]}
    assert "2 failed" in repr(preview)


def test_detections_are_those_of_a_run(preview: Preview, videos: list[Path]) -> None:
    seen = preview.detections[preview.detections["video_path"] == str(videos[0])]
    assert set() < set(seen["frame_idx"]) <= {4, 12, 20}
    run = tk.track_video(videos[0], preview.config).tracks
    strong = seen[seen["score"] >= preview.config.box_threshold]
    for row in strong.itertuples():
        there = run[(run["frame_idx"] == row.frame_idx) & (run["label"] == row.label)]
        assert (
            np.isclose(there[["x", "y", "width", "height"]], [row.x, row.y, row.width, row.height])
            .all(1)
            .any()
        )


def test_counts_fall_with_the_threshold(preview: Preview) -> None:
    counts = preview.counts()
    assert list(counts.index) == ["red", "blue", "green"]
    assert preview.config.box_threshold in counts.columns
    assert (counts.diff(axis=1).iloc[:, 1:] <= 0).all(axis=None)
    assert counts.to_numpy().sum() > 0
    by_video = preview.counts(by="video_path")
    total = (by_video[0.2] * preview.videos.set_index("video_path")["looked_at"]).sum()
    assert total == (preview.detections["score"] >= 0.2).sum()


@pytest.mark.parametrize("fps", [None, 5])
@pytest.mark.parametrize("fault", ["no length", "no times", "a wrong length", "two clocks"])
def test_frames_are_spread_over_what_is_there(tmp_path: Path, fault: str, fps: float | None) -> None:
    path = tmp_path / "clip"
    if fault == "no length":
        make = {"codec": "libvpx", "kind": "webm", "rate": 1000, "container": {"live": "1"}}
        make_video(path, ms=[67 * k for k in range(40)], **make)
    elif fault == "no times":
        make_video(path, kind="h264", rate=25)
    elif fault == "a wrong length":
        path = tmp_path / "clip.mkv"
        times = [k / 15 + 3600 * (k == 20) for k in range(40)]
        retime(make_video(tmp_path / "a.mkv", options={"bf": "0"}), path, times)
    else:
        one = make_video(tmp_path / "a.ts", 20, rate=15).read_bytes()
        path.write_bytes(one + one)
    config = tk.TrackConfig.from_preset("color", "red", fps=fps)
    look = preview_video(VideoTask(str(path), str(path)), config, models=load_models(config, "cpu"))
    assert look.looked_at == (5, 15, 25, 35)
    assert look.info.num_frames == 40
    assert look.expected_frames == len(read_all(path, fps=fps)[0])
    assert look.process_fps == pytest.approx(fps or (25 if fault == "no times" else 15), rel=0.02)


def test_the_estimate_spreads_videos_over_workers(preview: Preview) -> None:
    table = preview.videos
    expected = table["frames"] * (table["detect_s"] + table["track_s"])  # bytetrack: every frame is detected
    assert np.allclose(table["seconds"], expected)
    assert preview.estimate_s() == pytest.approx(expected.sum())
    assert preview.estimate_s(2) == preview.estimate_s(8) == pytest.approx(expected.max())


def test_it_is_shown(preview: Preview) -> None:
    assert preview.image.shape[1:] == (1600, 3)
    page = preview._repr_html_()
    assert "data:image/jpeg" in page
    assert "broken.mp4" in page


def test_workers_look_too(videos: list[Path], preview: Preview) -> None:
    config = preview.config
    with tk.Session(config, device="cpu", num_workers=1) as session:
        theirs = session.preview(videos[:3], frames=3)
    pd.testing.assert_frame_equal(
        theirs.detections.sort_values(list(theirs.detections), ignore_index=True),
        preview.detections.sort_values(list(theirs.detections), ignore_index=True),
    )
    assert theirs.workers == 1
    assert len(theirs.failures) == 1
