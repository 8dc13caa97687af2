"""A detector that goes wrong on purpose: the height of a video says how.

Workers know it when they preload it: ``dask.config.set({"distributed.worker.preload": ["faults"]})``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from distributed import Worker

from trackkit.config import TrackConfig
from trackkit.core.arrays import Image
from trackkit.core.frames import Detections
from trackkit.detectors import register_detector
from trackkit.detectors.color import ColorDetector
from trackkit.run.worker import wait_for_models
from trackkit.video.writer import VideoWriter

CONFIG = TrackConfig("object", detector="faulty", tracker="bytetrack")


def _exit(images: Sequence[Image]) -> None:
    os._exit(3)


def _segfault(images: Sequence[Image]) -> None:
    ctypes.string_at(0)


def _kill(images: Sequence[Image]) -> None:  # as the kernel does when memory is short
    os.kill(os.getpid(), signal.SIGKILL)


def _hang(images: Sequence[Image]) -> None:
    threading.Event().wait()


def _freeze(images: Sequence[Image]) -> None:  # a hang that lets no other thread run
    ctypes.PyDLL(None).pause()


def _slow(images: Sequence[Image]) -> None:
    time.sleep(0.2)


def _out_of_memory(images: Sequence[Image]) -> None:
    import torch

    if len(images) > 1:
        msg = f"CUDA out of memory with {len(images)} frames"
        raise torch.OutOfMemoryError(msg)


def _always_out_of_memory(images: Sequence[Image]) -> None:
    import torch

    msg = "CUDA out of memory"
    raise torch.OutOfMemoryError(msg)


def _cuda_error(images: Sequence[Image]) -> None:
    msg = "CUDA error: an illegal memory access was encountered"
    raise RuntimeError(msg)


FAULTS: dict[str, Callable[[Sequence[Image]], None]] = {
    "none": lambda images: None,
    "exit": _exit,
    "segfault": _segfault,
    "kill": _kill,
    "hang": _hang,
    "freeze": _freeze,
    "slow": _slow,
    "out of memory": _out_of_memory,
    "always out of memory": _always_out_of_memory,
    "cuda error": _cuda_error,
}


class FaultyDetector:
    """Finds nothing."""

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        number = (images[0].shape[0] - 32) // 4
        list(FAULTS.values())[number](images)
        return [Detections.empty()] * len(images)


@register_detector("faulty")
def _load(config: TrackConfig, device: str) -> FaultyDetector:
    return FaultyDetector()


class PatientDetector(ColorDetector):
    """Finds colours; what is 48 pixels high has to wait until there is a file."""

    def __init__(self, config: TrackConfig) -> None:
        super().__init__(config.classes, config.box_threshold)
        self._gate, self._seen = Path(config.detector_model), 0

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        if images[0].shape[0] == 48:
            self._seen += len(images)
            while self._seen > 8 and not self._gate.exists():
                time.sleep(0.02)
        return super().detect(images)


@register_detector("patient")
def _load_patient(config: TrackConfig, device: str) -> PatientDetector:
    return PatientDetector(config)


@register_detector("unloadable")
def _fail_to_load(config: TrackConfig, device: str) -> FaultyDetector:
    msg = "CUDA error: no kernel image is available"
    raise RuntimeError(msg)


@register_detector("deadly")
def _die_loading(config: TrackConfig, device: str) -> FaultyDetector:
    os._exit(9)


@register_detector("once")
def _load_once(config: TrackConfig, device: str) -> FaultyDetector:
    """Loads as long as there is no file ``config.detector_model``, and makes it."""
    Path(config.detector_model).touch(exist_ok=False)
    return FaultyDetector()


@register_detector("endless")
def _load_endlessly(config: TrackConfig, device: str) -> FaultyDetector:
    """Makes a file ``config.detector_model`` and goes on loading."""
    Path(config.detector_model).touch()
    threading.Event().wait()
    return FaultyDetector()


async def wait_for_models_on_a_gpu(host: str, dask_worker: Worker) -> tuple[str, str]:
    """As ``wait_for_models``, but as if the worker had a GPU of the name ``GPU-x``."""
    name, gpu = await wait_for_models(host, dask_worker)
    assert gpu is None
    return name, "GPU-x"


def write_faulty_video(path: Path, fault: str = "none", num_frames: int = 6) -> Path:
    """A video that makes the detector go wrong."""
    height = 32 + 4 * list(FAULTS).index(fault)
    with VideoWriter(path, width=64, height=height, fps=25) as writer:
        for k in range(num_frames):
            writer.write(np.full((height, 64, 3), 10 * k % 256, np.uint8))
    return path
