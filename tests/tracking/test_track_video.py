from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from clips import make_video
from retimed import retime
from tracked_shapes import CONFIG, write_shapes

import trackkit as tk
from trackkit.core.arrays import Image
from trackkit.core.clock import STAGES
from trackkit.core.frames import Detections
from trackkit.results.jsonl_line import encode_result
from trackkit.tracking.models import Models, load_models
from trackkit.tracking.track_video import track_video
from trackkit.video.reader import VideoReader


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shapes(tmp_path_factory.mktemp("clip"))


class Recorder:
    """A detector that finds nothing and remembers what it was shown."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def detect(self, images: list[Image]) -> list[Detections]:
        self.batches.append(len(images))
        return [Detections.empty() for _ in images]


@pytest.mark.parametrize(
    ("options", "batches"),
    [
        ({"detection_frequency": 1, "batch_size": 8}, [8, 8, 8, 6]),
        ({"detection_frequency": 10, "batch_size": 4}, [1, 1, 1]),
        ({"detection_frequency": 3, "batch_size": 7}, [3, 2, 2, 3]),
        ({"detection_frequency": 100, "batch_size": 1}, [1]),
        ({"detection_frequency": 2, "batch_size": 30, "fps": 12.5}, [8]),
    ],
)
def test_the_detector_runs_on_every_nth_processed_frame(
    clip: Path, options: dict[str, float], batches: list[int]
) -> None:
    config = CONFIG.replace(**options)
    detector = Recorder()
    loaded = load_models(config, "cpu")
    result = track_video(clip, config, models=Models(detector, loaded.tracker, "cpu", 0.0))  # type: ignore[arg-type]
    assert detector.batches == batches
    assert result.tracks.empty
    assert len(result.frames[0]) == (15 if config.fps else 30)


def test_every_processed_frame_is_there_once_and_in_order(clip: Path, tmp_path: Path) -> None:
    result = track_video(clip, CONFIG, output_video=tmp_path / "annotated.mp4")
    assert result.frames[0].tolist() == list(range(30))
    assert np.allclose(result.frames[1], np.arange(30) / 25, atol=1e-3)
    assert result.info.num_frames == 30
    assert set(result.seconds) == {"load", "total", *STAGES}
    assert sum(result.seconds[stage] for stage in STAGES) <= result.seconds["total"]
    assert result.seconds["write"] > 0
    assert result.seconds["encode"] > 0
    with VideoReader(tmp_path / "annotated.mp4") as annotated, VideoReader(clip) as plain:
        pairs = list(zip(annotated, plain, strict=True))
    assert all(abs(a.time_s - b.time_s) < 1e-3 for a, b in pairs)
    # Something was drawn, and most of the picture is as it was.
    changed = np.mean([np.abs(a.image.astype(int) - b.image).max(2) > 40 for a, b in pairs])
    assert 0.005 < changed < 0.5


@pytest.mark.parametrize("fps", [None, 5])
@pytest.mark.parametrize("pause", [False, True])
def test_one_wrong_time_and_a_pause_of_a_day(tmp_path: Path, pause: bool, fps: float | None) -> None:
    times = [k / 15 + 95_000 * (k == 20 or (pause and k >= 30)) for k in range(40)]
    path = retime(make_video(tmp_path / "a.mkv", options={"bf": "0"}), tmp_path / "clip.mkv", times)
    result = track_video(path, CONFIG.replace(fps=fps), output_video=tmp_path / "out.mp4")
    times[20] = 20 / 15
    idx, time_s = result.frames
    assert time_s == pytest.approx([times[k] for k in idx], abs=0.0011)
    assert idx.tolist() == list(range(0, 40, 3 if fps else 1))
    assert (result.process_fps, result.info.fps) == pytest.approx((fps or 15, 15), rel=0.02)
    assert (result.truncated, len(result.warnings)) == (None, 1)
    with VideoReader(tmp_path / "out.mp4") as annotated:
        shown = [frame.time_s for frame in annotated]
    assert len(shown) == len(idx) + 26 * pause  # repeated every hour
    assert [min(abs(each - time) for each in shown) for time in time_s] == pytest.approx(
        [0] * len(idx), abs=1e-4
    )


@pytest.mark.parametrize(("ending", "rate"), [("webm", 15), ("mp4", 2000), ("gif", 10)])
def test_the_rate_is_that_of_the_frames_kept(tmp_path: Path, ending: str, rate: int) -> None:
    path = tmp_path / f"clip.{ending}"
    if ending == "webm":
        made = {"codec": "libvpx", "rate": 1000, "container": {"live": "1"}}
        make_video(path, ms=[round(k * 1000 / rate) for k in range(40)], **made)
    else:
        make_video(path, rate=rate, **({"codec": "gif", "pix_fmt": "rgb8"} if ending == "gif" else {}))
    result = track_video(path, CONFIG)
    assert result.process_fps == result.info.fps == pytest.approx(rate, rel=0.01)
    assert track_video(path, CONFIG.replace(fps=5.0)).process_fps == 5
    line = json.loads(encode_result(result, CONFIG))
    assert line["video_info"]["process_fps"] == line["video_info"]["original_fps"] == result.process_fps


def test_a_truncated_video_keeps_its_frames(clip: Path, shared_dir: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes((shared_dir / "videos" / "02_cups.mp4").read_bytes()[:600_000])
    result = track_video(cut, CONFIG.replace(text_prompt="red"))
    assert result.truncated is not None
    assert "of 300" in result.truncated
    assert 50 < len(result.frames[0]) < 300
    assert not result.tracks.empty


def test_a_video_without_a_frame_leaves_no_output(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"nonsense")
    with pytest.raises(tk.VideoOpenError, match=r"broken\.mp4"):
        track_video(tmp_path / "broken.mp4", CONFIG, output_video=tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.mp4"]


def test_real_cups_keep_their_ids(shared_dir: Path) -> None:
    """Three red cups, followed through the first 50 frames."""
    tracks = track_video(shared_dir / "videos" / "02_cups.mp4", CONFIG.replace(text_prompt="red")).tracks
    start = tracks[tracks["frame_idx"] < 50]
    assert start.groupby("obj_id").size().to_dict() == {1: 50, 2: 50, 3: 50}
    assert (start["area_px"] > 2000).all()


@pytest.mark.parametrize("curve", ["smpte2084", "arib-std-b67"])
def test_hdr_is_seen_and_written_as_sdr(tmp_path: Path, curve: str) -> None:
    path = write_hdr_square(tmp_path / "hdr.mp4", curve)
    result = track_video(path, tk.TrackConfig.from_preset("color", "red"), output_video=tmp_path / "out.mp4")
    assert set(result.tracks.obj_id) == {1}
    assert len(result.tracks) == 10
    assert result.truncated is None
    (note,) = result.warnings
    assert note.startswith(f"HDR frames ({'PQ' if curve == 'smpte2084' else 'HLG'}, BT.2020), shown as SDR")
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 1, 1)
    with VideoReader(tmp_path / "out.mp4") as reader:
        assert next(iter(reader)).image[10, 10] == pytest.approx([90, 90, 90], abs=4)
        assert reader.warnings == ()


def write_hdr_square(path: Path, curve: str) -> Path:
    """A red square (230, 20, 20) that moves on grey (90, 90, 90), in BT.2020 with white at 203 cd/m2."""
    # Y', Cb, Cr of limited range in 10 bits, by BT.2100: grey, and red.
    grey, red = {
        "smpte2084": ((380, 512, 512), (382, 450, 601)),
        "arib-std-b67": ((366, 512, 512), (384, 421, 674)),
    }[curve]
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx265", rate=25, options={"x265-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_range = 9, 9, 1
        context.color_trc = {"smpte2084": 16, "arib-std-b67": 18}[curve]
        for i in range(10):
            codes = np.empty((3, 120, 160), np.uint16)
            codes[:] = np.array(grey)[:, None, None]
            codes[:, 40:80, 40 + 2 * i : 80 + 2 * i] = np.array(red)[:, None, None]
            chroma = [plane[::2, ::2].reshape(-1, 160) for plane in codes[1:]]
            frame = av.VideoFrame.from_ndarray(np.vstack([codes[0], *chroma]), "yuv420p10le")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path
