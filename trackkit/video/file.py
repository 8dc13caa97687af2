"""A video file, read through FFmpeg: times, colours, orientation, and what is damaged or missing."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.filter import Graph
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from trackkit.core.arrays import Image
from trackkit.core.errors import VideoDecodeError, VideoOpenError
from trackkit.core.frames import VideoInfo
from trackkit.video.color import coding_of
from trackkit.video.source import DEFAULT_FPS, MAX_SIDE
from trackkit.video.timeline import AHEAD, MISSING, Placed, Rate, Timeline

# FFmpeg opens these, but they are lists of other files, or any text at all (tty).
_NOT_VIDEOS = frozenset({"concat", "dash", "hls", "imf", "sdp", "tty"})
_STATE_LENGTH = frozenset({"asf", "flv", "matroska,webm"})  # in seconds, in the header of the file
_DURATION = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
_UPRIGHT = 1.0  # degrees off a quarter turn that are none
_SIDE_DATA_TYPES = range(64)  # FFmpeg 8 has half as many
_LEAD_IN = 2000  # packets without any frame, after which a stream counts as undecodable
_DELAY = 256  # packets, more than any decoder takes before it gives the frame of the first
_TAIL = 3  # frames that may be missing at the end without a word but the count
_HELD_BYTES = 1 << 28  # of pictures that are held back until their time is settled

_UNDECODED = "packets that could not be decoded"
_DAMAGED = "frames with damaged parts"


@dataclass(frozen=True, slots=True)
class _Turn:
    """How the decoded picture becomes the one that is shown: first transposed, then mirrored."""

    transpose: bool
    mirror: int | None  # OpenCV's flip code
    note: str | None  # what was done in place of a turn by another angle

    @classmethod
    def of(cls, matrix: bytes | None) -> _Turn:
        """From the display matrix, ``x' = a x + c y, y' = b x + d y``: quarter turns and mirrors."""
        a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist() if matrix else (1, 0, 0, 0, 1)
        transpose = abs(b) > abs(a)
        mirrored = (c < 0, b < 0) if transpose else (a < 0, d < 0)
        flip_codes = {(False, False): None, (True, False): 1, (False, True): 0, (True, True): -1}
        angle, note = math.degrees(math.atan2(b, a)), None
        if abs(angle - 90 * round(angle / 90)) > _UPRIGHT:
            note = f"frames to be turned by {angle % 360:.0f} degrees, shown at the nearest quarter turn"
        return cls(transpose, flip_codes[mirrored], note)

    def size(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Width and height as shown."""
        return (frame.height, frame.width) if self.transpose else (frame.width, frame.height)

    def __call__(self, image: Image) -> Image:
        if self.transpose:
            image = cv2.transpose(image)
        return image if self.mirror is None else cv2.flip(image, self.mirror)


class FileSource:
    """A file that FFmpeg reads. Damage ends up in ``truncated`` and ``warnings``.

    Raises:
        VideoOpenError: No frame can be decoded.
    """

    is_folder = False

    def __init__(self, path: str) -> None:
        self.truncated: str | None = None
        self._path = path
        self._container = _open_container(path)
        self._stream = stream = _pick_stream(self._container, path)
        self._kind: str = self._container.format.name
        self._tick = float(stream.time_base or Fraction(1, 90_000))
        self._rate = self._mean_rate()
        self._claim, self._claim_is_of_all = self._claimed_end()
        self._notes: dict[str, tuple[int, float]] = {}  # what: how often, and when first
        self._cause: str | None = None  # of breaking off
        # How far demultiplexing is, and by how many seconds it missed the stated end.
        self._packets, self._discarded, self._failed, self._missed = 0, 0, 0, math.inf
        self._began: float | None = None  # on the file's clock, in seconds
        self._position: int | None = None  # in the file, behind the last packet
        # How far decoding is: packets that are to be shown, when they say so, and the last that was.
        self._numbers: dict[int | None, int] = {}
        self._to_show, self._shown = 0, 0
        # How far we are, on our clock.
        self._frames, self._last, self._end, self._gap = 0, 0.0, 0.0, 0.0
        self._found_rate = Rate()
        self._interlaced = False
        self._to_rgb = VideoReformatter()
        self._decoded = self._decode()
        first = next(self._decoded, None)
        if first is None:
            reason = "; ".join(self.warnings) or self._cause or "the file ends before the first one"
            self.close()
            msg = f"{path}: no frame can be decoded ({reason})"
            raise VideoOpenError(msg)
        self._first = first
        self._matrices = _Matrices()
        self._turn, self._rotation = _Turn.of(self._matrices.of(first)), first.rotation
        self.info = self._claimed_info(*self._turn.size(first))

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line for each kind of damage: how often, and near which time it was first met."""
        return tuple(f"{what}: {n}, the first near {at:.2f} s" for what, (n, at) in self._notes.items())

    def pictures(self) -> Iterator[tuple[float, Callable[[], Image]]]:
        """For every frame its time and a function that converts it."""
        info = self.info
        for frame, time_s in self._timed():
            # To look costs time, and the turn changes at key frames; or so that the rotation tells.
            if frame.key_frame or frame.rotation != self._rotation:
                self._turn, self._rotation = _Turn.of(self._matrices.of(frame)), frame.rotation
            turn = self._turn
            width, height = turn.size(frame)
            if (width, height) != (info.width, info.height):
                change = f"from {info.width} x {info.height} to {width} x {height}"
                self._cause = f"the picture size changes {change} pixels"
                break
            self._pass(frame, time_s)
            yield time_s, partial(self._image, frame, turn, time_s)
        else:
            self._judge()
        if self._cause is not None:
            stated = f" of {info.num_frames} ({info.duration_s:.2f} s)" if info.num_frames else ""
            self.truncated = f"{self._cause} after {self._frames} frames ({self._end:.2f} s){stated}"
        fps = info.fps if self._failed else self._found_rate.fps(info.fps)
        self.info = replace(info, fps=fps, num_frames=self._frames, duration_s=self._end)

    def times(self) -> Iterator[float]:
        """The times at which frames are to be decoded: about those at which they are shown."""
        timeline = Timeline(1 / (self._rate * self._tick))
        with _open_container(self._path) as container, contextlib.suppress(av.FFmpegError):
            stream = _pick_stream(container, self._path)
            for packet in container.demux(stream):
                if packet.size and not packet.is_discard and not _is_hidden(packet, stream):
                    yield from (placed.ticks * self._tick for placed in timeline.add(packet.dts))
        yield from (placed.ticks * self._tick for placed in timeline.finish())

    def close(self) -> None:
        """Let the file go. Nobody may be drawing pictures."""
        self._decoded.close()
        self._container.close()

    def _demux(self) -> Iterator[av.Packet[VideoStream] | None]:
        """Packets of the stream, then None: the decoder's sign to give what it holds back."""
        streams = () if self._claim_is_of_all else (self._stream,)  # none named: all
        held = None
        try:
            for packet in self._container.demux(*streams):
                if not self._follow(packet) or not packet.size:  # an empty one would end the decoding
                    continue
                if held is not None:
                    yield held
                # A packet cut by the end of the file would cost the decoder whole frames: keep it away.
                held = packet if packet.is_corrupt else None
                if held is None:
                    yield packet
        except av.FFmpegError as error:
            self._cause = f"the file cannot be read on ({error.strerror})"
        if held is not None:
            self._cause = self._cause or "the file is cut"
        yield None

    def _follow(self, packet: av.Packet[VideoStream]) -> bool:
        """Keep account of how far the file goes. Whether the packet is of our stream."""
        ours: bool = packet.stream_index == self._stream.index
        began = packet.pts if packet.pts is not None else packet.dts
        if began is not None and self._claim is not None and (ours or self._claim_is_of_all):
            # What is stated is the time of the end, or the length.
            end = float((began + (packet.duration or 0)) * packet.time_base)
            if self._began is None:
                self._began = float((began if packet.dts is None else packet.dts) * packet.time_base)
            self._missed = min(self._missed, abs(self._claim - end), abs(self._claim + self._began - end))
            if packet.pts is None and self._kind == "flv":  # withheld by FFmpeg, it may be that of the end
                self._missed = 0.0
        if ours and packet.size and not packet.is_discard:
            self._to_show += 1
            self._numbers[began] = self._to_show
            if len(self._numbers) > _DELAY:
                del self._numbers[next(iter(self._numbers))]
        if ours and packet.pos is not None:
            self._position = packet.pos + packet.size + packet.size % 2
        return ours

    def _decode(self) -> Generator[av.VideoFrame]:
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.options = {"max_pixels": str(MAX_SIDE**2)}
        shown = False
        for packet in self._demux():
            if packet is not None:
                self._packets += 1
                self._discarded += packet.is_discard
            try:
                frames = self._stream.decode(packet)
            except av.FFmpegError as error:
                self._note(f"{_UNDECODED} ({error.strerror})")
                self._failed += 1
                frames = []
            for frame in frames:
                # One that says nothing may be of the packet just read.
                began = frame.pts if frame.pts is not None else frame.dts
                self._shown = max(self._shown, self._numbers.get(began, self._to_show))
                yield frame
            shown = shown or bool(frames)
            if not shown and self._packets >= _LEAD_IN:
                return

    def _timed(self) -> Iterator[tuple[av.VideoFrame, float]]:
        """Every frame with its time on our clock; one whose time is odd is held back until it is settled."""
        size = sum(plane.buffer_size for plane in self._first.planes)
        timeline = Timeline(1 / (self._rate * self._tick), max(6, min(AHEAD, _HELD_BYTES // size)))
        held: deque[av.VideoFrame] = deque()

        def settle(all_placed: Iterator[Placed]) -> Iterator[tuple[av.VideoFrame, float]]:
            for placed in all_placed:
                time_s = placed.ticks * self._tick
                if placed.oddity is not None and (placed.oddity != MISSING or not avi):
                    self._note(placed.oddity, at=time_s)
                yield held.popleft(), time_s

        # AVI knows decoding times only; FFmpeg's guess at the others is wrong for H.264.
        avi = self._kind == "avi"
        for frame in chain((self._first,), self._decoded):
            held.append(frame)
            yield from settle(timeline.add(frame.dts if avi else frame.pts))
        yield from settle(timeline.finish())

    def _pass(self, frame: av.VideoFrame, time_s: float) -> None:
        """Keep account of how far we are."""
        if frame.is_corrupt:
            self._note(_DAMAGED, at=time_s)
        self._interlaced = self._interlaced or frame.interlaced_frame
        self._frames += 1
        self._gap = max(self._gap, time_s - self._last)
        self._last = time_s
        self._found_rate.add(time_s)
        # One tick is what FFmpeg says where it does not know; in AVI it is the truth.
        known = frame.duration > 1 or self._kind == "avi"
        self._end = time_s + (frame.duration * self._tick if known else 1 / self._found_rate.fps(self._rate))

    def _image(self, frame: av.VideoFrame, turn: _Turn, time_s: float) -> Image:
        coding = coding_of(frame)
        for note in (*coding.notes, turn.note):
            if note is not None:
                self._note(note, at=time_s)
        try:
            return turn(coding.image(frame, self._to_rgb))
        except (av.FFmpegError, OSError) as error:
            msg = (
                f"{self._path}: FFmpeg cannot make RGB of its pixels, {frame.format.name} ({error.strerror})"
                "; convert it to H.264 first"
            )
            raise VideoDecodeError(msg) from error

    def _note(self, what: str, times: int = 1, *, at: float | None = None) -> None:
        n, first = self._notes.get(what, (0, self._end if at is None else at))
        self._notes[what] = (n + times, first)

    def _mean_rate(self) -> float:
        stream = self._stream
        rates = [stream.average_rate, stream.guessed_rate]
        if self._container.format.flags & av.format.Flags.no_timestamps.value:
            rates.reverse()  # a raw stream's average is made up; the codec's header may know
        # Where nothing states a rate, the unit of time is taken for one (WebM from a browser).
        unit = None if self._kind == "avi" or stream.frames else 1 / Fraction(stream.time_base or 1)
        return next((float(rate) for rate in rates if rate and (rate < 1000 or rate != unit)), DEFAULT_FPS)

    def _claimed_end(self) -> tuple[float | None, bool]:
        """When the header says that the file ends (its clock), and whether that includes other streams.

        None where no header says it: the length of other containers is an estimate of FFmpeg.
        """
        stream, total = self._stream, self._container.duration
        if "mov" in self._kind:
            # The index says more, with edit lists. Only a file in fragments may have lost the last of them.
            if stream.frames or not stream.duration:
                return None, False
            return (max(0, stream.start_time or 0) + stream.duration) * self._tick, False
        if self._kind == "avi" and stream.frames:  # stream.duration is adapted to the size of the file
            return stream.frames * self._tick, False
        if self._kind not in _STATE_LENGTH or not total:
            return None, False
        tag = _DURATION.match(next((v for k, v in stream.metadata.items() if k.startswith("DURATION")), ""))
        if tag is None:
            return total / av.time_base, True
        hours, minutes, seconds = tag.groups()
        return min(total / av.time_base, int(hours) * 3600 + int(minutes) * 60 + float(seconds)), False

    def _claimed_info(self, width: int, height: int) -> VideoInfo:
        stream, total = self._stream, self._container.duration
        if self._claim is not None:
            duration = self._claim - max(0, stream.start_time or 0) * self._tick
        else:
            duration = stream.duration * self._tick if stream.duration else (total or 0) / av.time_base
        frames = len(stream.index_entries) if "mov" in self._kind else stream.frames
        return VideoInfo(
            width, height, self._rate, frames or round(duration * self._rate), max(0.0, duration)
        )

    def _judge(self) -> None:
        """Whether all was read that the file states, once nothing more comes."""
        # FFmpeg's threads do not report every failure, so count. Not lost are the packets of VP8 that are not
        # for showing, and the second of two that hold one field each of an interlaced frame.
        lost = self._packets - self._discarded - self._failed - self._frames
        if lost > 0 and not self._interlaced and self._stream.codec_context.name != "vp8":
            self._failed += lost
            self._note(_UNDECODED, lost)
        if self._cause is not None:
            return
        # The index of an MP4 lists what is to come, edit lists applied, so it is taken at its word. A frame
        # that was dropped when the file was made is a sample without data.
        if "mov" in self._kind and self._packets < sum(1 for e in self._stream.index_entries if e.size):
            self._cause = "the file is cut"
        elif self._to_show - self._shown > _TAIL:
            self._cause = "nothing can be decoded any more"
        elif self._claim is not None:
            self._cause = self._ends_before(self._claim)

    def _ends_before(self, claim: float) -> str | None:
        """Whether the file ends before the header says, and why."""
        # No next frame ends the last one: it may stand for as long as any before it did, and a bit.
        slack = max(0.1, 2 * self._gap)
        dropped = 0.0
        if self._kind == "avi" and self._position is not None and self._missed > slack:
            dropped = _dropped_at(self._position, self._path, self._stream.index) * self._tick
        if self._missed > slack + dropped:
            return "the file ends"
        # A long pause or a wrong time says nothing of the end, but bytes that are missing do; unless they are
        # those of an index behind the last frame.
        left = self._missed if self._claim_is_of_all else abs(claim - (self._began or 0.0) - self._end)
        if left > 0.1 + 2 / self._rate and Path(self._path).stat().st_size < (_stated_size(self._path) or 0):
            return "the file is cut"
        return None


def _stated_size(path: str) -> int | None:
    """Bytes that a Matroska file or an AVI should have; None where it does not say."""
    with Path(path).open("rb") as file:
        head = file.read(4096)
    if head.startswith(b"RIFF"):
        return 8 + int.from_bytes(head[4:8], "little")
    if not head.startswith(b"\x1a\x45\xdf\xa3"):
        return None
    size, start = _ebml_size(head, 4)
    segment = start + (size or 0)
    if not head.startswith(b"\x18\x53\x80\x67", segment):
        return None
    size, start = _ebml_size(head, segment + 4)
    return None if size is None else start + size


def _ebml_size(data: bytes, at: int) -> tuple[int | None, int]:
    """The size that an element states (RFC 8794 4), None for an unknown one, and where its content begins."""
    length = 9 - data[at].bit_length()
    unknown = (1 << 7 * length) - 1
    size = int.from_bytes(data[at : at + length], "big") & unknown
    return None if size == unknown else size, at + length


def _is_hidden(packet: av.Packet[VideoStream], stream: VideoStream) -> bool:
    """Whether a packet of VP8 is not for showing (show_frame, RFC 6386 9.1)."""
    return stream.codec_context.name in {"vp8", "libvpx"} and not memoryview(packet)[0] & 0x10


def _dropped_at(place: int, path: str, stream: int) -> int:
    """How many frames that were dropped an AVI has from this place on: chunks without data."""
    dropped = 0
    with Path(path).open("rb") as file:
        file.seek(place)
        while len(head := file.read(8)) == 8:
            name, size = head[:4], int.from_bytes(head[4:], "little")
            dropped += not size and name[:3] == b"%02dd" % stream
            file.seek(4 if name in (b"RIFF", b"LIST") else size + size % 2, os.SEEK_CUR)
    return dropped


def _open_container(path: str) -> InputContainer:
    # "file:" keeps FFmpeg from taking the path for an address; the whitelist keeps the file from naming one.
    options = {"protocol_whitelist": "file", "max_pixels": str(MAX_SIDE**2)}
    try:
        container: InputContainer = av.open(f"file:{path}", options=options, metadata_errors="replace")
    except av.FFmpegError as error:
        msg = f"{path}: FFmpeg cannot read this as a video ({error.strerror})"
        if isinstance(error, av.error.InvalidDataError) and _begins_as_mp4(path):
            msg += "; it begins as an MP4, so its end, where the index is, may have been cut off"
        raise VideoOpenError(msg) from error
    kind = container.format.name
    if kind in _NOT_VIDEOS:
        container.close()
        msg = f"{path}: is text or a playlist ({kind}), not a video; expected the video file itself"
        raise VideoOpenError(msg)
    return container


class _Matrices:
    """Reads the display matrix of frames: nine 32-bit integers.

    FFmpeg takes them from the container, the stream, or the EXIF of a still. PyAV knows not all types of side
    data, and raises for EXIF or a view of MV-HEVC. And a frame whose side data was looked at stays in memory
    until the garbage collector comes. So this looks at a copy of one corner, without such types.
    """

    def __init__(self) -> None:
        self._kind: tuple[object, ...] | None = None
        self._graph = Graph()

    def of(self, frame: av.VideoFrame) -> bytes | None:
        """The matrix; None if the frame has none."""
        kind = frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range
        try:
            if kind != self._kind:
                self._kind, self._graph = kind, self._corner(frame)
            self._graph.push(frame)
        except av.FFmpegError:  # pixels of which it can make nothing, which is said when they are converted
            return None
        matrix = self._graph.vpull().side_data.get("DISPLAYMATRIX")
        return bytes(matrix) if isinstance(matrix, SideData) else None

    @staticmethod
    def _corner(frame: av.VideoFrame) -> Graph:
        graph = Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
        )
        unknown = set(_SIDE_DATA_TYPES) - {known.value for known in SideDataType}
        without = [graph.add("sidedata", f"mode=delete:type={number}") for number in sorted(unknown)]
        corner = graph.add("crop", "w=min(16\\,iw):h=min(16\\,ih):exact=1"), graph.add("copy")
        graph.link_nodes(source, *corner, *without, graph.add("buffersink")).configure(auto_buffer=False)
        return graph


def _begins_as_mp4(path: str) -> bool:
    with Path(path).open("rb") as file:
        return file.read(8)[4:] == b"ftyp"


def _pick_stream(container: InputContainer, path: str) -> VideoStream:
    """The video stream with the largest picture; a cover picture is none."""
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        kinds = " and ".join(sorted({s.type for s in container.streams})) or "no"
        container.close()
        msg = f"{path}: has no video stream, only {kinds}; expected a video"
        raise VideoOpenError(msg)
    streams = [s for s in streams if s.codec_context is not None]
    if not streams:
        container.close()
        msg = f"{path}: FFmpeg has no decoder for its video stream; convert it to H.264 first"
        raise VideoOpenError(msg)
    stream = max(streams, key=lambda s: s.width * s.height)
    if max(stream.width, stream.height) > MAX_SIDE:
        size = f"{stream.width} x {stream.height}"
        container.close()
        msg = f"{path}: its pictures are {size} pixels; at most {MAX_SIDE} a side can be read"
        raise VideoOpenError(msg)
    return stream
