"""Video files made for tests, each frame carrying its own number in its pixels."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from trackkit.core.arrays import Image
from trackkit.core.errors import VideoOpenError
from trackkit.core.frames import Frame
from trackkit.video.reader import VideoReader

WIDTH, HEIGHT = 128, 64
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


def make_video(
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


def read_all(path: Path, **options: Any) -> tuple[list[Frame], VideoReader]:
    with VideoReader(path, **options) as reader:
        return list(reader), reader


def decoders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("decode ")]


def open_error(path: Path | str) -> str:
    with pytest.raises(VideoOpenError) as caught:
        VideoReader(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message
