"""What a run passes around: a video to be tracked, how far it is, why it failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from trackkit.core.frames import TrackedObjects
from trackkit.core.prompts import Prompt

TaskKey: TypeAlias = "tuple[str, int, int, tuple[Prompt, ...]]"


@dataclass(frozen=True, slots=True)
class VideoTask:
    """One video to be tracked.

    Attributes:
        video_path: The path as the user wrote it; the key of the video in all results.
        source: Absolute path that is opened.
        output_video: Absolute path of the annotated video, or None.
        size_bytes: Size of the source when the run began, the estimate of the work.
        mtime_ns: Modification time of the source when the run began.
        prompts: Objects that the user pointed out, in the order of their frames.
    """

    video_path: str
    source: str
    output_video: str | None = None
    size_bytes: int = 0
    mtime_ns: int = 0
    prompts: tuple[Prompt, ...] = ()

    @property
    def file(self) -> tuple[str, int, int]:
        """Tells whether a result is of this very file, whatever was pointed out in it."""
        return self.source, self.size_bytes, self.mtime_ns

    @property
    def key(self) -> TaskKey:
        """Tells whether a result is of this very file, and of these prompts."""
        return *self.file, self.prompts


@dataclass(frozen=True, slots=True)
class VideoFailure:
    """One video that could not be tracked.

    Attributes:
        task: What was asked for.
        error_type: Name of the exception class, e.g. ``"VideoOpenError"``.
        message: What the exception said.
        traceback: Where it happened; empty where the process died.
        attempts: How often it was tried.
        worker: Name of the worker, None where none was reached.
        gpu: GPU of that worker.
        seconds: Wall seconds until it failed.
    """

    task: VideoTask
    error_type: str
    message: str
    traceback: str = ""
    attempts: int = 1
    worker: str | None = None
    gpu: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one running video is; sent by the workers a few times a second.

    Attributes:
        video_path: Key of the video.
        worker: Name of the worker.
        frames: Processed frames so far.
        total: Expected processed frames; 0 where the container does not say.
        objects: Objects seen so far.
        seconds: Wall seconds per stage so far.
        gpu: GPU of the worker.
        gpu_mb: Peak GPU memory allocated so far, MiB; None on a CPU.
        notes: What the user should know while the video runs.
        thumbnail: Now and then, the newest annotated frame: a small JPEG.
        latest: The newest settled frame; None where it comes from another process.
    """

    video_path: str
    worker: str
    frames: int
    total: int
    objects: int
    seconds: dict[str, float] = field(default_factory=dict)
    gpu: str | None = None
    gpu_mb: float | None = None
    notes: tuple[str, ...] = ()
    thumbnail: bytes | None = field(default=None, repr=False)
    latest: TrackedObjects | None = field(default=None, repr=False, compare=False)


def task_of(values: Mapping[str, Any]) -> VideoTask:
    """A task from its plain values, as ``dataclasses.asdict`` gives them."""
    prompts = tuple(Prompt(**prompt) for prompt in values.get("prompts", ()))
    return VideoTask(**{**values, "prompts": prompts})


def failure_of_values(values: Mapping[str, Any]) -> VideoFailure:
    """A failure from its plain values, as ``dataclasses.asdict`` gives them."""
    return VideoFailure(**{**values, "task": task_of(values["task"])})
