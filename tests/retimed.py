"""Videos whose times were changed after they were made, as broken recorders and editors leave them."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av

TIME_BASES = {".mkv": 1000, ".webm": 1000, ".mp4": 1000, ".mov": 1000, ".ts": 90_000, ".flv": 1000}


def retime(source: Path, path: Path, times: Sequence[float]) -> Path:
    """The packets of a video, so that frame k in order of presentation states ``times[k]`` seconds."""
    with av.open(str(source)) as given, av.open(str(path), "w") as output:
        packets = [packet for packet in given.demux(video=0) if packet.size]
        stream = output.add_stream_from_template(given.streams.video[0])
        tick = stream.time_base = Fraction(1, TIME_BASES[path.suffix])  # muxers may take another
        order = sorted(range(len(packets)), key=lambda i: packets[i].pts)
        pts = [0] * len(packets)
        for i, time in zip(order, times, strict=True):
            pts[i] = round(time / tick)
        dts = list(pts)  # as late as it may be: rising, and no packet is shown before it is decoded
        for i in reversed(range(len(dts) - 1)):
            dts[i] = min(pts[i], dts[i + 1] - 1)
        for i, packet in enumerate(packets):
            packet.stream, packet.time_base = stream, tick
            packet.pts, packet.dts, packet.duration = pts[i], dts[i], 0
            output.mux(packet)
    return path


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    while start < end:
        size, name = struct.unpack(">I4s", data[start : start + 8])
        yield name, start, start + size
        start += size


def _find(data: bytes, *names: bytes) -> tuple[int, int]:
    start, end = 0, len(data)
    for name in names:
        start, end = next((s, e) for n, s, e in _boxes(data, start, end) if n == name)
        start += 8
    return start, end


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def edit(source: Path, path: Path, edits: Sequence[tuple[int, int]]) -> Path:
    """An MP4 with another edit list: (duration in ms, place in ticks of the track or -1 for nothing)."""
    data = source.read_bytes()
    moov, moov_end = _find(data, b"moov")
    assert moov_end == len(data)  # nothing that lies behind it moves
    entries = b"".join(struct.pack(">IiHH", *each, 1, 0) for each in edits)
    list_box = _box(b"edts", _box(b"elst", struct.pack(">II", 0, len(edits)) + entries))
    boxes = []
    for name, start, end in _boxes(data, moov, moov_end):
        if name == b"trak":
            inner = [(n, data[s:e]) for n, s, e in _boxes(data, start + 8, end) if n != b"edts"]
            boxes.append(_box(b"trak", b"".join(b + (list_box if n == b"tkhd" else b"") for n, b in inner)))
        else:
            boxes.append(data[start:end])
    path.write_bytes(data[: moov - 8] + _box(b"moov", b"".join(boxes)))
    return path


def drop_samples(source: Path, path: Path, which: Collection[int]) -> Path:
    """An MJPEG MP4 in which these samples are empty; their bytes go to the one before, behind its end."""
    data = bytearray(source.read_bytes())
    start, _ = _find(bytes(data), b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsz")
    (count,) = struct.unpack(">I", data[start + 8 : start + 12])
    sizes = list(struct.unpack(f">{count}I", data[start + 12 : start + 12 + 4 * count]))
    for k in sorted(which, reverse=True):
        sizes[k - 1], sizes[k] = sizes[k - 1] + sizes[k], 0
    data[start + 12 : start + 12 + 4 * count] = struct.pack(f">{count}I", *sizes)
    path.write_bytes(data)
    return path


def drop_chunks(source: Path, path: Path, which: Collection[int]) -> Path:
    """An AVI in which these frames are chunks without data, as capture programs write a dropped frame."""
    data = source.read_bytes()
    movi = data.index(b"movi")
    place, end = movi + 4, movi + struct.unpack("<I", data[movi - 4 : movi])[0]
    output, index, k = bytearray(data[:place]), b"", 0
    while place < end:
        name, size = struct.unpack("<4sI", data[place : place + 8])
        content = data[place + 8 : place + 8 + size + size % 2]
        place += 8 + len(content)
        if name == b"00dc":
            if k in which:
                size, content = 0, b""
            index += name + struct.pack("<III", 0x10, len(output) - movi, size)
            k += 1
        output += name + struct.pack("<I", size) + content
    output[movi - 4 : movi] = struct.pack("<I", len(output) - movi)
    output += b"idx1" + struct.pack("<I", len(index)) + index
    output[4:8] = struct.pack("<I", len(output) - 8)
    path.write_bytes(output)
    return path
