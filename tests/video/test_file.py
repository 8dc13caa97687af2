"""Video files of every kind: times, colours, orientation, and what is damaged or missing."""

from __future__ import annotations

import gc
import io
import os
import re
import shutil
import socket
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from clips import HEIGHT, WIDTH, make_video, number_of, open_error, picture, read_all
from PIL import Image as PilImage
from PIL import ImageOps

from trackkit.core.arrays import Image
from trackkit.core.errors import VideoDecodeError, VideoOpenError
from trackkit.video.reader import VideoReader, probe


def faststart(path: Path, count: int = 40, **options: Any) -> Path:
    return make_video(path, count, container={"movflags": "+faststart"}, **options)


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


def still_with_exif(image: Image, kind: str, orientation: int | None) -> bytes:
    exif = PilImage.Exif()
    exif[0x010F] = "a camera"
    if orientation is not None:
        exif[0x0112] = orientation
    file = io.BytesIO()
    PilImage.fromarray(image).save(file, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))
    return file.getvalue()


def mux_stills(
    path: Path, kind: str, stills: Sequence[bytes], rotation: tuple[float, bool, bool] | None = None
) -> Path:
    """The files themselves as the frames of a video."""
    codec, pix_fmt = {"JPEG": ("mjpeg", "yuvj420p"), "PNG": ("png", "rgb24"), "TIFF": ("tiff", "rgb24")}[kind]
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pix_fmt
        if rotation is not None:
            stream.set_display_rotation(*rotation)
        for i, still in enumerate(stills):
            packet = av.Packet(still)
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), True
            packet.pts = packet.dts = i
            output.mux(packet)
    return path


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
        path = make_video(
            tmp_path / f"clip.{ending}", rate=rate, codec=codec, pix_fmt=pix_fmt, options=options
        )
        frames, reader = read_all(path)
        assert [number_of(frame.image) for frame in frames] == list(range(40))
        assert [frame.idx for frame in frames] == list(range(40))
        assert [frame.time_s for frame in frames] == pytest.approx([i / rate for i in range(40)], abs=0.0011)
        assert (reader.truncated, reader.warnings) == (None, ())
        info = reader.info
        assert (info.width, info.height, info.num_frames) == (WIDTH, HEIGHT, 40)
        assert (info.fps, info.duration_s) == pytest.approx((rate, 40 / rate), abs=0.02)

    @pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "flv"])
    def test_claims_before_reading(self, tmp_path: Path, ending: str) -> None:
        path = make_video(tmp_path / f"clip.{ending}", rate=25)
        info = probe(path)
        assert (info.width, info.height, info.num_frames) == (WIDTH, HEIGHT, 40)
        assert (info.fps, info.duration_s) == pytest.approx((25, 1.6), abs=0.02)
        with VideoReader(path, fps=5) as reader:
            assert (reader.expected_frames, reader.process_fps) == (8, 5)

    def test_images_are_the_callers_own(self, tmp_path: Path) -> None:
        # QuickTime Animation is RGB itself and stores changes only: the decoder builds on the frame before.
        path = make_video(
            tmp_path / "clip.mov", codec="qtrle", pix_fmt="rgb24", image=lambda i: picture(i // 20)
        )
        with VideoReader(path, read_ahead=1) as reader:
            for frame in reader:
                np.testing.assert_array_equal(frame.image, picture(frame.idx // 20))
                frame.image[:] = 0

    def test_packets_that_are_not_for_showing(self, tmp_path: Path) -> None:
        whole, path = make_video(tmp_path / "whole.webm", 10, codec="libvpx"), tmp_path / "clip.webm"
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
        frames, reader = read_all(path)
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
        path = make_video(tmp_path / "clip.mkv", 5, codec=codec, pix_fmt=pix_fmt, size=size)
        frames, reader = read_all(path)
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
        path = make_video(tmp_path / "clip.mp4", 2, rotation=turn, image=lambda _: still, pix_fmt="yuv444p")
        shown = np.rot90(still, (rotation or 0) // 90)  # both count counterclockwise
        if turn is not None:
            shown = shown[:: -1 if flips[1] else 1, :: -1 if flips[0] else 1]
        frames, reader = read_all(path)
        assert (reader.info.height, reader.info.width) == shown.shape[:2]
        assert frames[1].image.flags.c_contiguous
        assert np.abs(frames[1].image.astype(int) - shown).mean() < 5

    @pytest.mark.parametrize(
        ("ending", "kind"), [("mkv", "JPEG"), ("avi", "JPEG"), ("mov", "PNG"), ("mov", "TIFF")]
    )
    def test_stills_with_exif(self, tmp_path: Path, ending: str, kind: str) -> None:
        # A time-lapse, as `ffmpeg -i img%04d.jpg -c copy` makes it; PyAV does not know EXIF as side data.
        still = np.kron(np.random.default_rng(1).integers(20, 235, (4, 8, 3)), np.ones((16, 16, 1)))
        for orientation in (None, *range(1, 9)):
            data = still_with_exif(still.astype(np.uint8), kind, orientation)
            path = mux_stills(tmp_path / f"clip.{ending}", kind, [data] * 3)
            with PilImage.open(io.BytesIO(data)) as image:
                shown = np.asarray(ImageOps.exif_transpose(image))
            frames, reader = read_all(path)
            assert (len(frames), reader.truncated, reader.warnings) == (3, None, ())
            assert frames[2].image.shape == shown.shape
            assert np.abs(frames[2].image.astype(int) - shown).mean() < 5

    def test_stills_that_turn(self, tmp_path: Path) -> None:
        still = np.kron(np.random.default_rng(1).integers(20, 235, (4, 8, 3)), np.ones((16, 16, 1)))
        turns = [1, 3, 1, 2, 4, 3]  # as it is, upside down, mirrored
        data = [still_with_exif(still.astype(np.uint8), "JPEG", turn) for turn in turns]
        frames, _ = read_all(mux_stills(tmp_path / "clip.mkv", "JPEG", data))
        for frame, turn in zip(frames, turns, strict=True):
            step = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1)}[turn]
            shown = still[:: step[0], :: step[1]]
            assert np.abs(frame.image.astype(int) - shown).mean() < 3

    @pytest.mark.parametrize(("codec", "kind"), [("libx264", "mp4"), ("mjpeg", "avi")])
    @pytest.mark.parametrize("turn", [None, (90, False, True)])
    def test_frames_that_were_read_do_not_wait_for_the_garbage_collector(
        self, tmp_path: Path, codec: str, kind: str, turn: tuple[int, bool, bool] | None
    ) -> None:
        pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        path = make_video(tmp_path / f"a.{kind}", 60, codec=codec, rotation=turn, pix_fmt=pix_fmt)
        gc.collect()
        gc.disable()
        try:
            with VideoReader(path) as reader:
                assert sum(1 for _ in reader) == 60
            held = [each for each in gc.get_objects() if isinstance(each, av.VideoFrame)]
            assert sum(frame.width > 16 for frame in held) < 10
        finally:
            gc.enable()

    @pytest.mark.parametrize("flips", [(False, False), (True, False), (False, True)])
    @pytest.mark.parametrize("rotation", [0, 90, 180, 270])
    def test_stills_in_a_container_that_turns(
        self, tmp_path: Path, rotation: int, flips: tuple[bool, bool]
    ) -> None:
        still = np.kron(np.random.default_rng(1).integers(20, 235, (4, 8, 3)), np.ones((16, 16, 1)))
        data = still_with_exif(still.astype(np.uint8), "PNG", None)
        path = mux_stills(tmp_path / "clip.mov", "PNG", [data] * 2, (rotation, *flips))
        shown = np.rot90(still, rotation // 90)[:: -1 if flips[1] else 1, :: -1 if flips[0] else 1]
        frames, _ = read_all(path)
        np.testing.assert_array_equal(frames[1].image, shown)

    @pytest.mark.parametrize(("rotation", "quarters"), [(30, 0), (-50, -1), (100, 1), (170, 2)])
    def test_another_angle_is_the_nearest_quarter_turn(
        self, tmp_path: Path, rotation: int, quarters: int
    ) -> None:
        path = make_video(tmp_path / "clip.mp4", 3, rotation=(rotation, False, False))
        frames, reader = read_all(path)
        upright, _ = read_all(make_video(tmp_path / "upright.mp4", 3))
        np.testing.assert_array_equal(frames[0].image, np.rot90(upright[0].image, quarters))
        (note,) = reader.warnings
        clockwise = f"frames to be turned by {-rotation % 360} degrees"
        assert note.startswith(f"{clockwise}, shown at the nearest quarter turn: 3, the first near")

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
        assert read_all(path)[0][0].image[30, 30].tolist() == pytest.approx(np.clip(expected, 0, 255), abs=3)

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
        frames, _ = read_all(path)
        assert frames[0].image.shape == (HEIGHT, WIDTH, 3)

    @pytest.mark.parametrize(
        "name", ["Übung 视频 🎬.mp4", "a:b.mp4", "img%03d.mp4", "http:x.mp4", "no_ending"]
    )
    def test_names_are_taken_literally(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        make_video(tmp_path / name, 3, kind="mp4")
        monkeypatch.chdir(tmp_path)
        for path in (tmp_path / name, str(tmp_path / name), name):
            assert len(list(VideoReader(path))) == 3

    def test_a_name_that_is_not_utf8(self, tmp_path: Path) -> None:
        path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
        shutil.move(make_video(tmp_path / "clip.mp4", 3), path)
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
        frames, reader = read_all(make_video(tmp_path / "clip.mp4", 1))
        assert [(frame.idx, frame.time_s) for frame in frames] == [(0, 0.0)]
        assert (reader.truncated, reader.info.num_frames) == (None, 1)

    @pytest.mark.parametrize(
        "flags", ["frag_keyframe+empty_moov", "frag_keyframe", "frag_keyframe+delay_moov"]
    )
    def test_fragmented_mp4(self, tmp_path: Path, flags: str) -> None:
        path = make_video(tmp_path / "clip.mp4", container={"movflags": flags}, options={"g": "8"})
        frames, reader = read_all(path)
        assert reader.expected_frames == 40
        assert [number_of(frame.image) for frame in frames] == list(range(40))
        assert (reader.truncated, reader.warnings) == (None, ())

    def test_an_edit_list_is_no_damage(self, tmp_path: Path) -> None:
        # What `ffmpeg -ss ... -c copy` makes: the frames before the cut are there, and not shown.
        whole, path = make_video(tmp_path / "whole.mp4", options={"bf": "0"}), tmp_path / "clip.mp4"
        with av.open(str(whole)) as source, av.open(str(path), "w") as output:
            stream = output.add_stream_from_template(source.streams.video[0])
            shift = int(10 / 30 / source.streams.video[0].time_base)
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream, packet.pts, packet.dts = stream, packet.pts - shift, packet.dts - shift
                    output.mux(packet)
        assert len(samples_of(path)) == 40
        frames, reader = read_all(path)
        assert [number_of(frame.image) for frame in frames] == list(range(10, 40))
        assert (frames[0].time_s, reader.truncated, reader.warnings) == (0.0, None, ())

    def test_sound_that_lasts_longer_is_no_damage(self, tmp_path: Path) -> None:
        path = make_video(tmp_path / "clip.flv", 30, audio_s=3.0)  # states the length of all together only
        with av.open(str(path)) as container:
            assert container.duration > 2.8e6
        frames, reader = read_all(path)
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


class TestTimes:
    def test_none_at_all(self, tmp_path: Path) -> None:
        frames, reader = read_all(make_video(tmp_path / "clip.h264", rate=30, kind="h264"))
        assert [frame.time_s for frame in frames] == pytest.approx([i / 30 for i in range(40)])
        assert reader.warnings == ("frames without a presentation time: 40, the first near 0.00 s",)

    def test_backwards(self, tmp_path: Path) -> None:
        one = make_video(tmp_path / "one.ts", 10).read_bytes()
        path = tmp_path / "two.ts"
        path.write_bytes(one + one)
        frames, reader = read_all(path)
        assert [number_of(frame.image) for frame in frames] == [*range(10), *range(10)]
        assert [frame.time_s for frame in frames] == pytest.approx([i / 30 for i in range(20)])
        assert reader.warnings == ("times that the clock starts anew: 1, the first near 0.33 s",)

    def test_a_start_after_zero(self, tmp_path: Path) -> None:
        ms = [5000 + 40 * i for i in range(10)]
        for ending in ("mkv", "mp4", "ts"):
            frames, reader = read_all(make_video(tmp_path / f"clip.{ending}", 10, ms=ms, options={"bf": "0"}))
            assert [frame.time_s for frame in frames] == pytest.approx([i / 25 for i in range(10)], abs=0.001)
            assert (reader.truncated, reader.warnings) == (None, ())


class TestNotAVideo:
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
        path = make_video(tmp_path / "clip.mp4")  # the index is written last
        for share in (0.95, 0.5, 0.1):
            cut = tmp_path / "cut.mp4"
            cut.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
            assert "index" in open_error(cut)

    def test_nothing_decodable(self, tmp_path: Path) -> None:
        path = faststart(tmp_path / "clip.mp4", 3)
        assert "no frame can be decoded" in open_error(zero(path, range(3)))

    def test_sizes_that_would_exhaust_memory(self, tmp_path: Path) -> None:
        path = make_video(tmp_path / "wide.mkv", 1, codec="ffv1", pix_fmt="gray", size=(400, 16))
        data = path.read_bytes()
        width, height = b"\xb0\x82\x01\x90", b"\xba\x81\x10"  # Matroska's PixelWidth 400, PixelHeight 16
        assert (data.count(width), data.count(height)) == (1, 1)
        path.write_bytes(data.replace(width, b"\xb0\x82\xff\xff"))
        assert "65535 x 16" in open_error(path)
        gif = bytearray(make_video(tmp_path / "clip.gif", 2, codec="gif", pix_fmt="rgb8").read_bytes())
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
            clip = make_video(tmp_path / "clip.mp4", 1)
            target = f"127.0.0.1:{port}" if "//" in address else str(clip)
            assert "No such file" in open_error(address.format(target))
            with pytest.raises(BlockingIOError):
                server.accept()

    def test_playlists_are_not_followed(self, tmp_path: Path) -> None:
        clip = make_video(tmp_path / "clip.ts", 2)
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
        whole = make_video(
            tmp_path / f"whole.{ending}",
            codec=codec,
            audio_s=audio_s,
            options={"g": "5", "bf": "0"} if codec == "libx264" else {"g": "5"},
            container={"movflags": "+faststart"} if ending == "mp4" else {},
        )
        path = tmp_path / f"cut.{ending}"
        path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
        frames, reader = read_all(path)
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
        frames, reader = read_all(path)
        assert len(frames) == 30
        assert (reader.truncated or "").startswith("the file is cut after 30 frames")

    def test_a_cut_between_two_frames(self, tmp_path: Path) -> None:
        path = faststart(tmp_path / "clip.mp4", options={"bf": "0"})
        place, size = samples_of(path)[38]
        os.truncate(path, place + size)
        frames, reader = read_all(path)
        assert len(frames) == 39
        assert reader.truncated == "the file is cut after 39 frames (1.30 s) of 40 (1.33 s)"

    def test_a_fragmented_file_that_is_cut(self, tmp_path: Path) -> None:
        path = make_video(
            tmp_path / "clip.mp4", container={"movflags": "frag_keyframe+empty_moov"}, options={"g": "8"}
        )
        os.truncate(path, int(path.stat().st_size * 0.6))
        frames, reader = read_all(path)
        assert [number_of(frame.image) for frame in frames] == list(range(len(frames)))
        assert reader.truncated is not None

    @pytest.mark.parametrize("ending", ["mkv", "avi"])
    def test_a_header_that_lies(self, tmp_path: Path, ending: str) -> None:
        path = make_video(tmp_path / f"clip.{ending}", codec="mpeg4")
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
        frames, reader = read_all(zero(path, [15, 16, 17]))
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
        frames, reader = read_all(path)
        assert len(frames) == 40
        assert reader.truncated is None
        assert any(warning.startswith("frames with damaged parts") for warning in reader.warnings)

    def test_every_lost_frame_is_counted(self, tmp_path: Path) -> None:
        path = faststart(tmp_path / "clip.mp4")
        frames, reader = read_all(zero(path, [20, 37, 38]))  # FFmpeg's threads report the last two to nobody
        lost = sum(int(n) for warning in reader.warnings for n in re.findall(r": (\d+),", warning))
        assert lost >= 3
        assert len(frames) + lost == 40

    def test_a_tail_of_zeros(self, tmp_path: Path) -> None:
        path = faststart(tmp_path / "clip.mp4")
        frames, reader = read_all(
            zero(path, range(20, 40))
        )  # a download that was given its full size at once
        assert len(frames) >= 16
        assert [number_of(frame.image) for frame in frames] == list(range(len(frames)))
        assert reader.truncated is not None
        assert reader.truncated.startswith(f"nothing can be decoded any more after {len(frames)} frames")

    def test_the_picture_size_changes(self, tmp_path: Path) -> None:
        path = tmp_path / "clip.ts"
        small = make_video(tmp_path / "2.ts", 10, size=(64, 32)).read_bytes()
        path.write_bytes(make_video(tmp_path / "1.ts", 10).read_bytes() + small)
        frames, reader = read_all(path)
        assert {frame.image.shape for frame in frames} == {(HEIGHT, WIDTH, 3)}
        assert len(frames) == 10
        assert reader.truncated is not None
        assert reader.truncated.startswith(
            "the picture size changes from 128 x 64 to 64 x 32 pixels after 10"
        )

    def test_stopping_early_is_no_damage(self, tmp_path: Path) -> None:
        with VideoReader(make_video(tmp_path / "clip.mp4")) as reader:
            next(iter(reader))
        assert (reader.truncated, reader.info.num_frames) == (None, 40)


def test_pixels_of_which_no_rgb_can_be_made(tmp_path: Path) -> None:
    path = tmp_path / "rgb4.nut"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=10)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb4"
        frame = av.VideoFrame(16, 16, "rgb4")
        frame.pts = 0
        container.mux([*stream.encode(frame), *stream.encode(None)])
    with (
        VideoReader(path) as reader,
        pytest.raises(VideoDecodeError, match=r"RGB of its pixels, rgb4 .*H\.264"),
    ):
        list(reader)
