"""How a run ends before its time: Ctrl-C or SIGTERM once ends it in order, twice at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import psutil

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C; what SLURM and `kill` send


class Interrupted(KeyboardInterrupt):
    """A signal came: start nothing new and close. Its argument is the number of the signal."""

    @property
    def exit_code(self) -> int:
        """128 and the number of the signal, as a shell has it."""
        return 128 + int(self.args[0])


@contextmanager
def orderly_end() -> Iterator[None]:
    """Within the block, the first signal raises :class:`Interrupted`; a second one ends everything at once.

    What closes on the way out (files, workers) has its time; a second signal kills this process and all that
    it has started. Signals that are ignored (``nohup``, a script's background) stay so. Does nothing outside
    the main thread, where Python takes no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    heeded = [number for number, handler in before.items() if handler is not signal.SIG_IGN]

    def first(number: int, frame: FrameType | None) -> None:
        for each in heeded:
            signal.signal(each, _end_at_once)
        raise Interrupted(number)

    for number in heeded:
        signal.signal(number, first)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, before[number])


def _end_at_once(number: int, frame: FrameType | None) -> None:
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended by itself
            child.kill()
    os._exit(128 + number)
