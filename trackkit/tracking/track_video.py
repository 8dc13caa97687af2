"""One video from file to rows. Knows nothing of Dask: a worker and a debugger run the very same loop."""

from __future__ import annotations

import os
import resource
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from time import perf_counter
from typing import Any, Self

import numpy as np

from trackkit.config import TrackConfig
from trackkit.core.clock import StageClock
from trackkit.core.errors import PromptError, VideoTimeout
from trackkit.core.frames import Frame, TrackedObjects
from trackkit.core.prompts import Prompts, settle_prompts
from trackkit.core.tasks import VideoTask
from trackkit.detectors import Detector
from trackkit.results.rows import TrackTable
from trackkit.results.video_result import VideoResult
from trackkit.trackers import Tracker, check_promptable
from trackkit.tracking.models import Models, load_models
from trackkit.tracking.reporter import ProgressCallback, Reporter, peak_gpu_mb, reset_peak_gpu
from trackkit.video.inputs import make_task
from trackkit.video.reader import VideoReader
from trackkit.video.writer import VideoWriter

Work = Callable[..., VideoResult]
"""What is done to a video: :func:`track_video`, or what takes and gives the same."""


def track_video(
    video: str | os.PathLike[str] | VideoTask,
    config: TrackConfig,
    *,
    prompts: Prompts = (),
    models: Models | None = None,
    device: str = "cpu",
    output_video: str | os.PathLike[str] | None = None,
    on_progress: ProgressCallback | None = None,
    timeout_s: float | None = None,
    low_memory: bool = False,
) -> VideoResult:
    """Track one video in this process.

    Args:
        video: A file, or a folder of numbered images.
        config: What to look for, and how.
        prompts: Objects that you point out, beside what the detector finds (or ``detector="none"``).
        models: From :func:`load_models`; None loads them for this call.
        device: Where to load them, ``"cpu"`` or ``"cuda:N"``.
        output_video: Write the annotated video there.
        on_progress: Called a few times a second.
        timeout_s: Give up after so many seconds; looked at before every window of ``batch_size`` frames.
        low_memory: Take one frame, and few objects, at a time, and keep what can be on the host: less GPU
            memory, more time, the same result.

    Raises:
        VideoOpenError: The video gives no frame.
        PromptError: A prompt does not fit the config, the video's size or length, or the tracker.
        VideoTimeout: It took longer than ``timeout_s``; the message names the frame that it had reached.
        VideoWriteError: The annotated video cannot be written.
        StorageError: The disk of the annotated video, or of temporary files, is full.
        CheckpointError: A model cannot be loaded.
    """
    if isinstance(video, VideoTask):
        task = video
    else:
        task = with_prompts(make_task(video, output_video), prompts, config)
    config = config.replace(batch_size=1) if low_memory else config
    models = models or load_models(config, device)
    started, clock = perf_counter(), StageClock()
    table, idx, time_s = TrackTable(task.video_path, config.classes), array("i"), array("d")
    reset_peak_gpu(models.device)
    with ExitStack() as stack:
        with clock("decode"):
            reader = stack.enter_context(VideoReader(task.source, fps=config.fps))
        annotated = stack.enter_context(_AnnotatedVideo(task, reader, clock))
        for prompt in task.prompts:
            prompt.check_inside(reader.info.width, reader.info.height)
        tracker = models.tracker.start(reader.info, clock, task.prompts, low_memory=low_memory)
        report = Reporter(task, config, models.device, reader.expected_frames, clock, on_progress)
        frames = reader if timeout_s is None else _in_time(reader, started, timeout_s)
        for objects in follow(frames, models.detector, tracker, config, clock, report.processed):
            idx.append(objects.frame.idx)
            time_s.append(objects.frame.time_s)
            table.add(objects)
            annotated.write(objects)
            report.settled(objects)
    _check_all_met(task, idx, config)
    return VideoResult(
        task=task,
        info=reader.info,
        tracks=table.to_frame(),
        frames=(np.array(idx, np.int32), np.array(time_s, np.float64)),
        process_fps=reader.process_fps,
        seconds={"load": models.load_seconds, **clock.seconds, "total": perf_counter() - started},
        peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,  # KiB on Linux
        peak_gpu_mb=peak_gpu_mb(models.device),
        truncated=reader.truncated,
        warnings=(*reader.warnings, *tracker.warnings, *report.advice),
    )


def with_prompts(task: VideoTask, prompts: Prompts, config: TrackConfig) -> VideoTask:
    """The task with the objects that the user points out.

    Raises:
        PromptError: A prompt does not fit the config, or there is nothing to follow at all.
    """
    settled = settle_prompts(prompts, config.classes, config.max_objects)
    if settled:
        check_promptable(config)
    elif config.detector == "none":
        msg = f'{task.video_path}: there is no detector ("none") and no prompt: point out objects to follow'
        raise PromptError(msg)
    return replace(task, prompts=settled)


def _check_all_met(task: VideoTask, processed: array[int], config: TrackConfig) -> None:
    """A prompt on a frame that never came would be lost silently."""
    lost = sorted({prompt.frame_idx for prompt in task.prompts}.difference(processed))
    if not lost:
        return
    if lost[-1] > processed[-1]:
        reason = f"the last frame is {processed[-1]}"
    else:
        nearest = min(processed, key=lambda idx: abs(idx - lost[0]))
        reason = f"not every frame is processed (fps {config.fps}), the nearest is {nearest}"
    msg = f"{task.video_path}: there are prompts on frames {', '.join(map(str, lost))}, but {reason}"
    raise PromptError(msg)


def follow(
    frames: Iterable[Frame],
    detector: Detector,
    tracker: Tracker,
    config: TrackConfig,
    clock: StageClock,
    on_processed: Callable[[], None],
) -> Iterator[TrackedObjects]:
    """The heart: frames in, settled objects out, a window of ``batch_size`` frames at a time."""
    processed = 0
    for window in _windows(frames, config.batch_size, clock):
        due = window[-processed % config.detection_frequency :: config.detection_frequency]
        processed += len(window)
        with clock("detect"):
            found = detector.detect([frame.image for frame in due]) if due else []
        detections = {frame.idx: each for frame, each in zip(due, found, strict=True)}
        with clock("track"):
            tracker.prepare(window)
        for frame in window:
            with clock("track"):
                settled = tracker.update(frame, detections.get(frame.idx))
            yield from settled
            on_processed()
    with clock("track"):
        settled = tracker.finish()
    yield from settled


def _in_time(reader: VideoReader, started: float, timeout_s: float) -> Iterator[Frame]:
    for frame in reader:
        if perf_counter() - started > timeout_s:
            of = f" of {reader.info.num_frames}" if reader.info.num_frames else ""
            msg = (
                f"{reader.path}: not done after {timeout_s:g} s, at frame {frame.idx}{of} "
                f"({frame.time_s:.2f} s into the video): "
                "give it more time (--timeout-per-video), or process fewer frames (--fps)"
            )
            raise VideoTimeout(msg)
        yield frame


def _windows(frames: Iterable[Frame], size: int, clock: StageClock) -> Iterator[list[Frame]]:
    iterator = iter(frames)
    while True:
        with clock("decode"):
            window = list(islice(iterator, size))
        if not window:
            return
        yield window


class _AnnotatedVideo:
    """Draws settled frames into ``task.output_video``; does nothing where none was asked for."""

    def __init__(self, task: VideoTask, reader: VideoReader, clock: StageClock) -> None:
        self._clock = clock
        self._writer: VideoWriter | None = None
        if task.output_video is not None:
            from trackkit.video.draw import draw  # supervision takes a second to import

            self._draw = draw
            width, height = reader.info.width, reader.info.height
            self._writer = VideoWriter(task.output_video, width=width, height=height, fps=reader.process_fps)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._writer is not None:
            with self._clock("write"):
                self._writer.__exit__(*error)

    def write(self, objects: TrackedObjects) -> None:
        if self._writer is not None:
            with self._clock("write"):
                self._writer.write(self._draw(objects), objects.frame.time_s)
