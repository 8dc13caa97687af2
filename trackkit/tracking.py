"""One video from file to rows. Knows nothing of Dask: a worker and a debugger run the very same loop."""

from __future__ import annotations

import os
import resource
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from time import perf_counter
from typing import Any, Self

import numpy as np

from trackkit.checkpoints import cpu_speed_warning
from trackkit.clock import StageClock
from trackkit.config import TrackConfig
from trackkit.detectors import Detector, load_detector
from trackkit.errors import CheckpointError, PromptError, VideoTimeout
from trackkit.object_prompts import Prompts, settle_prompts
from trackkit.results import TrackTable
from trackkit.structures import Frame, Progress, TrackedObjects, VideoResult, VideoTask
from trackkit.trackers import Tracker, TrackerModel, check_promptable, load_tracker
from trackkit.video import VideoReader
from trackkit.video_list import make_task
from trackkit.video_writer import VideoWriter

ProgressCallback = Callable[[Progress], None]
Work = Callable[..., VideoResult]
"""What is done to a video: :func:`track_video`, or what takes and gives the same."""
PROGRESS_INTERVAL_S = 0.1
ADVISE_AFTER_FRAMES = 5


@dataclass(frozen=True, slots=True)
class Models:
    """What is loaded once and serves one video after the other."""

    detector: Detector
    tracker: TrackerModel
    device: str
    load_seconds: float


def load_models(config: TrackConfig, device: str) -> Models:
    """Load detector and tracker onto ``device`` (``"cpu"`` or ``"cuda:N"``).

    Raises:
        CheckpointError: Weights are missing or wrong, or there is not enough memory for them.
        ConfigError: A name is unknown, or the detector does not understand the prompt.
    """
    started = perf_counter()
    try:
        detector, tracker = load_detector(config, device), load_tracker(config, device)
    except (ImportError, MemoryError, OSError, RuntimeError) as error:  # CUDA's errors are RuntimeErrors
        msg = (
            f"{config.detector} and {config.tracker} cannot be loaded onto {device} "
            f"({type(error).__name__}: {error}): see `trackkit doctor`; where memory is short, use fewer "
            "workers or a smaller --sam-type"
        )
        raise CheckpointError(msg) from error
    return Models(detector, tracker, device, perf_counter() - started)


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
    _reset_peak_gpu(models.device)
    with ExitStack() as stack:
        with clock("decode"):
            reader = stack.enter_context(VideoReader(task.source, fps=config.fps))
        annotated = stack.enter_context(_AnnotatedVideo(task, reader, clock))
        for prompt in task.prompts:
            prompt.check_inside(reader.info.width, reader.info.height)
        tracker = models.tracker.start(reader.info, clock, task.prompts, low_memory=low_memory)
        report = _Reporter(task, config, models.device, reader.expected_frames, clock, on_progress)
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
        peak_gpu_mb=_peak_gpu_mb(models.device),
        truncated=reader.truncated,
        warnings=(*reader.warnings, *tracker.warnings, *report.advice),
    )


def with_prompts(task: VideoTask, prompts: Prompts, config: TrackConfig) -> VideoTask:
    """The task with the objects that the user points out.

    Raises:
        PromptError: A prompt does not fit the config, or there is nothing to follow at all.
    """
    settled = settle_prompts(prompts, config)
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
            from trackkit.render import draw  # supervision takes a second to import

            size = {"width": reader.info.width, "height": reader.info.height}
            self._draw = draw
            self._writer = VideoWriter(task.output_video, **size, fps=reader.process_fps)

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


class _Reporter:
    """Calls ``on_progress`` often enough for a bar, seldom enough to cost nothing."""

    def __init__(
        self,
        task: VideoTask,
        config: TrackConfig,
        device: str,
        total: int,
        clock: StageClock,
        on_progress: ProgressCallback | None,
    ) -> None:
        self._task, self._config, self._device = task, config, device
        self._total, self._clock, self._on_progress = total, clock, on_progress
        self._frames, self._objects = 0, set[int]()
        self._started = perf_counter()
        self._latest: TrackedObjects | None = None
        self._next = 0.0
        self.advice: tuple[str, ...] = ()

    def settled(self, objects: TrackedObjects) -> None:
        self._objects.update(objects.obj_ids.tolist())
        self._latest = objects

    def processed(self) -> None:
        self._frames += 1
        now = perf_counter()
        if self._frames == ADVISE_AFTER_FRAMES and self._device == "cpu":
            advice = cpu_speed_warning(self._config, (now - self._started) / self._frames)
            self.advice = () if advice is None else (advice,)
        if self._on_progress is not None and now >= self._next:
            self._next = now + PROGRESS_INTERVAL_S
            counts = (self._frames, self._total, len(self._objects), dict(self._clock.seconds))
            progress = Progress(
                *(self._task.video_path, "local", *counts),
                gpu_mb=_peak_gpu_mb(self._device),
                notes=self.advice,
                latest=self._latest,
            )
            self._on_progress(progress)


def _reset_peak_gpu(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def _peak_gpu_mb(device: str) -> float | None:
    if not device.startswith("cuda"):
        return None
    import torch

    return torch.cuda.max_memory_allocated(device) / 2**20
