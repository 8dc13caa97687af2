"""How far one video is, told often enough for a bar."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from trackkit.config import TrackConfig
from trackkit.core.clock import StageClock
from trackkit.core.frames import TrackedObjects
from trackkit.core.tasks import Progress, VideoTask
from trackkit.core.words import duration
from trackkit.weights.releases import SAM2_RELEASES, sam2_release

ProgressCallback = Callable[[Progress], None]


PROGRESS_INTERVAL_S = 0.1
ADVISE_AFTER_FRAMES = 5


class Reporter:
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
        """A frame is settled: its objects are final."""
        self._objects.update(objects.obj_ids.tolist())
        self._latest = objects

    def processed(self) -> None:
        """One more frame has been processed."""
        self._frames += 1
        now = perf_counter()
        if self._frames == ADVISE_AFTER_FRAMES and self._device == "cpu":
            advice = cpu_speed_warning(self._config, (now - self._started) / self._frames)
            self.advice = () if advice is None else (advice,)
        if self._on_progress is not None and now >= self._next:
            self._next = now + PROGRESS_INTERVAL_S
            progress = Progress(
                video_path=self._task.video_path,
                worker="local",
                frames=self._frames,
                total=self._total,
                objects=len(self._objects),
                seconds=dict(self._clock.seconds),
                gpu_mb=peak_gpu_mb(self._device),
                notes=self.advice,
                latest=self._latest,
            )
            self._on_progress(progress)


def reset_peak_gpu(device: str) -> None:
    """Begin to measure the peak of GPU memory anew; does nothing on a CPU."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def peak_gpu_mb(device: str) -> float | None:
    """Peak GPU memory allocated, MiB; None on a CPU."""
    if not device.startswith("cuda"):
        return None
    import torch

    return torch.cuda.max_memory_allocated(device) / 2**20


SLOW_SECONDS_PER_FRAME = 1.0


def cpu_speed_warning(config: TrackConfig, seconds_per_frame: float) -> str | None:
    """What to say where SAM 2 turns out slow on a CPU; None where it is quick enough or not used.

    Args:
        config: What runs.
        seconds_per_frame: Measured on the first frames.
    """
    if config.tracker != "sam2" or seconds_per_frame < SLOW_SECONDS_PER_FRAME:
        return None
    release = sam2_release(config.sam_type)
    version = release.name.partition("_hiera_")[0]
    family = [other for other in SAM2_RELEASES.values() if other.name.startswith(f"{version}_hiera_")]
    smallest = min(family, key=lambda other: other.parameters)
    smaller = f"--sam-type {smallest.name} has {smallest.megabytes / release.megabytes:.0%} of its weights, "
    return (
        f"{release.name} takes {seconds_per_frame:.1f} s a frame on this CPU, "
        f"{duration(1000 * seconds_per_frame)} for 1000 frames: "
        f"{smaller if release.parameters > 2 * smallest.parameters else ''}"
        "--fps takes fewer frames, and --preset color needs no SAM 2"
    )
