"""Videos are written whole or not at all, and come back as they were written."""

from __future__ import annotations

import math
import os
import resource
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import HEIGHT, WIDTH, number_of, picture, read_all

from trackkit.core.errors import StorageError, VideoWriteError
from trackkit.core.files import remove_abandoned
from trackkit.video.reader import probe
from trackkit.video.writer import VideoWriter

NTSC_FILM = Fraction(24000, 1001)


def boxes(path: Path) -> list[bytes]:
    data, names, place = path.read_bytes(), [], 0
    while place < len(data):
        size, name = struct.unpack(">I4s", data[place : place + 8])
        names.append(name)
        place += size
    return names


class TestWriter:
    def test_round_trip(self, tmp_path: Path) -> None:
        path = tmp_path / "out.mp4"
        with VideoWriter(path, width=WIDTH, height=HEIGHT, fps=30000 / 1001) as writer:
            for i in range(40):
                writer.write(picture(i))
            assert not path.exists()
        assert writer.frames == 40
        assert os.listdir(tmp_path) == ["out.mp4"]  # noqa: PTH208
        frames, reader = read_all(path)
        assert [number_of(frame.image) for frame in frames] == list(range(40))
        assert [frame.time_s for frame in frames] == pytest.approx(
            [i * 1001 / 30000 for i in range(40)], abs=1e-9
        )
        assert (reader.truncated, reader.warnings) == (None, ())

    def test_plays_in_browsers(self, tmp_path: Path) -> None:
        path = tmp_path / "out.mp4"
        with VideoWriter(path, width=WIDTH, height=HEIGHT, fps=25) as writer:
            for i in range(5):
                writer.write(picture(i))
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.pix_fmt, writer.codec) == ("h264", "yuv420p", "libx264")
            assert (stream.colorspace, stream.color_range) == (1, 1)
        names = boxes(path)
        assert names.index(b"moov") < names.index(b"mdat")
        assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()

    @pytest.mark.parametrize(
        ("fps", "exact"),
        [
            (24000 / 1001, NTSC_FILM),
            (30000 / 1001, Fraction(30000, 1001)),
            (29.97, Fraction(2997, 100)),
            (25, Fraction(25)),
            (12.5, Fraction(25, 2)),
            (0.5, Fraction(1, 2)),
            (np.float32(10), Fraction(10)),
        ],
    )
    def test_rates_are_exact(self, tmp_path: Path, fps: float, exact: Fraction) -> None:
        path = tmp_path / "out.mp4"
        with VideoWriter(path, width=64, height=32, fps=fps) as writer:
            for i in range(30):
                writer.write(picture(i, 64, 32))
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert stream.average_rate == exact
            assert stream.duration * stream.time_base == 30 / exact

    def test_variable_frame_rate(self, tmp_path: Path) -> None:
        path, times = tmp_path / "out.mp4", [0.0, 0.01, 0.02, 0.5, 0.51, 2.0, 2.001, 3.7]
        with VideoWriter(path, width=WIDTH, height=HEIGHT, fps=10) as writer:
            for i, time in enumerate(times):
                writer.write(picture(i), time)
            writer.write(picture(8))  # one interval later
        frames, reader = read_all(path)
        assert [frame.time_s for frame in frames] == pytest.approx([*times, 3.8], abs=1e-5)
        assert [number_of(frame.image) for frame in frames] == list(range(9))
        assert reader.truncated is None

    @pytest.mark.parametrize("step", [1200, 3600, 3601, 86400])
    def test_a_picture_an_hour(self, tmp_path: Path, step: int) -> None:
        times = [i * float(step) for i in range(4)]
        with VideoWriter(tmp_path / "out.mp4", width=64, height=32, fps=1 / step) as writer:
            for i, time_s in enumerate(times):
                writer.write(picture(i, 64, 32), time_s)
        frames, reader = read_all(tmp_path / "out.mp4")
        assert set(times) <= {frame.time_s for frame in frames}
        assert len(frames) == 4 + 3 * ((step - 1) // 3600)
        assert (reader.truncated, reader.warnings) == (None, ())

    @pytest.mark.parametrize("pause", [3600.01, 26.5 * 3600, 10 * 86400.0])
    @pytest.mark.parametrize("fps", [15, 60000 / 1001])
    def test_a_frame_that_stands_for_days_is_repeated_every_hour(
        self, tmp_path: Path, pause: float, fps: float
    ) -> None:
        times = [0.0, 1 / fps, 2 / fps + pause, 3 / fps + pause, 4 / fps + 2 * pause]
        with VideoWriter(tmp_path / "out.mp4", width=64, height=32, fps=fps) as writer:
            for i, time in enumerate(times):
                writer.write(picture(i, 64, 32), time)
        assert writer.frames == 5
        frames, reader = read_all(tmp_path / "out.mp4")
        numbers = [number_of(frame.image) for frame in frames]
        assert len(frames) == 5 + 2 * int(pause // 3600)
        assert numbers == sorted(numbers)
        first = [frames[numbers.index(i)].time_s for i in range(5)]
        assert first == pytest.approx(times, abs=1e-5)
        assert max(np.diff([frame.time_s for frame in frames])) < 3600.1
        assert (reader.truncated, reader.warnings) == (None, ())
        with av.open(str(tmp_path / "out.mp4")) as container:
            packets = [packet for packet in container.demux(video=0) if packet.size]
        assert all(packet.pts == packet.dts for packet in packets)  # what any player can show

    @pytest.mark.parametrize("size", [(131, 67), (130, 67), (131, 66), (1, 1)])
    def test_odd_sizes_are_padded(self, tmp_path: Path, size: tuple[int, int]) -> None:
        image = np.full((size[1], size[0], 3), 128, np.uint8)
        image[-1], image[:, -1] = (220, 30, 30), (220, 30, 30)
        with VideoWriter(tmp_path / "out.mp4", width=size[0], height=size[1], fps=10) as writer:
            writer.write(image)
        (frame,), _ = read_all(tmp_path / "out.mp4")
        assert frame.image.shape == (size[1] + size[1] % 2, size[0] + size[0] % 2, 3)
        assert frame.image[-1, -1].tolist() == pytest.approx((220, 30, 30), abs=40)

    def test_colours_come_back(self, tmp_path: Path) -> None:
        colour = np.full((64, 64, 3), (200, 40, 90), np.uint8)
        with VideoWriter(tmp_path / "out.mp4", width=64, height=64, fps=10) as writer:
            writer.write(colour[:, ::-1])  # not contiguous
        (frame,), _ = read_all(tmp_path / "out.mp4")
        assert frame.image[32, 32].tolist() == pytest.approx((200, 40, 90), abs=4)

    def test_an_error_leaves_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "out.mp4"
        path.write_text("older")
        with pytest.raises(ZeroDivisionError), VideoWriter(path, width=64, height=32, fps=10) as writer:
            for i in range(100):
                writer.write(picture(i, 64, 32))
            _ = 1 / 0
        assert os.listdir(tmp_path) == ["out.mp4"]  # noqa: PTH208
        assert path.read_text() == "older"
        with pytest.raises(VideoWriteError, match="closed before"):
            writer.write(picture(0, 64, 32))

    def test_abort(self, tmp_path: Path) -> None:
        with VideoWriter(tmp_path / "out.mp4", width=64, height=32, fps=10) as writer:
            writer.write(picture(0, 64, 32))
            writer.abort()
        assert list(tmp_path.iterdir()) == []

    def test_replaces_an_older_file(self, tmp_path: Path) -> None:
        path = tmp_path / "out.mp4"
        path.write_text("older")
        with VideoWriter(path, width=64, height=32, fps=10) as writer:
            writer.write(picture(0, 64, 32))
        assert probe(path).width == 64
        writer.close()

    @pytest.mark.parametrize(
        ("image", "message"),
        [
            (np.zeros((64, 32, 3), np.uint8), r"uint8 \(64, 32, 3\); expected uint8 \(32, 64, 3\)"),
            (np.zeros((32, 64), np.uint8), "expected uint8"),
            (np.zeros((32, 64, 3), np.float32), "float32"),
        ],
    )
    def test_wrong_images(self, tmp_path: Path, image: Any, message: str) -> None:
        with (
            pytest.raises(VideoWriteError, match=message),
            VideoWriter(tmp_path / "out.mp4", width=64, height=32, fps=10) as writer,
        ):
            writer.write(image)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("times", [(1.0, 0.5), (1.0, 1.0), (-1.0,), (math.nan,), (math.inf,)])
    def test_wrong_times(self, tmp_path: Path, times: Sequence[float]) -> None:
        with (
            pytest.raises(VideoWriteError),
            VideoWriter(tmp_path / "out.mp4", width=64, height=32, fps=10) as writer,
        ):
            for time in times:
                writer.write(picture(0, 64, 32), time)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("width", "height", "fps"), [(0, 8, 10), (8, 0, 10), (8, 8, 0), (8, 8, math.nan)]
    )
    def test_wrong_values(self, tmp_path: Path, width: int, height: int, fps: float) -> None:
        with pytest.raises(VideoWriteError, match="expected values above 0"):
            VideoWriter(tmp_path / "out.mp4", width=width, height=height, fps=fps)

    def test_wrong_places(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="no folder"):
            VideoWriter(tmp_path / "none" / "out.mp4", width=8, height=8, fps=10)
        with pytest.raises(StorageError, match="goes on from here"):
            VideoWriter("/proc/out.mp4", width=8, height=8, fps=10)
        with pytest.raises(VideoWriteError, match="is a folder"):
            VideoWriter(tmp_path, width=8, height=8, fps=10)

    def test_no_frame(self, tmp_path: Path) -> None:
        with (
            pytest.raises(VideoWriteError, match="no frame was written"),
            VideoWriter(tmp_path / "out.mp4", width=8, height=8, fps=10),
        ):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_what_a_killed_process_left_is_removed_after_a_day(self, tmp_path: Path) -> None:
        writer = VideoWriter(tmp_path / "out.mp4", width=8, height=8, fps=10)
        old = tmp_path / ".trackkit-0123456789ab.part"
        old.write_bytes(b"x")
        assert remove_abandoned(tmp_path) == 0
        os.utime(old, (1, 1))
        assert remove_abandoned(tmp_path) == 1
        writer.write(np.zeros((8, 8, 3), np.uint8))
        writer.close()
        assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]

    def test_no_space(self, tmp_path: Path) -> None:
        # A limit on the size of files is the full disk that a test can have.
        noise = np.random.default_rng(0).integers(0, 255, (40, 256, 256, 3), np.uint8)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        try:
            with (
                pytest.raises(VideoWriteError, match="File too large") as caught,
                VideoWriter(tmp_path / "out.mp4", width=256, height=256, fps=10) as writer,
            ):
                for image in noise:
                    writer.write(image)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert not isinstance(caught.value, StorageError)  # a smaller one could be written
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["a:b.mp4", "Übung 视频.mp4", "x%03d.mp4", "x" * 251 + ".mp4"])
    def test_names_are_taken_literally(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        (tmp_path / "http:").mkdir()
        monkeypatch.chdir(tmp_path)
        with VideoWriter(f"http:/{name}", width=64, height=32, fps=10) as writer:
            writer.write(picture(7, 64, 32))
        assert os.listdir("http:") == [name]  # noqa: PTH208
        assert number_of(read_all(tmp_path / "http:" / name)[0][0].image) == 7


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
