"""The true pipeline, from weights on disk to files: GroundingDINO and SAM 2.1 of official structure.

The weights are random: what the masks show is noise, that every piece fits is the point.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from small_models import small_grounding_dino
from small_sam2 import enliven

import trackkit as tk
from trackkit.core.clock import STAGES
from trackkit.core.masks import decode_rle
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene
from trackkit.trackers.sam2.build import build_sam2_model
from trackkit.weights.shipped import shipped_sam2

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tk.TrackConfig]:
    """Weights in the formats in which they are released."""
    folder = tmp_path_factory.mktemp("weights")
    detector = small_grounding_dino(folder / "grounding-dino")
    model = build_sam2_model("sam2.1_hiera_tiny")
    enliven(model)
    checkpoint = folder / "sam2.1_hiera_tiny.pt"
    torch.save({"model": model.state_dict()}, checkpoint)
    yield tk.TrackConfig(
        "Red cup. dog",
        detector_model=str(detector),
        sam_type="sam2.1_hiera_tiny",
        model_path=str(checkpoint),
        detection_frequency=1,
        box_threshold=0.05,
        text_threshold=0.05,
        max_objects=2,
        batch_size=2,
    )
    checkpoint.unlink()


def test_videos_on_two_workers(config: tk.TrackConfig, tmp_path: Path) -> None:
    with tk.Session(config, device="cpu", num_workers=2) as session:
        for layout, seed in (("frames", 0), ("objects", 1)):
            # One frame: at 1024 pixels it takes a CPU several seconds.
            video = write_video(make_scene(seed, num_frames=1), tmp_path / f"{seed}.mp4")
            path = tmp_path / f"{layout}.jsonl"
            results = session.track(
                video, output_jsonl=path, output_video_dir=tmp_path / layout, layout=layout
            )
            assert results.failures.empty, results.failures["traceback"].tolist()
            assert (results.videos["frames"] == 1).all()
            assert (results.videos["objects"] > 0).all()
            assert set(results.tracks["label"]) <= {"Red cup", "dog"}
            assert results.tracks.groupby(["video_path", "frame_idx"], observed=True).size().max() <= 2
            size = results.videos[["height", "width"]].iloc[0].tolist()
            for row in results.tracks.head(3).itertuples():
                assert decode_rle(str(row.mask_rle), *size).sum() == row.area_px
            for stage in STAGES:
                assert (results.videos[f"seconds_{stage}"] > 0).all()
            assert len(list((tmp_path / layout).glob("*.mp4"))) == 1
            assert len(tk.read_jsonl(path).tracks) == len(results.tracks)


def test_weights_of_another_size_end_the_run_with_one_reason() -> None:
    mini = str(shipped_sam2())
    config = tk.TrackConfig.from_preset("mini", "red", sam_type="sam2.1_hiera_tiny", model_path=mini)
    with pytest.raises(tk.CheckpointError, match=r"looks like sam2\.1_hiera_mini"):
        tk.Session(config, device="cpu", num_workers=1)


@pytest.mark.gpu
def test_two_workers_share_a_gpu(config: tk.TrackConfig, require_gpu: None, tmp_path: Path) -> None:
    videos = [write_video(make_scene(seed, num_frames=20), tmp_path / f"{seed}.mp4") for seed in range(4)]
    with tk.Session(config.replace(fps=None, detection_frequency=5), gpu_ids=[0, 0]) as session:
        results = session.track(videos, output_jsonl=tmp_path / "tracks.jsonl")
    assert results.failures.empty, results.failures["traceback"].tolist()
    assert results.videos["gpu"].notna().all()
    assert (results.videos["peak_gpu_mb"] > 100).all()
    assert results.videos["worker"].nunique() == 2
    assert len(tk.read_jsonl(tmp_path / "tracks.jsonl").tracks) == len(results.tracks) > 0
