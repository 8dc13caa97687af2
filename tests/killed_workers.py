"""Workers whose process is killed while it tracks a video."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from distributed import Client, Worker

import trackkit as tk


class KillOnce:
    """Told of progress, kills the process that tracks one of the videos, the first time.

    Attributes:
        done: Set when the process was killed.
    """

    def __init__(self, client: Client | None, video: Path) -> None:
        assert client is not None
        self.done = threading.Event()
        self._video, self._pids = str(video), dict(client.run(_name_and_pid).values())

    def __call__(self, progress: tk.Progress) -> None:
        if progress.video_path == self._video and not self.done.is_set():
            self.done.set()
            os.kill(self._pids[progress.worker], signal.SIGKILL)


def _name_and_pid(dask_worker: Worker) -> tuple[str, int]:
    return str(dask_worker.name), os.getpid()
