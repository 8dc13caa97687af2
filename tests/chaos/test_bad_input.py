"""Files that are no videos, or no longer: every one gives frames or a VideoError, in bounded time and memory.

``--bad-files N`` for more of the mutated ones.
"""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

BASES = [
    ("mp4", "libx264", "yuv420p"),
    ("mkv", "libx264", "yuv420p"),
    ("mov", "mjpeg", "yuvj420p"),
    ("webm", "libvpx-vp9", "yuv420p"),
    ("avi", "mpeg4", "yuv420p"),
    ("ts", "libx264", "yuv420p"),
    ("flv", "libx264", "yuv420p"),
    ("gif", "gif", "rgb8"),
]
FFV1 = ("gray", "gray16le", "yuv410p", "yuv411p", "yuv440p", "yuva444p10le", "gbrp16le")
RAW = ("monow", "bgr4_byte", "rgb555le", "uyvy422", "nv12", "abgr", "ya8")
PIXEL_FORMATS = [*(("ffv1", name) for name in FFV1), *(("rawvideo", name) for name in RAW)]


def encode(path: Path, codec: str, pix_fmt: str, *, count: int = 5) -> Path:
    numbers = np.random.default_rng(0)
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        for _ in range(count):
            pixels = numbers.integers(0, 255, (48, 64, 3), np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode(None))
    return path


def mutate(data: bytes, numbers: random.Random) -> bytes:
    """Damage as it happens: cut, overwritten, zeroed, doubled; most of it where the headers are."""
    damaged = bytearray(data)
    how = numbers.choice(("cut", "header", "index", "anywhere", "zeros", "doubled"))
    if how == "cut":
        return data[: numbers.randrange(len(data))]
    if how == "doubled":
        place = numbers.randrange(len(data))
        return data[:place] + data[place // 2 :]
    start, end = {"header": (0, 400), "index": (max(0, len(data) - 900), len(data))}.get(how, (0, len(data)))
    if how == "zeros":
        start = numbers.randrange(len(data))
        end = min(len(data), start + numbers.randrange(1, 2000))
        damaged[start:end] = bytes(end - start)
        return bytes(damaged)
    for _ in range(numbers.choice((1, 3, 20))):
        damaged[numbers.randrange(start, min(end, len(data)))] = numbers.choice((0, 1, 127, 128, 255))
    return bytes(damaged)


def png(width: int, height: int) -> bytes:
    """A picture without anything in it: few bytes, many pixels."""
    rows = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    pixels = b"".join(rows.compress(row) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    body = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def y4m(header: str, frames: int = 2, size: int = 6) -> bytes:
    return f"YUV4MPEG2 {header}\n".encode() + b"".join(b"FRAME\n" + bytes(size) for _ in range(frames))


def special_files(folder: Path, bases: dict[str, bytes]) -> None:
    """One file for each way to be wrong that needs no chance."""
    sound = folder / "audio_only.m4a"
    with av.open(str(sound), "w") as output:
        stream = output.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    patched = bases["mp4"]
    for name, value in (("width", 0xFFFF), ("zero", 0)):  # in the sample description of H.264
        place = patched.index(b"avc1", patched.index(b"stsd")) + 28
        wide = patched[:place] + struct.pack(">HH", value, value) + patched[place + 4 :]
        (folder / f"stated_{name}.mp4").write_bytes(wide)
    for name, data in {
        "empty.mp4": b"",
        "one_byte.mkv": b"\0",
        "zeros.avi": bytes(5000),
        "text.mp4": b"This is no video.\n" * 50,
        "page.webm": b"<!DOCTYPE html><html><body>404</body></html>",
        "playlist.mp4": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "sound_as_video.mp4": sound.read_bytes(),
        "mp4_as.mkv": bases["mp4"],
        "mkv_as.jpg": bases["mkv"],
        "gif_as.txt": bases["gif"],
        "bomb.png": png(20_000, 20_000),
        "huge.gif": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"\x3b",
        "huge.y4m": y4m("W60000 H60000 F25:1"),
        "overflow.y4m": y4m("W2147483647 H2147483647 F25:1"),
        "negative.y4m": y4m("W-2 H2 F25:1"),
        "fast.y4m": y4m("W2 H2 F1000000000:1"),
        "slow.y4m": y4m("W2 H2 F1:1000000000"),
        "no_rate.y4m": y4m("W2 H2 F0:0"),
        "thin.y4m": y4m("W16384 H2 F25:1", size=16384 * 3),
    }.items():
        (folder / name).write_bytes(data)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("bases")
    made = {end: encode(folder / f"base.{end}", codec, pix_fmt) for end, codec, pix_fmt in BASES}
    return {ending: path.read_bytes() for ending, path in made.items()}


def read_all(paths: list[Path]) -> dict[str, dict[str, object]]:
    """What reading each gave; a file that ended the reading process has none."""
    found: dict[str, dict[str, object]] = {}
    rest = paths
    while rest:
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("read_all.py"))],
            input="".join(f"{path}\n" for path in rest),
            capture_output=True,
            text=True,
            check=False,
        )
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        found.update((answer["path"], answer) for answer in answers)
        if done.returncode != 0 and len(answers) < len(rest):
            print(f"{rest[len(answers)]} ended the process ({done.returncode}): {done.stderr[-2000:]}")
        rest = rest[len(answers) + 1 :]
    return found


def test_every_bad_file_gives_frames_or_a_video_error(
    bases: dict[str, bytes],
    tmp_path: Path,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    numbers = random.Random(0)
    special_files(tmp_path, bases)
    specials = sorted(tmp_path.iterdir())
    for codec, pix_fmt in PIXEL_FORMATS:
        encode(tmp_path / f"pixels_{codec}_{pix_fmt}.nut", codec, pix_fmt)
    for k in range(request.config.getoption("--bad-files")):
        ending = numbers.choice(list(bases))
        (tmp_path / f"mutated_{k:05}.{ending}").write_bytes(mutate(bases[ending], numbers))
    paths = sorted(tmp_path.iterdir())
    found = read_all(paths)
    lost = [path.name for path in paths if str(path) not in found]
    whole = Counter(each.get("error") is None and each["truncated"] is None for each in found.values())
    with capsys.disabled():
        print(f"\n{len(paths)} files, {whole[True]} read to their end; {len(lost)} ended the process {lost}")
    assert lost == []
    fine = {"mp4_as.mkv", "mkv_as.jpg", "gif_as.txt", "fast.y4m", "slow.y4m", "no_rate.y4m", "thin.y4m"}
    fine |= {"stated_width.mp4", "stated_zero.mp4"}
    for path in specials:
        if path.name not in fine:
            assert found[str(path)].get("error"), f"{path.name}: {found[str(path)]}"
    for path in paths:
        if path.name.startswith("pixels") or path.name in ("mp4_as.mkv", "mkv_as.jpg", "gif_as.txt"):
            assert found[str(path)]["frames"] == 5, f"{path.name}: {found[str(path)]}"
