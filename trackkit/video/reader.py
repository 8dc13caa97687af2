"""Reading videos: frames with their source index and presentation time, decoded ahead in one thread.

What is promised:

- **Index**: the 0-based position among the frames that can be decoded, in presentation order.
- **Time**: seconds from the first frame, strictly increasing. Times that rise are those of the file, pauses
  of any length included. A frame whose time is absent or out of order (too early, too late, the same twice)
  is put evenly between its neighbours, or one usual interval after the last; no other frame moves. Where the
  clock jumps back and goes on from there, as in files that were joined, it starts anew: one usual interval
  after the frame before, and the spacing stays. What follows tells which it is (16 frames, or fewer very
  large ones): up to three frames in a row are out of order, more are a clock. So a last frame that is late
  keeps its time. ``warnings`` counts each kind.
- **Pixels**: those of the source (no scaling by the sample aspect ratio), turned as a player turns them, made
  RGB by the matrix and range that the stream states (where it states none: BT.601, limited range), for an SDR
  screen: HDR and wide gamut are mapped to BT.709 (:mod:`trackkit.video.color`), and ``warnings`` says so.
- **Nothing goes missing silently**: ``truncated`` and ``warnings`` tell. Only a stream that states no length
  anywhere (MPEG-TS, GIF, raw H.264) and is cut between two frames cannot be told from a whole one.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter
from types import TracebackType
from typing import Self

from trackkit.core.errors import ConfigError, VideoDecodeError, VideoOpenError
from trackkit.core.frames import Frame, VideoInfo
from trackkit.video.file import FileSource
from trackkit.video.folder import FolderSource
from trackkit.video.listing import IMAGE_SUFFIXES
from trackkit.video.picture import is_still
from trackkit.video.source import VideoSource
from trackkit.video.timeline import Rate, Steps

_QUEUE_BYTES = 1 << 29


def probe(path: str | Path) -> VideoInfo:
    """Size, rate and claimed length of a video; decodes its first frame only.

    Raises:
        VideoOpenError: As :class:`VideoReader`.
    """
    with VideoReader(path) as reader:
        return reader.info


def survey(path: str | Path, *, fps: float | None = None) -> tuple[VideoInfo, int]:
    """What a video holds, whatever it claims; reads the file to its end, but decodes its first frame only.

    Frames that turn out to be damaged are counted.

    Returns:
        Size, rate and length; and how many frames a :class:`VideoReader` keeps at this ``fps``.

    Raises:
        VideoOpenError: As :class:`VideoReader`.
    """
    source = _open(str(path), fps)
    try:
        rate, due, kept, end = Rate(), Ticks(None if source.is_folder else fps), 0, 0.0
        count = 0
        for time_s in source.times():
            rate.add(time_s)
            kept += due(time_s)
            count, end = count + 1, time_s
        mean = rate.fps(source.info.fps)
        return replace(source.info, fps=mean, num_frames=count, duration_s=end + 1 / mean), kept
    finally:
        source.close()


def read_frames(path: str | Path, indices: Collection[int]) -> Iterator[Frame]:
    """Some frames of a video, in the order of their indices, whatever order these are given in.

    Decodes from the first frame on, since an index counts frames that can be decoded; converts to RGB only
    what is asked for, and stops after it.

    Raises:
        VideoOpenError: As :class:`VideoReader`.
        VideoDecodeError: The video has no such frame, or an image of a folder is broken.
    """
    missing = set(indices)
    source = _open(str(path), None)
    try:
        for idx, (time_s, load) in enumerate(source.pictures() if missing else ()):
            if idx in missing:
                missing.remove(idx)
                yield Frame(load(), idx, time_s)
            if not missing:
                return
    finally:
        source.close()
    if missing:
        msg = f"{path}: has no frame {min(missing)}; expected an index from 0 to {source.info.num_frames - 1}"
        raise VideoDecodeError(msg)


class VideoReader:
    """A video file or a folder of images, read once from the first frame to the last.

    A context manager and an iterable of :class:`~trackkit.core.frames.Frame`. The decoding thread lives while
    frames are drawn: it ends with the iteration, when the iterator is dropped, or at :meth:`close`.

    A folder holds one image per frame (every page of a TIFF is one), all of one size, in the order of the
    numbers in their names (``img2`` before ``img10``); see :class:`~trackkit.video.folder.FolderSource`.

    Args:
        path: A local file that FFmpeg reads, an image, or a folder. Never an address: ``http:``, ``concat:``
            and the like are taken as names of files.
        fps: For a file, frames to keep per second, by time: the first frame at or after each tick
            ``k / fps``, where "at" begins a quarter of the usual frame interval before the tick, so that
            rounded times skip nothing. No frame comes twice; None keeps all. For a folder, the rate of its
            images (default 30), and all are kept.
        read_ahead: Frames decoded ahead of the consumer; fewer where they would take more than 512 MiB.

    Attributes:
        path: The path as given.
        expected_frames: Frames that will be kept, by the container's claim; 0 where it makes none.
        decode_seconds: Seconds the thread spent decoding and converting, without waiting for the consumer.

    Raises:
        ConfigError: ``fps`` or ``read_ahead`` cannot work.
        VideoOpenError: Missing, empty, no video, audio only, without a decodable frame, or absurdly large.
        VideoDecodeError: While iterating: an image of a folder is broken or differs in size, FFmpeg cannot
            make RGB of the pixels, or the reader was read before. Damage in a file does not raise, see
            :attr:`truncated`.
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
        self._source = _open(self.path, fps)
        info = self._source.info
        self._fps = None if self._source.is_folder else fps
        self._kept = Rate()
        kept = info.num_frames if self._fps is None else math.ceil(info.duration_s * self._fps - 0.25)
        self.expected_frames = max(0, min(info.num_frames, kept))
        # A slot is taken for every frame put into the queue and given back for every frame drawn from it: the
        # thread waits in one place only, and close() wakes it there.
        self._slots = threading.Semaphore(
            max(1, min(read_ahead, _QUEUE_BYTES // (3 * info.width * info.height)))
        )
        self._queue: SimpleQueue[Frame | BaseException | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def info(self) -> VideoInfo:
        """The container's claims; what was found, once the last frame was read."""
        return self._source.info

    @property
    def process_fps(self) -> float:
        """Mean rate of the frames kept, frames per second, pauses left out; never above the source's.

        Of those that were read, once they are a few; before that, as the container claims.
        """
        stated = min(self._fps or math.inf, self.info.fps)
        return self._kept.fps(stated, give=1 / self.info.fps)

    @property
    def truncated(self) -> str | None:
        """Why reading broke off before the stated end of the file, None for a whole video; final at the end.

        A file also counts as broken off where its picture size changes: nothing is scaled silently.
        """
        return self._source.truncated

    @property
    def warnings(self) -> tuple[str, ...]:
        """What went wrong without ending the reading, one line for each kind; final at the end."""
        return self._source.warnings

    def __iter__(self) -> Iterator[Frame]:
        """The frames. They can be drawn once; a second time is a :class:`VideoDecodeError`."""
        if self._closed or self._thread is not None:
            msg = f"{self.path}: this VideoReader was read or closed before: open the video again"
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
        """End the thread and close the file. Safe at any time, and twice."""
        self._closed = True
        if self._thread is not None:
            self._slots.release()
            # The garbage collector may call from any thread, and when Python ends and threads are gone.
            if self._thread is threading.current_thread() or sys.is_finalizing():
                return
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
        due = Ticks(self._fps)
        started = perf_counter()
        for idx, (time_s, load) in enumerate(self._source.pictures()):
            if self._closed:
                return
            if not due(time_s):
                continue
            self._kept.add(time_s)
            frame = Frame(load(), idx, time_s)
            self.decode_seconds += perf_counter() - started
            self._slots.acquire()
            started = perf_counter()
            self._queue.put(frame)
        self.decode_seconds += perf_counter() - started


class Ticks:
    """Says of each time, in order, whether its frame is the first at or after the next tick ``k / fps``."""

    def __init__(self, fps: float | None) -> None:
        self._fps = fps
        self._steps = Steps()
        self._next = 0

    def __call__(self, time_s: float) -> bool:
        """Whether the frame at this time is kept; ``fps`` None keeps all."""
        if self._fps is None:
            return True
        self._steps.add(time_s)
        # Containers round times (Matroska to 1 ms). That costs no frame: a tick that has come is taken before
        # one that is a quarter of the shorter interval away. A hair less: 30 to 24 is a quarter exactly.
        slack = 0.249 * min(1.0, self._fps * self._steps.usual(0.0))
        tick = math.floor(time_s * self._fps)
        if tick < self._next:
            tick = math.floor(time_s * self._fps + slack)
        due = tick >= self._next
        if due:
            self._next = tick + 1
        return due


def _open(path: str, fps: float | None) -> VideoSource:
    place = Path(path)
    try:
        size = place.stat().st_size
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        if os.path.islink(path):  # noqa: PTH114 - also where a name is too long, or has a NUL in it
            reason = f"{reason}: it is a link to {os.readlink(path)}"  # noqa: PTH115
        msg = f"{path}: {reason}; expected a local video file or a folder of images"
        raise VideoOpenError(msg) from error
    if place.is_dir():
        return FolderSource(place, fps)
    if not place.is_file():
        msg = f"{path}: is a device or a pipe; expected a video file or a folder of images"
        raise VideoOpenError(msg)
    if not size:
        msg = f"{path}: is empty (0 bytes); was it copied or downloaded whole?"
        raise VideoOpenError(msg)
    if place.suffix.lower() in IMAGE_SUFFIXES and is_still(place):
        return FolderSource(place, fps)
    return FileSource(path)
