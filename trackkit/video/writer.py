"""Writing videos: H.264 in MP4, in the way that browsers and notebooks play."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

from trackkit.core.arrays import Image
from trackkit.core.errors import StorageError, VideoWriteError
from trackkit.core.files import part_path

# H.264 encoders that need no device, best first, with their options. Another than the first is logged.
ENCODERS: dict[str, dict[str, str]] = {"libx264": {"preset": "veryfast", "crf": "23"}, "libopenh264": {}}
# Each frame is decoded when it is shown: of others, older FFmpeg loses some around long pauses.
_IN_ORDER = {"bf": "0"}

_TICKS = 90_000  # at least so many a second, the usual clock of video
_LONGEST = 3600  # seconds; the 32 bits in which an MP4 states how long a frame stands end soon after
_SLOWEST = 10**9  # seconds a frame, 32 bits as well
_AVCOL_SPC_BT709 = 1
_THREADS = 4


_OF_ONE_FILE = (errno.EFBIG, errno.EISDIR, errno.ENAMETOOLONG)  # others could still be written
_GO_ON = ". When there is room in the folder again, the same command goes on from here"

log = logging.getLogger(__name__)


class VideoWriter:
    """An MP4 (H.264, yuv420p, BT.709, its index in front) that appears under its name when it is whole.

    A context manager. Frames go into a hidden file ``.trackkit-*.part`` in the same folder, which
    :meth:`close` renames; on an error or :meth:`abort` it is removed and ``path`` stays as it was.
    H.264 with 4:2:0 colour has even sizes only: an odd one is padded by repeating the last column or row,
    so that coordinates stay those of the source. A frame that stands for hours is repeated every hour, as an
    MP4 cannot say that it does.

    Args:
        path: The file to make; one that exists is replaced. Its ending does not matter.
        width: Of the images, pixels.
        height: Of the images, pixels.
        fps: Frames per second, kept exactly, also 30000/1001 and the like.
        steady: All frames come at this rate, so that they may be encoded out of order, which takes less room.

    Attributes:
        frames: Images written so far, repeated ones not counted.
        codec: Name of the encoder in use, a key of :data:`ENCODERS`.

    Raises:
        VideoWriteError: An image has the wrong size, a time goes backwards, a value cannot work, or the file
            system takes no such file.
        StorageError: The folder is absent or not writable, or the disk is full.
    """

    def __init__(
        self, path: str | Path, *, width: int, height: int, fps: float, steady: bool = False
    ) -> None:
        self.path = Path(path)
        self.frames = 0
        self._size = (width, height)
        self._open = False
        rate = Fraction(float(fps)).limit_denominator(1001) if 0 < fps < math.inf else Fraction(0)
        if not rate and fps > 1 / _SLOWEST:  # a time-lapse of a picture an hour
            rate = Fraction(1, round(1 / fps))
        if min(self._size) < 1 or not rate:
            msg = f"{path}: cannot write {width} x {height} pixels at {fps} frames/s; expected values above 0"
            raise VideoWriteError(msg)
        # The unit of time is a whole fraction of the frame interval and no coarser than the usual clock.
        time_base = Fraction(1, rate.numerator * math.ceil(_TICKS / rate.numerator))
        self._interval = 1 / (rate * time_base)  # in ticks, exact
        self._longest = int(_LONGEST / time_base)
        self._next = Fraction(0)
        self._last = -1
        self._latest: av.VideoFrame | None = None
        self.codec = _pick_encoder(self.path)
        self._to_yuv = VideoReformatter()
        if not self.path.parent.is_dir():
            msg = f"{path}: there is no folder {self.path.parent}; make it first{_GO_ON}"
            raise StorageError(msg)
        if self.path.is_dir():
            msg = f"{path}: is a folder; expected the name of a file"
            raise VideoWriteError(msg)
        self._part = part_path(self.path)
        try:
            self._container = av.open(  # "file:" keeps FFmpeg from taking the path for an address
                f"file:{self._part}", "w", format="mp4", options={"movflags": "+faststart"}
            )
        except (av.FFmpegError, OSError) as error:
            raise _cannot_be_written(self.path, error) from error
        self._open = True
        with self._errors():
            options = ENCODERS[self.codec] | ({} if steady else _IN_ORDER)
            self._stream = self._container.add_stream(
                self.codec, rate=max(rate, Fraction(1, _LONGEST)), options=options
            )
            context: VideoCodecContext = self._stream.codec_context
            context.width, context.height = width + width % 2, height + height % 2
            context.pix_fmt = "yuv420p"
            context.time_base = time_base
            context.thread_count = _THREADS
            context.colorspace, context.color_range = _AVCOL_SPC_BT709, ColorRange.MPEG
            context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
            self._container.start_encoding()

    def write(self, image: Image, time_s: float | None = None) -> None:
        """Add one frame.

        Args:
            image: RGB ``uint8 (H, W, 3)`` of the size given at first.
            time_s: When it is shown, seconds; keeps the timing of a variable frame rate. None: one frame
                interval after the frame before.

        Raises:
            VideoWriteError: As the class says. The unfinished file is removed.
        """
        with self._errors():
            width, height = self._size
            if image.shape != (height, width, 3) or image.dtype != np.uint8:
                msg = f"the image is {image.dtype} {image.shape}; expected uint8 ({height}, {width}, 3)"
                raise ValueError(msg)
            ticks = self._next if time_s is None else Fraction(time_s) / self._stream.codec_context.time_base
            pts = round(ticks)
            if pts <= self._last:
                msg = f"frame {self.frames} at {time_s} s is not later than the frame before it, or below 0"
                raise ValueError(msg)
            while self._latest is not None and pts - self._last > self._longest:
                self._encode(self._latest, self._last + self._longest)
            self._encode(self._frame(image), pts)
            self._next = ticks + self._interval
            self.frames += 1

    def close(self) -> None:
        """Finish the file and give it its name. Safe to call twice.

        Raises:
            VideoWriteError: As the class says, and where no frame was written. No unfinished file stays.
        """
        if not self._open:
            return
        with self._errors():
            if not self.frames:
                msg = "no frame was written"
                raise ValueError(msg)
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._part.replace(self.path)
            self._open = False

    def abort(self) -> None:
        """Give up: remove the unfinished file. Safe at any time; does nothing once closed."""
        if not self._open:
            return
        self._open = False
        self._part.unlink(missing_ok=True)
        with contextlib.suppress(av.FFmpegError):  # the trailer goes to a file that is gone
            self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Whatever happens inside, no unfinished file stays behind."""
        if not self._open:
            msg = f"{self.path}: this VideoWriter was closed before, or failed; make another"
            raise VideoWriteError(msg)
        try:
            yield
        except (av.FFmpegError, OSError, ValueError, OverflowError) as error:
            self.abort()
            raise _cannot_be_written(self.path, error) from error
        except BaseException:
            self.abort()
            raise

    def _encode(self, frame: av.VideoFrame, pts: int) -> None:
        frame.pts, frame.time_base = pts, self._stream.codec_context.time_base
        frame.duration = min(round(self._interval), self._longest)
        self._container.mux(self._stream.encode(frame))
        self._last, self._latest = pts, frame

    def _frame(self, image: Image) -> av.VideoFrame:
        height, width, _ = image.shape
        if width % 2 or height % 2:
            image = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        rgb = av.VideoFrame.from_ndarray(image, format="rgb24")
        return self._to_yuv.reformat(
            rgb,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )


def _cannot_be_written(path: Path, error: Exception) -> VideoWriteError:
    msg = f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}"
    if isinstance(error, OSError) and error.errno not in _OF_ONE_FILE:
        return StorageError(msg + _GO_ON)
    return VideoWriteError(msg)


def _pick_encoder(path: Path) -> str:
    available = [name for name in ENCODERS if name in av.codecs_available]
    if not available:
        msg = f"{path}: this FFmpeg has no H.264 encoder, expected one of {', '.join(ENCODERS)}; reinstall av"
        raise VideoWriteError(msg)
    if available[0] != next(iter(ENCODERS)):
        log.warning("FFmpeg has no %s: %s is written with %s", next(iter(ENCODERS)), path, available[0])
    return available[0]
