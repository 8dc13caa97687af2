"""Reading videos: frames with their source index and presentation time, decoded ahead in one thread.

What is promised:

- **Index**: the 0-based position among the frames that can be decoded, in presentation order.
- **Time**: seconds from the first frame, strictly increasing. A frame that states no time, or one not later than
  the frame before, is put one mean frame interval after that frame; ``warnings`` counts such frames.
- **Pixels**: those of the source (no scaling by the sample aspect ratio), turned as a player turns them, made RGB
  by the matrix and range that the stream states (BT.601 and limited range where it states none, as FFmpeg does).
- **Nothing goes missing silently**: ``truncated`` and ``warnings`` tell. Only a stream that states no length
  anywhere (MPEG-TS, GIF, raw H.264) and is cut between two frames cannot be told from a whole one.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter
from types import TracebackType
from typing import Any, Protocol, Self

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from PIL import Image as PilImage
from PIL import ImageOps

from trackkit.errors import ConfigError, VideoDecodeError, VideoOpenError
from trackkit.structures import Frame, Image, VideoInfo

MAX_SIDE = 16384  # pixels; a header that states more is damaged, or a memory bomb
FOLDER_FPS = 30.0  # rate of a folder of images where the caller gives none
IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})

_QUEUE_BYTES = 1 << 29  # large frames are read ahead by fewer
_LEAD_IN = 2000  # packets without any frame before a stream counts as undecodable
# FFmpeg opens these, but they are lists that point elsewhere (tty: any text), not videos.
_NOT_VIDEOS = frozenset({"concat", "dash", "hls", "imf", "sdp", "tty"})
_HIDDEN_FRAMES = frozenset({"vp8", "vp9"})  # codecs with packets that are not meant to be shown


def probe(path: str | Path) -> VideoInfo:
    """Size, rate and claimed length of a video; decodes its first frame only.

    Raises:
        VideoOpenError: As :class:`VideoReader`.
    """
    with VideoReader(path) as reader:
        return reader.info


class VideoReader:
    """A video file or a folder of images, read once from the first frame to the last.

    A context manager and an iterable of :class:`~trackkit.structures.Frame`. The decoding thread lives while
    frames are drawn; it ends with the iteration, when the iterator is dropped, or at :meth:`close`.

    A folder holds one image per frame, all of one size, in the order of the numbers in their names (``img2``
    before ``img10``).

    Args:
        path: A local file that FFmpeg reads, or a folder. Never an address: ``http:``, ``concat:`` and the like
            are taken as names of files, and what a file points to is not followed.
        fps: For a file, frames to keep per second, by time: the first frame at or after each tick ``k / fps``,
            where a frame counts as "at" from a quarter of a frame interval before the tick, so that rounded
            times do not skip frames. No frame comes twice; None keeps all. For a folder it is the rate of the
            images themselves (default 30), and all are kept.
        read_ahead: Frames decoded ahead of the consumer; fewer where they would take more than 512 MiB.

    Attributes:
        process_fps: Mean rate of the frames kept, frames per second, never above the source's.
        expected_frames: Frames that will be kept, by the container's claim; 0 where it makes none.
        decode_seconds: Seconds the thread spent decoding and converting, without waiting for the consumer.

    Raises:
        ConfigError: ``fps`` or ``read_ahead`` cannot work.
        VideoOpenError: Missing, empty, no video, audio only, without a decodable frame, or absurdly large.
        VideoDecodeError: While iterating: an image of a folder is broken or differs in size; the reader was
            read before. Damage in a file does not raise, see :attr:`truncated`.
    """

    def __init__(self, path: str | Path, *, fps: float | None = None, read_ahead: int = 8) -> None:
        if fps is not None and not 0 < fps < math.inf:
            msg = f"fps is {fps!r}: expected a number above 0, or None for every frame"
            raise ConfigError(msg)
        if read_ahead < 1:
            msg = f"read_ahead is {read_ahead!r}: expected a whole number from 1 up"
            raise ConfigError(msg)
        self.path = str(path)
        self.decode_seconds = 0.0
        self._source: _Source = _open(self.path, fps)
        info = self._source.info
        self._fps = None if isinstance(self._source, _Folder) else fps
        self.process_fps = min(self._fps or math.inf, info.fps)
        kept = info.num_frames if self._fps is None else math.ceil(info.duration_s * self._fps - 0.25)
        self.expected_frames = min(info.num_frames, kept)
        slots = max(1, min(read_ahead, _QUEUE_BYTES // (info.width * info.height * 3)))
        # A slot is taken for every frame put into the queue and given back for every frame drawn from it, so
        # that the thread waits in one place only, and close() wakes it there.
        self._slots = threading.Semaphore(slots)
        self._queue: SimpleQueue[Frame | BaseException | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def info(self) -> VideoInfo:
        """The container's claims; once all frames were read, what was found."""
        return self._source.info

    @property
    def truncated(self) -> str | None:
        """Why reading broke off before the end that the file states, None for a whole video; final at the end."""
        return self._source.truncated

    @property
    def warnings(self) -> tuple[str, ...]:
        """What went wrong without ending the reading, one line for each kind; final at the end."""
        return self._source.warnings

    def __iter__(self) -> Iterator[Frame]:
        """The frames; can be drawn once.

        Raises:
            VideoDecodeError: As the class says.
        """
        if self._closed or self._thread is not None:
            msg = f"{self.path}: a VideoReader can be read once only, and this one was: open the video again"
            raise VideoDecodeError(msg)
        self._thread = threading.Thread(target=self._work, name=f"decode {self.path}", daemon=True)
        self._thread.start()
        try:
            while isinstance(item := self._queue.get(), Frame):
                self._slots.release()
                yield item
            if item is not None:
                raise item
        finally:
            self.close()

    def close(self) -> None:
        """End the thread and close the file. Safe to call at any time, and twice."""
        self._closed = True
        if self._thread is not None:
            self._slots.release()
            self._thread.join()
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _work(self) -> None:
        try:
            self._decode()
        except BaseException as error:  # noqa: BLE001 - nothing is swallowed: the consumer raises it
            self._queue.put(error)
        else:
            self._queue.put(None)

    def _decode(self) -> None:
        due = _Ticks(self._fps, self.info.fps)
        started = perf_counter()
        for idx, (time_s, load) in enumerate(self._source.pictures()):
            if self._closed:
                return
            if not due(time_s):
                continue
            frame = Frame(load(), idx, time_s)
            self.decode_seconds += perf_counter() - started
            self._slots.acquire()
            started = perf_counter()
            self._queue.put(frame)
        self.decode_seconds += perf_counter() - started


class _Ticks:
    """Says of each time, in order, whether its frame is the first at or after the next tick ``k / fps``."""

    def __init__(self, fps: float | None, source_fps: float) -> None:
        self._fps = fps
        # In ticks: a quarter of the shorter of the two intervals. Containers round times (Matroska to 1 ms).
        self._slack = 0.25 * min(1.0, fps / source_fps) if fps else 0.0
        self._next = 0

    def __call__(self, time_s: float) -> bool:
        if self._fps is None:
            return True
        tick = math.floor(time_s * self._fps + self._slack)
        due = tick >= self._next
        if due:
            self._next = tick + 1
        return due


class _Source(Protocol):
    """Where pictures come from; the fields are final when ``pictures`` has ended."""

    info: VideoInfo
    truncated: str | None

    @property
    def warnings(self) -> tuple[str, ...]: ...

    def pictures(self) -> Iterator[tuple[float, Callable[[], Image]]]:
        """Time and a function that gives the RGB image, for every frame."""

    def close(self) -> None: ...


def _open(path: str, fps: float | None) -> _Source:
    try:
        stat = Path(path).stat()
    except (OSError, ValueError) as error:
        msg = f"{path}: {getattr(error, 'strerror', None) or error}; expected a local video file or a folder of images"
        raise VideoOpenError(msg) from error
    if Path(path).is_dir():
        return _Folder(path, fps or FOLDER_FPS)
    if not Path(path).is_file():
        msg = f"{path}: is a device or pipe; expected a video file or a folder of images"
        raise VideoOpenError(msg)
    if not stat.st_size:
        msg = f"{path}: is empty (0 bytes); was it copied or downloaded whole?"
        raise VideoOpenError(msg)
    return _File(path)


def _check_size(path: str, width: int, height: int) -> None:
    if max(width, height) > MAX_SIDE:
        msg = f"{path}: pictures of {width} x {height} pixels; at most {MAX_SIDE} a side can be read"
        raise VideoOpenError(msg)


class _Folder:
    """Numbered images."""

    truncated: str | None = None
    warnings: tuple[str, ...] = ()

    def __init__(self, path: str, fps: float) -> None:
        images = (file for file in Path(path).iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
        self._files = sorted((file for file in images if not file.name.startswith(".")), key=_by_number)
        if not self._files:
            endings = ", ".join(sorted(IMAGE_SUFFIXES))
            msg = f"{path}: a folder without images; expected files ending in {endings}"
            raise VideoOpenError(msg)
        try:
            height, width, _ = _read_image(self._files[0]).shape
        except VideoDecodeError as error:
            raise VideoOpenError(str(error)) from error
        count = len(self._files)
        self.info = VideoInfo(width, height, fps, count, count / fps)

    def pictures(self) -> Iterator[tuple[float, Callable[[], Image]]]:
        for idx, file in enumerate(self._files):
            yield idx / self.info.fps, partial(self._load, file)

    def _load(self, file: Path) -> Image:
        image = _read_image(file)
        height, width, _ = image.shape
        if (width, height) != (self.info.width, self.info.height):
            first = f"{self._files[0].name} is {self.info.width} x {self.info.height}"
            msg = f"{file}: the image is {width} x {height}, but {first}; all must have one size"
            raise VideoDecodeError(msg)
        return image

    def close(self) -> None:
        """Nothing is held open."""


def _by_number(file: Path) -> tuple[list[str | int], str]:
    # Texts and numbers alternate, beginning with a text, so that like is compared with like.
    parts = re.split(r"([0-9]+)", file.name)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], file.name


def _read_image(file: Path) -> Image:
    try:
        with PilImage.open(file) as image:
            _check_size(str(file), *image.size)
            turned = ImageOps.exif_transpose(image)
            if turned.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip and not scale
                grey = (np.asarray(turned) >> 8).astype(np.uint8)
                return np.repeat(grey[:, :, None], 3, axis=2)
            return np.array(turned.convert("RGB"))
    except (OSError, SyntaxError, ValueError, PilImage.DecompressionBombError) as error:
        msg = f"{file}: the image cannot be read ({error})"
        raise VideoDecodeError(msg) from error


class _File:
    """A file that FFmpeg reads."""

    def __init__(self, path: str) -> None:
        self.truncated: str | None = None
        self._path = path
        self._rgb = VideoReformatter()
        self._container = _open_container(path)
        self._stream = _pick_stream(self._container, path)
        self._kind: str = self._container.format.name
        self._tick = float(self._stream.time_base)
        self._claim = self._claimed_end()
        self._notes = _Notes()
        # What came out of the file: packets of the stream, and when the last of them ends on the file's clock.
        self._packets = self._discarded = 0
        self._packets_end = self._any_end = self._longest = 0.0
        # What came out of the decoder: frames, and where time 0 lies on the file's clock, in ticks.
        self._frames = 0
        self._origin: int | None = None
        self._end = 0.0
        rate = self._rate()
        self.info = VideoInfo(0, 0, rate, 0, 0.0)
        self._decoded = self._decode()
        first = next(self._decoded, None)
        if first is None:
            reason = self.truncated or "; ".join(self.warnings) or "the stream holds none"
            self.close()
            msg = f"{path}: no frame can be decoded ({reason})"
            raise VideoOpenError(msg)
        self._first = first
        self._turn = _orientation(first)
        width, height = self._size(first)
        _check_size(path, width, height)
        self.info = self._claimed_info(width, height, rate)
