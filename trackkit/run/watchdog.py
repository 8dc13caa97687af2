"""For code that does not come back: a deadline in a loop cannot end it, only the end of its process can."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

DELIVERY_S = 2.0  # what the process says last needs a moment to get out


def end_process() -> NoReturn:
    """End this process, once what it said has got out. A nanny starts it anew."""
    time.sleep(DELIVERY_S)
    os._exit(1)


@contextmanager
def watchdog(seconds: float, say: Callable[[str], None]) -> Iterator[None]:
    """End this process where the block takes longer.

    A thread watches. Code that hangs and lets no other thread run (it keeps Python's global lock) is ended a
    little later by a timer of the interpreter, which writes the stacks of all threads to stderr.

    Args:
        seconds: How long the block may take.
        say: Called before the end, from the watching thread, with the stack of the thread that hangs.
    """
    watched, done = threading.get_ident(), threading.Event()

    def watch() -> None:
        if done.wait(seconds):
            return
        frame = sys._current_frames().get(watched)
        say("".join(traceback.format_stack(frame)))
        if not done.wait(DELIVERY_S):
            os._exit(1)

    faulthandler.dump_traceback_later(seconds + 2 * DELIVERY_S, exit=True)
    threading.Thread(target=watch, name="trackkit-watchdog", daemon=True).start()
    try:
        yield
    finally:
        done.set()
        faulthandler.cancel_dump_traceback_later()
