"""Reading and writing of real files, each frame carrying its own number in its pixels."""

from __future__ import annotations

import gc
import itertools
import math
import os
import re
import resource
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from PIL import Image as PilImage

from trackkit.core.arrays import Image
from trackkit.core.errors import ConfigError, StorageError, VideoDecodeError, VideoOpenError, VideoWriteError
from trackkit.core.files import remove_abandoned
from trackkit.core.frames import Frame
from trackkit.video.reader import Ticks, VideoReader, probe, read_frames
from trackkit.video.writer import VideoWriter

WIDTH, HEIGHT = 128, 64
NTSC_FILM = Fraction(24000, 1001)
NOISE = np.random.default_rng(0).integers(0, 40, (512, 512, 3), np.uint8)


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> Image:
    """Eight upright bars, dark or bright as the bits of the number, over noise that moves."""
    image = np.roll(NOISE, number, 1)[:height, :width].copy()
    for bit in range(8):
        image[: height // 2, bit * width // 8 : (bit + 1) * width // 8] = 230 if number >> bit & 1 else 20
    return image


def number_of(image: Image) -> int:
    height, width, _ = image.shape
    row = image[height // 8 : height // 4].mean((0, 2))
    return sum(int(row[(2 * bit + 1) * width // 16] > 125) << bit for bit in range(8))


def make(
    path: Path,
    count: int = 40,
    *,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    rate: Fraction | int = 30,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    ms: Sequence[int] | None = None,
    audio_s: float = 0.0,
    rotation: tuple[float, bool, bool] | None = None,
    container: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    kind: str | None = None,
    image: Callable[[int], Image] | None = None,
) -> Path:
    """A video file made by PyAV. ``ms``: presentation times of a variable frame rate."""
    with av.open(f"file:{path}", "w", format=kind, options=container or {}) as output:
        stream = output.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        time_base = 1 / Fraction(rate)
        if ms is not None:
            time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(*rotation)
        sound = output.add_stream("aac", rate=48000, layout="mono") if audio_s else None
        for i in range(count):
            pixels = image(i) if image else picture(i, *size)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = (i if ms is None else ms[i]), time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if sound is not None:
            for i in range(int(audio_s * 48000 / 1024)):
                samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                samples.sample_rate, samples.pts = 48000, i * 1024
                output.mux(sound.encode(samples))
            output.mux(sound.encode(None))
    return path


def faststart(path: Path, count: int = 40, **options: Any) -> Path:
    return make(path, count, container={"movflags": "+faststart"}, **options)


def samples_of(path: Path) -> list[tuple[int, int]]:
    """Place and size of every packet of an MP4, in decoding order."""
    with av.open(str(path)) as container:
        return [(entry.pos, entry.size) for entry in container.streams.video[0].index_entries]


def zero(path: Path, which: Sequence[int]) -> Path:
    """Overwrite packets of an MP4 with zeros."""
    data, samples = bytearray(path.read_bytes()), samples_of(path)
    for i in which:
        place, size = samples[i]
        data[place : place + size] = bytes(size)
    path.write_bytes(data)
    return path


def read(path: Path, **options: Any) -> tuple[list[Frame], VideoReader]:
    with VideoReader(path, **options) as reader:
        return list(reader), reader


def decoders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("decode ")]


@pytest.fixture(autouse=True)
def no_thread_stays() -> Any:
    yield
    if decoders():
        gc.collect()
    assert decoders() == []


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for every frame of a file that is made RGB."""
    seen: list[int] = []

    class Counting:
        def __init__(self) -> None:
            self.counted = VideoReformatter()

        def reformat(self, *args: Any, **options: Any) -> av.VideoFrame:
            seen.append(len(seen))
            return self.counted.reformat(*args, **options)

    monkeypatch.setattr("trackkit.video.file.VideoReformatter", Counting)
    return seen


CONTAINERS = [
    ("mp4", "libx264", "yuv420p", {}),
    ("mov", "mjpeg", "yuvj420p", {}),
    ("mkv", "libx264", "yuv420p", {}),
    ("webm", "libvpx", "yuv420p", {"auto-alt-ref": "1", "lag-in-frames": "10"}),
    ("webm", "libvpx-vp9", "yuv420p", {}),
    ("avi", "mpeg4", "yuv420p", {"bf": "2"}),
    ("avi", "libx264", "yuv420p", {}),
    ("flv", "libx264", "yuv420p", {}),
    ("ts", "libx264", "yuv420p", {}),
    ("mpg", "mpeg2video", "yuv420p", {}),
    ("wmv", "wmv2", "yuv420p", {}),
    ("gif", "gif", "rgb8", {}),
]


class TestWholeFiles:
    @pytest.mark.parametrize(("ending", "codec", "pix_fmt", "options"), CONTAINERS)
    def test_every_container(
        self, tmp_path: Path, ending: str, codec: str, pix_fmt: str, options: dict[str, str]
    ) -> None:
        rate = 25  # divides the clocks of all containers but GIF's, which has hundredths
        path = make(tmp_path / f"clip.{ending}", rate=rate, codec=codec, pix_fmt=pix_fmt, options=options)
        frames, reader = read(path)
        assert [number_of(frame.image) for frame in frames] == list(range(40))
        assert [frame.idx for frame in frames] == list(range(40))
        assert [frame.time_s for frame in frames] == pytest.approx([i / rate for i in range(40)], abs=0.0011)
        assert (reader.truncated, reader.warnings) == (None, ())
        info = reader.info
        assert (info.width, info.height, info.num_frames) == (WIDTH, HEIGHT, 40)
        assert (info.fps, info.duration_s) == pytest.approx((rate, 40 / rate), abs=0.02)

    @pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "flv"])
    def test_claims_before_reading(self, tmp_path: Path, ending: str) -> None:
        path = make(tmp_path / f"clip.{ending}", rate=25)
        info = probe(path)
        assert (info.width, info.height, info.num_frames) == (WIDTH, HEIGHT, 40)
        assert (info.fps, info.duration_s) == pytest.approx((25, 1.6), abs=0.02)
        with VideoReader(path, fps=5) as reader:
            assert (reader.expected_frames, reader.process_fps) == (8, 5)

    def test_images_are_the_callers_own(self, tmp_path: Path) -> None:
        # QuickTime Animation is RGB itself and stores changes only: the decoder builds on the frame before.
        path = make(tmp_path / "clip.mov", codec="qtrle", pix_fmt="rgb24", image=lambda i: picture(i // 20))
        with VideoReader(path, read_ahead=1) as reader:
            for frame in reader:
                np.testing.assert_array_equal(frame.image, picture(frame.idx // 20))
                frame.image[:] = 0

    def test_packets_that_are_not_for_showing(self, tmp_path: Path) -> None:
        whole, path = make(tmp_path / "whole.webm", 10, codec="libvpx"), tmp_path / "clip.webm"
        with av.open(str(whole)) as source, av.open(str(path), "w") as output:
            stream = output.add_stream_from_template(source.streams.video[0])
            for i, packet in enumerate(source.demux(video=0)):
                if packet.size:
                    data = bytearray(bytes(packet))
                    data[0] &= 0xFF if i != 4 else ~0x10  # show_frame of VP8, RFC 6386 9.1
                    shown = av.Packet(bytes(data))
                    shown.stream, shown.time_base = stream, packet.time_base
                    shown.pts, shown.dts, shown.is_keyframe = packet.pts, packet.dts, packet.is_keyframe
                    output.mux(shown)
        frames, reader = read(path)
        assert [number_of(frame.image) for frame in frames] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
        assert (reader.truncated, reader.warnings) == (None, ())

    @pytest.mark.parametrize(
        ("codec", "pix_fmt", "size"),
        [
            ("libx264", "yuv420p10le", (128, 64)),
            ("libx264", "yuv444p", (129, 65)),
            ("libx264", "gray", (128, 64)),
            ("ffv1", "gray", (131, 67)),
            ("ffv1", "gray16le", (130, 66)),
            ("ffv1", "yuv420p", (133, 69)),
            ("libx264rgb", "rgb24", (135, 64)),
            ("libx264", "yuv420p", (320, 2)),
        ],
    )
    def test_pixel_formats_and_odd_sizes(
        self, tmp_path: Path, codec: str, pix_fmt: str, size: tuple[int, int]
    ) -> None:
        path = make(tmp_path / "clip.mkv", 5, codec=codec, pix_fmt=pix_fmt, size=size)
        frames, reader = read(path)
        assert (reader.info.width, reader.info.height) == size
        for i, frame in enumerate(frames):
            assert frame.image.shape == (size[1], size[0], 3)
            assert frame.image.dtype == np.uint8 and frame.image.flags.c_contiguous
            if size[1] > 2:
                assert number_of(frame.image) == i

    @pytest.mark.parametrize("rotation", [None, 0, 90, 180, 270, -90])
    @pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True)])
    def test_orientation(self, tmp_path: Path, rotation: int | None, flips: tuple[bool, bool]) -> None:
        still = np.kron(np.random.default_rng(1).integers(20, 235, (4, 8, 3)), np.ones((16, 16, 1))).astype(
            np.uint8
        )
        turn = None if rotation is None else (rotation, *flips)
        path = make(tmp_path / "clip.mp4", 2, rotation=turn, image=lambda _: still, pix_fmt="yuv444p")
        shown = np.rot90(still, (rotation or 0) // 90)  # both count counterclockwise
        if turn is not None:
            shown = shown[:: -1 if flips[1] else 1, :: -1 if flips[0] else 1]
        frames, reader = read(path)
        assert (reader.info.height, reader.info.width) == shown.shape[:2]
        assert frames[1].image.flags.c_contiguous
        assert np.abs(frames[1].image.astype(int) - shown).mean() < 5

    @pytest.mark.parametrize("space", [1, 6, 2])  # BT.709, BT.601, not stated
    @pytest.mark.parametrize("full", [False, True])
    def test_colours(self, tmp_path: Path, space: int, full: bool) -> None:
        path, (y, u, v) = tmp_path / "clip.mp4", (120, 90, 190)
        with av.open(str(path), "w") as output:
            stream = output.add_stream("libx264", rate=30, options={"qp": "0"})
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            stream.codec_context.colorspace = space
            stream.codec_context.color_range = 2 if full else 1
            planes = [np.full((64, 64), y), np.full((16, 64), u), np.full((16, 64), v)]
            frame = av.VideoFrame.from_ndarray(np.concatenate(planes).astype(np.uint8), "yuv420p")
            frame.colorspace, frame.color_range = space, 2 if full else 1
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        # Rec. ITU-R BT.601 and BT.709: the two weights of red and blue in luma decide everything.
        red, blue = (0.2126, 0.0722) if space == 1 else (0.299, 0.114)
        luma = y / 255 if full else (y - 16) / 219
        cb, cr = ((c - 128) / (255 if full else 224) for c in (u, v))
        r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
        expected = np.array([r, (luma - red * r - blue * b) / (1 - red - blue), b]) * 255
        assert probe(path).width == 64
        assert read(path)[0][0].image[30, 30].tolist() == pytest.approx(np.clip(expected, 0, 255), abs=3)

    def test_sample_aspect_ratio_scales_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "clip.mp4"
        with av.open(str(path), "w") as output:
            stream = output.add_stream("libx264", rate=30)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture(5), "rgb24")))
            output.mux(stream.encode(None))
        with av.open(str(path)) as container:
            assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
        frames, _ = read(path)
        assert frames[0].image.shape == (HEIGHT, WIDTH, 3)

    @pytest.mark.parametrize(
        "name", ["Übung 视频 🎬.mp4", "a:b.mp4", "img%03d.mp4", "http:x.mp4", "no_ending"]
    )
    def test_names_are_taken_literally(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        make(tmp_path / name, 3, kind="mp4")
        monkeypatch.chdir(tmp_path)
        for path in (tmp_path / name, str(tmp_path / name), name):
            assert len(list(VideoReader(path))) == 3

    def test_a_name_that_is_not_utf8(self, tmp_path: Path) -> None:
        path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
        shutil.move(make(tmp_path / "clip.mp4", 3), path)
        assert len(list(VideoReader(path))) == 3

    def test_tags_that_are_not_utf8(self, tmp_path: Path) -> None:
        path = tmp_path / "clip.avi"
        with av.open(str(path), "w") as output:
            output.metadata["title"] = "cafe cafe"
            stream = output.add_stream("mpeg4", rate=30)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture(5), "rgb24")))
            output.mux(stream.encode(None))
        data = path.read_bytes()
        assert data.count(b"cafe cafe") == 1
        path.write_bytes(data.replace(b"cafe cafe", b"caf\xe9 caf\xe9"))
        assert len(list(VideoReader(path))) == 1

    def test_one_frame(self, tmp_path: Path) -> None:
        frames, reader = read(make(tmp_path / "clip.mp4", 1))
        assert [(frame.idx, frame.time_s) for frame in frames] == [(0, 0.0)]
        assert (reader.truncated, reader.info.num_frames) == (None, 1)

    @pytest.mark.parametrize(
        "flags", ["frag_keyframe+empty_moov", "frag_keyframe", "frag_keyframe+delay_moov"]
    )
    def test_fragmented_mp4(self, tmp_path: Path, flags: str) -> None:
        path = make(tmp_path / "clip.mp4", container={"movflags": flags}, options={"g": "8"})
        frames, reader = read(path)
        assert reader.expected_frames == 40
        assert [number_of(frame.image) for frame in frames] == list(range(40))
        assert (reader.truncated, reader.warnings) == (None, ())

    def test_an_edit_list_is_no_damage(self, tmp_path: Path) -> None:
        # What `ffmpeg -ss ... -c copy` makes: the frames before the cut are there, and not shown.
        whole, path = make(tmp_path / "whole.mp4", options={"bf": "0"}), tmp_path / "clip.mp4"
        with av.open(str(whole)) as source, av.open(str(path), "w") as output:
            stream = output.add_stream_from_template(source.streams.video[0])
            shift = int(10 / 30 / source.streams.video[0].time_base)
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream, packet.pts, packet.dts = stream, packet.pts - shift, packet.dts - shift
                    output.mux(packet)
        assert len(samples_of(path)) == 40
        frames, reader = read(path)
        assert [number_of(frame.image) for frame in frames] == list(range(10, 40))
        assert (frames[0].time_s, reader.truncated, reader.warnings) == (0.0, None, ())

    def test_sound_that_lasts_longer_is_no_damage(self, tmp_path: Path) -> None:
        path = make(tmp_path / "clip.flv", 30, audio_s=3.0)  # states the length of all together only
        with av.open(str(path)) as container:
            assert container.duration > 2.8e6
        frames, reader = read(path)
        assert (len(frames), reader.truncated) == (30, None)

    @pytest.mark.parametrize("name", ["01_dog", "02_cups", "03_blocks", "bedroom"])
    def test_real_clips(self, shared_dir: Path, name: str) -> None:
        clip = shared_dir / "videos" / f"{name}.mp4"
        with av.open(str(clip)) as container:
            container.streams.video[0].thread_type = "AUTO"
            plain = [(frame.time, frame.height, frame.width) for frame in container.decode(video=0)]
        with VideoReader(clip) as reader:
            assert reader.expected_frames == len(plain)
            found = [(frame.idx, frame.time_s, frame.image.shape) for frame in reader]
        assert [idx for idx, _, _ in found] == list(range(len(plain)))
        assert [time for _, time, _ in found] == pytest.approx([time - plain[0][0] for time, _, _ in plain])
        assert {shape for _, _, shape in found} == {(*plain[0][1:], 3)}
        assert (reader.truncated, reader.warnings) == (None, ())

    def test_a_real_clip_at_ten_frames_a_second(self, shared_dir: Path) -> None:
        with VideoReader(shared_dir / "videos" / "bedroom.mp4", fps=10) as reader:
            frames = list(reader)
        assert len(frames) == reader.expected_frames == 67
        assert [frame.idx for frame in frames] == list(range(0, 200, 3))
        assert [frame.time_s for frame in frames] == pytest.approx([k / 10 for k in range(67)])


class TestRate:
    def test_a_third_of_the_frames(self, tmp_path: Path) -> None:
        frames, reader = read(make(tmp_path / "clip.mp4"), fps=10)
        assert [frame.idx for frame in frames] == list(range(0, 40, 3))
        assert [number_of(frame.image) for frame in frames] == list(range(0, 40, 3))
        assert (reader.process_fps, reader.expected_frames) == (10, 14)
        assert reader.info.num_frames == 40

    @pytest.mark.parametrize("fps", [30, 31, 240])
    @pytest.mark.parametrize("ending", ["mp4", "mkv"])
    def test_never_above_the_source(self, tmp_path: Path, fps: float, ending: str) -> None:
        frames, reader = read(make(tmp_path / f"clip.{ending}"), fps=fps)
        assert [frame.idx for frame in frames] == list(range(40))
        assert reader.process_fps == pytest.approx(30)

    @pytest.mark.parametrize(
        "source", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(25), Fraction(60)]
    )
    @pytest.mark.parametrize("fps", [0.5, 1, 7, 10, 12.5, 15, 23.976])
    @pytest.mark.parametrize("rounded", [False, True])
    def test_no_drift(self, source: Fraction, fps: float, rounded: bool) -> None:
        times = [float(i / source) for i in range(10_000)]
        if rounded:  # as Matroska does
            times = [round(time, 3) for time in times]
        due = Ticks(fps, float(source))
        kept = [time for time in times if due(time)]
        early, late = 0.25 * float(1 / source) + 0.001, 0.75 * float(1 / source) + 0.001
        assert all(k / fps - early <= time <= k / fps + late for k, time in enumerate(kept))
        assert len(kept) == pytest.approx(times[-1] * fps, abs=2)

    @pytest.mark.parametrize("rounded", [False, True])
    def test_the_source_rate_keeps_all(self, rounded: bool) -> None:
        for source in (24000 / 1001, 30000 / 1001, 25.0, 59.94):
            due = Ticks(source, source)
            assert all(due(round(i / source, 3) if rounded else i / source) for i in range(20_000))

    @pytest.mark.parametrize("ending", ["mp4", "mkv"])
    def test_variable_frame_rate(self, tmp_path: Path, ending: str) -> None:
        ms = [0, 10, 20, 100, 110, 500, 520, 540, 560, 900, 910, 1000, 1033, 1066, 2000, 2600, 2610, 2620]
        path = make(tmp_path / f"clip.{ending}", len(ms), ms=ms, options={"bf": "0"})
        frames, reader = read(path)
        assert [frame.time_s for frame in frames] == pytest.approx([each / 1000 for each in ms], abs=0.0006)
        assert (reader.truncated, reader.warnings) == (None, ())
        assert reader.info.fps == pytest.approx(len(ms) / 2.6, rel=0.1)
        kept, reader = read(path, fps=5)
        # Ticks at 0, 200, ... ms: the first frame from each on, and none twice.
        wanted = {next(i for i, each in enumerate(ms) if each >= tick) for tick in range(0, 2601, 200)}
        assert [frame.idx for frame in kept] == sorted(wanted)
        assert [number_of(frame.image) for frame in kept] == sorted(wanted)

    def test_skipped_frames_are_not_converted(self, tmp_path: Path, converted: list[int]) -> None:
        with VideoReader(make(tmp_path / "clip.mp4"), fps=3) as reader:
            assert len(list(reader)) == len(converted) == 4

    @pytest.mark.parametrize("fps", [0, -1, math.nan, math.inf])
    def test_impossible_rates(self, tmp_path: Path, fps: float) -> None:
        with pytest.raises(ConfigError, match="fps is"):
            VideoReader(make(tmp_path / "clip.mp4", 1), fps=fps)


class TestTimes:
    def test_none_at_all(self, tmp_path: Path) -> None:
        frames, reader = read(make(tmp_path / "clip.h264", rate=30, kind="h264"))
        assert [frame.time_s for frame in frames] == pytest.approx([i / 30 for i in range(40)])
        assert reader.warnings == ("frames without a usable presentation time: 40, the first near 0.00 s",)

    def test_backwards(self, tmp_path: Path) -> None:
        one = make(tmp_path / "one.ts", 10).read_bytes()
        path = tmp_path / "two.ts"
        path.write_bytes(one + one)
        frames, reader = read(path)
        assert [number_of(frame.image) for frame in frames] == [*range(10), *range(10)]
        assert [frame.time_s for frame in frames] == pytest.approx([i / 30 for i in range(20)])
        assert reader.warnings == ("frames without a usable presentation time: 10, the first near 0.33 s",)

    def test_a_start_after_zero(self, tmp_path: Path) -> None:
        ms = [5000 + 40 * i for i in range(10)]
        for ending in ("mkv", "mp4", "ts"):
            frames, reader = read(make(tmp_path / f"clip.{ending}", 10, ms=ms, options={"bf": "0"}))
            assert [frame.time_s for frame in frames] == pytest.approx([i / 25 for i in range(10)], abs=0.001)
            assert (reader.truncated, reader.warnings) == (None, ())


def open_error(path: Path | str) -> str:
    with pytest.raises(VideoOpenError) as caught:
        VideoReader(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message


class TestNotAVideo:
    def test_missing(self, tmp_path: Path) -> None:
        assert "No such file" in open_error(tmp_path / "none.mp4")
        assert "null" in open_error("a\0b.mp4")

    def test_empty(self, tmp_path: Path) -> None:
        (tmp_path / "empty.mp4").touch()
        assert "is empty (0 bytes)" in open_error(tmp_path / "empty.mp4")

    def test_folder_without_images(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("x")
        assert "a folder without images" in open_error(tmp_path)

    def test_device(self) -> None:
        assert "device" in open_error("/dev/null")

    @pytest.mark.parametrize(
        ("name", "data"),
        [("x.mp4", os.urandom(5000)), ("x.json", b'{"a": 1}'), ("x.txt", b"hello\n" * 99), ("x.mp4", b"\0")],
    )
    def test_other_files(self, tmp_path: Path, name: str, data: bytes) -> None:
        (tmp_path / name).write_bytes(data)
        assert re.search("cannot read this as a video|not a video", open_error(tmp_path / name))

    def test_audio_only(self, tmp_path: Path) -> None:
        path = tmp_path / "sound.wav"
        with av.open(str(path), "w") as output:
            stream = output.add_stream("pcm_s16le", rate=48000, layout="mono")
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), "s16", "mono")
            samples.sample_rate = 48000
            output.mux(stream.encode(samples))
        assert "no video stream, only audio" in open_error(path)

    def test_a_cover_is_no_video(self, tmp_path: Path) -> None:
        path = tmp_path / "song.m4a"
        with av.open(str(path), "w", format="mp4") as output:
            sound = output.add_stream("aac", rate=48000, layout="mono")
            cover = output.add_stream("mjpeg", rate=1)
            cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
            cover.disposition = Disposition.attached_pic
            output.mux(cover.encode(av.VideoFrame.from_ndarray(picture(1, 32, 32), "rgb24")))
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            samples.sample_rate = 48000
            output.mux(sound.encode(samples))
            output.mux(sound.encode(None))
        with av.open(str(path)) as container:
            assert len(container.streams.video) == 1
        assert "no video stream, only audio" in open_error(path)

    def test_cut_before_the_index(self, tmp_path: Path) -> None:
        path = make(tmp_path / "clip.mp4")  # the index is written last
        for share in (0.95, 0.5, 0.1):
            cut = tmp_path / "cut.mp4"
            cut.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
            assert "index" in open_error(cut)

    def test_nothing_decodable(self, tmp_path: Path) -> None:
        path = faststart(tmp_path / "clip.mp4", 3)
        assert "no frame can be decoded" in open_error(zero(path, range(3)))

    def test_sizes_that_would_exhaust_memory(self, tmp_path: Path) -> None:
        path = make(tmp_path / "wide.mkv", 1, codec="ffv1", pix_fmt="gray", size=(400, 16))
        data = path.read_bytes()
        width, height = b"\xb0\x82\x01\x90", b"\xba\x81\x10"  # Matroska's PixelWidth 400, PixelHeight 16
        assert (data.count(width), data.count(height)) == (1, 1)
        path.write_bytes(data.replace(width, b"\xb0\x82\xff\xff"))
        assert "65535 x 16" in open_error(path)
        gif = bytearray(make(tmp_path / "clip.gif", 2, codec="gif", pix_fmt="rgb8").read_bytes())
        gif[6:10] = struct.pack("<HH", 60_000, 60_000)
        (tmp_path / "huge.gif").write_bytes(gif)
        assert "no frame can be decoded" in open_error(tmp_path / "huge.gif")
        PilImage.new("1", (16385, 1)).save(tmp_path / "a.png")
        with pytest.raises(VideoOpenError, match="at most 16384"):
            VideoReader(tmp_path)

    @pytest.mark.parametrize(
        "address",
        ["http://{}/a.mp4", "concat:{}", "file:{}", "tcp://{}", "pipe:0", "data:video/mp4;base64,AAAA"],
    )
    def test_addresses_are_not_opened(self, tmp_path: Path, address: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            port = server.getsockname()[1]
            clip = make(tmp_path / "clip.mp4", 1)
            target = f"127.0.0.1:{port}" if "//" in address else str(clip)
            assert "No such file" in open_error(address.format(target))
            with pytest.raises(BlockingIOError):
                server.accept()

    def test_playlists_are_not_followed(self, tmp_path: Path) -> None:
        clip = make(tmp_path / "clip.ts", 2)
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            for target in (f"http://127.0.0.1:{server.getsockname()[1]}/a.ts", clip.name):
                for name in ("x.m3u8", "x.mp4"):
                    (tmp_path / name).write_text(
                        f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:2,\n{target}\n#EXT-X-ENDLIST\n"
                    )
                    open_error(tmp_path / name)
            (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile {clip.name}\n")
            assert "playlist (concat)" in open_error(tmp_path / "list.mp4")
            with pytest.raises(BlockingIOError):
                server.accept()


class TestDamage:
    @pytest.mark.parametrize("share", [0.9, 0.6, 0.35])
    @pytest.mark.parametrize(
        ("ending", "codec", "audio_s"),
        [
            ("mp4", "libx264", 0.0),
            ("mp4", "libx264", 1.3),
            ("mkv", "libx264", 1.3),
            ("webm", "libvpx", 0.0),
            ("avi", "ffv1", 0.0),
            ("flv", "libx264", 0.0),
        ],
    )
    def test_a_cut_file_keeps_what_is_there(
        self,
        tmp_path: Path,
        ending: str,
        codec: str,
        audio_s: float,
        share: float,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        whole = make(
            tmp_path / f"whole.{ending}",
            codec=codec,
            audio_s=audio_s,
            options={"g": "5", "bf": "0"} if codec == "libx264" else {"g": "5"},
            container={"movflags": "+faststart"} if ending == "mp4" else {},
        )
        path = tmp_path / f"cut.{ending}"
        path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
        frames, reader = read(path)
        assert 1 <= len(frames) < 40
        assert [number_of(frame.image) for frame in frames] == list(range(len(frames)))
        assert reader.truncated is not None
        assert f"after {len(frames)} frames" in reader.truncated
        assert "of 40 (1.33 s)" in reader.truncated
        assert reader.info.num_frames == len(frames)
        assert reader.info.duration_s == pytest.approx(len(frames) / 30, abs=0.002)
        assert capfd.readouterr() == ("", "")

    def test_a_partial_packet_costs_no_other_frame(self, tmp_path: Path) -> None:
        path = faststart(tmp_path / "clip.mp4", options={"bf": "3", "b_strategy": "0"})
        place, size = samples_of(path)[30]
        os.truncate(path, place + size // 2)
        frames, reader = read(path)
        assert len(frames) == 30
        assert (reader.truncated or "").startswith("the file is cut after 30 frames")

    def test_a_cut_between_two_frames(self, tmp_path: Path) -> None:
        path = faststart(tmp_path / "clip.mp4", options={"bf": "0"})
        place, size = samples_of(path)[38]
        os.truncate(path, place + size)
        frames, reader = read(path)
        assert len(frames) == 39
        assert reader.truncated == "the file is cut after 39 frames (1.30 s) of 40 (1.33 s)"

    def test_a_fragmented_file_that_is_cut(self, tmp_path: Path) -> None:
        path = make(
            tmp_path / "clip.mp4", container={"movflags": "frag_keyframe+empty_moov"}, options={"g": "8"}
        )
        os.truncate(path, int(path.stat().st_size * 0.6))
        frames, reader = read(path)
        assert [number_of(frame.image) for frame in frames] == list(range(len(frames)))
        assert reader.truncated is not None

    @pytest.mark.parametrize("ending", ["mkv", "avi"])
    def test_a_header_that_lies(self, tmp_path: Path, ending: str) -> None:
        path = make(tmp_path / f"clip.{ending}", codec="mpeg4")
        data = bytearray(path.read_bytes())
        if ending == "mkv":
            place = data.index(b"\x44\x89\x88") + 3
            assert struct.unpack(">d", data[place : place + 8]) == (pytest.approx(1333.0, abs=1),)
            data[place : place + 8] = struct.pack(">d", 60_000.0)
            # The tag beside it is older than the lie: both must state it.
            data = data.replace(b"00:00:01.3", b"00:01:00.0")
        else:
            place = data.index(b"strh") + 8 + 32
            assert struct.unpack("<I", data[place : place + 4]) == (40,)
            data[place : place + 4] = struct.pack("<I", 1800)
        path.write_bytes(data)
        with VideoReader(path) as reader:
            assert reader.info.num_frames in (1800, 1801)
            assert len(list(reader)) == 40
        assert reader.truncated is not None
        assert re.fullmatch(
            r"the file ends after 40 frames \(1.33 s\) of 180\d \(60.\d+ s\)", reader.truncated
        )
        assert reader.info.num_frames == 40

    def test_broken_packets_in_the_middle(self, tmp_path: Path) -> None:
        path = faststart(tmp_path / "clip.mp4", options={"bf": "0", "g": "10"})
        frames, reader = read(zero(path, [15, 16, 17]))
        assert [round(frame.time_s * 30) for frame in frames] == [*range(15), *range(18, 40)]
        assert [number_of(frame.image) for frame in frames if not 15 <= frame.time_s * 30 < 19.5] == [
            *range(15),
            *range(20, 40),
        ]
        assert reader.truncated is None
        (warning,) = reader.warnings
        assert re.match(
            r"packets that could not be decoded \(Invalid data .*\): 3, the first near 0.\d\d s", warning
        )

    def test_damaged_frames(self, tmp_path: Path) -> None:
        path = faststart(tmp_path / "clip.mp4", codec="mpeg4", options={"g": "10"})
        data = bytearray(path.read_bytes())
        for place, size in samples_of(path)[15:18]:
            data[place + size // 2 : place + size] = os.urandom(size - size // 2)
        path.write_bytes(data)
        frames, reader = read(path)
        assert len(frames) == 40
        assert reader.truncated is None
        assert any(warning.startswith("frames with damaged parts") for warning in reader.warnings)

    def test_every_lost_frame_is_counted(self, tmp_path: Path) -> None:
        path = faststart(tmp_path / "clip.mp4")
        frames, reader = read(zero(path, [20, 37, 38]))  # FFmpeg's threads report the last two to nobody
        lost = sum(int(n) for warning in reader.warnings for n in re.findall(r": (\d+),", warning))
        assert lost >= 3
        assert len(frames) + lost == 40

    def test_a_tail_of_zeros(self, tmp_path: Path) -> None:
        path = faststart(tmp_path / "clip.mp4")
        frames, reader = read(zero(path, range(20, 40)))  # a download that was given its full size at once
        assert len(frames) >= 16
        assert [number_of(frame.image) for frame in frames] == list(range(len(frames)))
        assert reader.truncated is not None
        assert reader.truncated.startswith(f"nothing can be decoded any more after {len(frames)} frames")

    def test_the_picture_size_changes(self, tmp_path: Path) -> None:
        path = tmp_path / "clip.ts"
        small = make(tmp_path / "2.ts", 10, size=(64, 32)).read_bytes()
        path.write_bytes(make(tmp_path / "1.ts", 10).read_bytes() + small)
        frames, reader = read(path)
        assert {frame.image.shape for frame in frames} == {(HEIGHT, WIDTH, 3)}
        assert len(frames) == 10
        assert reader.truncated is not None
        assert reader.truncated.startswith(
            "the picture size changes from 128 x 64 to 64 x 32 pixels after 10"
        )

    def test_stopping_early_is_no_damage(self, tmp_path: Path) -> None:
        with VideoReader(make(tmp_path / "clip.mp4")) as reader:
            next(iter(reader))
        assert (reader.truncated, reader.info.num_frames) == (None, 40)


class TestThread:
    def test_ends_with_the_loop(self, tmp_path: Path) -> None:
        path = make(tmp_path / "clip.mp4")
        for frame in VideoReader(path):
            assert len(decoders()) == 1
            if frame.idx == 3:
                break
        gc.collect()
        assert decoders() == []
        with VideoReader(path) as reader:
            list(reader)
            assert decoders() == []
        assert reader.decode_seconds > 0

    def test_ends_with_an_error_of_the_consumer(self, tmp_path: Path) -> None:
        with pytest.raises(ZeroDivisionError), VideoReader(make(tmp_path / "clip.mp4")) as reader:
            for frame in reader:
                _ = 1 / frame.idx
        assert decoders() == []

    def test_ends_when_closed_while_it_waits(self, tmp_path: Path, converted: list[int]) -> None:
        reader = VideoReader(make(tmp_path / "clip.mp4"), read_ahead=2)
        frames = iter(reader)
        assert next(frames).idx == 0
        deadline = monotonic() + 30
        while len(converted) < 4 and monotonic() < deadline:
            sleep(0.005)
        sleep(0.05)
        assert len(converted) == 4  # one is drawn, two lie ready, and with the next one the thread waits
        reader.close()
        reader.close()
        assert decoders() == []

    def test_does_not_start_before_it_is_needed(self, tmp_path: Path) -> None:
        reader = VideoReader(make(tmp_path / "clip.mp4", 2))
        unused = iter(reader)
        assert decoders() == []
        del unused
        reader.close()

    def test_its_errors_reach_the_consumer(self, tmp_path: Path) -> None:
        for i in range(30):
            PilImage.fromarray(picture(i)).save(tmp_path / f"{i}.png")
        (tmp_path / "20.png").write_bytes(b"no image")
        seen = []
        with pytest.raises(VideoDecodeError, match=r"20\.png"), VideoReader(tmp_path) as reader:
            seen.extend(frame.idx for frame in reader)
        assert decoders() == []

    def test_python_ends_quietly_while_frames_wait(self, tmp_path: Path) -> None:
        path = make(tmp_path / "clip.mp4")
        code = f"from trackkit.video.reader import VideoReader; i = iter(VideoReader({str(path)!r})); next(i)"
        root = Path(__file__).parents[2]
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, timeout=120, check=True, cwd=root
        )
        assert (done.stdout, done.stderr) == (b"", b"")

    def test_read_once(self, tmp_path: Path) -> None:
        reader = VideoReader(make(tmp_path / "clip.mp4", 2))
        assert len(list(reader)) == 2
        with pytest.raises(VideoDecodeError, match="open the video again"):
            list(reader)

    def test_many_readers_at_once(self, tmp_path: Path) -> None:
        path = make(tmp_path / "clip.mp4")
        readers = [VideoReader(path, read_ahead=1) for _ in range(6)]
        for row in itertools.zip_longest(*readers):
            assert len({number_of(frame.image) for frame in row}) == 1

    def test_read_ahead_must_be_positive(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="read_ahead"):
            VideoReader(tmp_path, read_ahead=0)


class TestFolder:
    def test_order_and_times(self, tmp_path: Path) -> None:
        for i in range(12):
            PilImage.fromarray(picture(i)).save(tmp_path / f"img{i}.{'png' if i % 2 else 'BMP'}")
        (tmp_path / "readme.txt").touch()
        (tmp_path / ".img0.png").touch()
        frames, reader = read(tmp_path)
        assert [number_of(frame.image) for frame in frames] == list(range(12))
        assert [frame.time_s for frame in frames] == pytest.approx([i / 30 for i in range(12)])
        assert (reader.info.fps, reader.info.num_frames, reader.expected_frames) == (30, 12, 12)
        frames, reader = read(tmp_path, fps=4)  # the rate of the images, not a choice among them
        assert [frame.time_s for frame in frames] == pytest.approx([i / 4 for i in range(12)])
        assert (reader.process_fps, reader.info.duration_s) == (4, 3)
        assert frames[3].image.flags.c_contiguous and frames[3].image.flags.writeable

    def test_kinds_of_images(self, tmp_path: Path) -> None:
        grey = np.arange(0, 65536, 32, dtype=np.uint16).reshape(32, 64)
        PilImage.fromarray(grey).save(tmp_path / "1.png")
        PilImage.fromarray((grey >> 8).astype(np.uint8)).save(tmp_path / "2.png")
        colour = PilImage.fromarray(picture(3, 64, 32))
        colour.convert("RGBA").save(tmp_path / "3.png")
        colour.convert("P").save(tmp_path / "4.png")
        colour.convert("CMYK").save(tmp_path / "5.jpg")
        exif = PilImage.Exif()
        exif[0x0112] = 6  # to be turned by a quarter, clockwise
        PilImage.fromarray(np.rot90(picture(3, 64, 32)).copy()).save(
            tmp_path / "6.jpg", exif=exif, quality=95
        )
        images = [frame.image for frame in VideoReader(tmp_path)]
        np.testing.assert_array_equal(images[0], images[1])
        np.testing.assert_array_equal(images[2], picture(3, 64, 32))
        assert [number_of(image) for image in images[2:]] == [3, 3, 3, 3]

    def test_sizes_differ(self, tmp_path: Path) -> None:
        for i, width in enumerate((64, 64, 66)):
            PilImage.fromarray(picture(i, width)).save(tmp_path / f"{i}.png")
        with pytest.raises(VideoDecodeError, match=r"2\.png: is 66 x 64 pixels, but 0\.png is 64 x 64"):
            list(VideoReader(tmp_path))

    def test_broken_images(self, tmp_path: Path) -> None:
        PilImage.fromarray(picture(1)).save(tmp_path / "1.jpg")
        os.truncate(tmp_path / "1.jpg", 700)
        with pytest.raises(VideoOpenError, match=r"1\.jpg.*truncated"):
            VideoReader(tmp_path)


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
        frames, reader = read(path)
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
        frames, reader = read(path)
        assert [frame.time_s for frame in frames] == pytest.approx([*times, 3.8], abs=1e-5)
        assert [number_of(frame.image) for frame in frames] == list(range(9))
        assert reader.truncated is None

    @pytest.mark.parametrize("size", [(131, 67), (130, 67), (131, 66), (1, 1)])
    def test_odd_sizes_are_padded(self, tmp_path: Path, size: tuple[int, int]) -> None:
        image = np.full((size[1], size[0], 3), 128, np.uint8)
        image[-1], image[:, -1] = (220, 30, 30), (220, 30, 30)
        with VideoWriter(tmp_path / "out.mp4", width=size[0], height=size[1], fps=10) as writer:
            writer.write(image)
        (frame,), _ = read(tmp_path / "out.mp4")
        assert frame.image.shape == (size[1] + size[1] % 2, size[0] + size[0] % 2, 3)
        assert frame.image[-1, -1].tolist() == pytest.approx((220, 30, 30), abs=40)

    def test_colours_come_back(self, tmp_path: Path) -> None:
        colour = np.full((64, 64, 3), (200, 40, 90), np.uint8)
        with VideoWriter(tmp_path / "out.mp4", width=64, height=64, fps=10) as writer:
            writer.write(colour[:, ::-1])  # not contiguous
        (frame,), _ = read(tmp_path / "out.mp4")
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
        assert number_of(read(tmp_path / "http:" / name)[0][0].image) == 7


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_some_frames_are_those_that_reading_all_gives(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", 40)
    everything, _ = read(path)
    some = list(read_frames(path, [31, 0, 7, 7]))
    assert [frame.idx for frame in some] == [0, 7, 31]
    for frame in some:
        assert frame.time_s == everything[frame.idx].time_s
        assert (frame.image == everything[frame.idx].image).all()
    assert list(read_frames(path, [])) == []
    with pytest.raises(VideoDecodeError, match="no frame 40; expected an index from 0 to 39"):
        list(read_frames(path, [3, 40]))
