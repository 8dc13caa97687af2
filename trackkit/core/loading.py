"""Models are loaded one at a time in a process, as the packages that load them change what all threads use.

``transformers`` replaces methods of its classes and functions of torch for as long as it loads a model. A
second load beside it finds them replaced, fails, and puts back what it found: from then on every load fails
(https://github.com/huggingface/transformers/issues/41782).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection
from functools import wraps
from typing import ParamSpec, TypeVar

from trackkit.core.errors import CheckpointError

P = ParamSpec("P")
T = TypeVar("T")

_LOCK = threading.RLock()  # a loader may call another one
# A process that is forked in the middle of a load would keep what is replaced, and the lock, for ever.
os.register_at_fork(before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release)


def one_at_a_time(load: Callable[P, T]) -> Callable[P, T]:
    """A decorator: of all functions that have it, one runs at a time, whatever thread calls them."""

    @wraps(load)
    def alone(*args: P.args, **kwargs: P.kwargs) -> T:
        with _LOCK:
            return load(*args, **kwargs)

    return alone


def check_tied(what: str, missing: Collection[str], tied: Collection[str]) -> None:
    """Make sure that the files are at fault where weights are missing.

    Weights that are others by a second name stand in no file: ``transformers`` ties them to those, unless
    code that knows nothing of :func:`one_at_a_time` loads models beside it, or did so before.

    Args:
        what: Which model, for the message.
        missing: Names of the weights that are missing.
        tied: Names of those that are others by a second name.

    Raises:
        CheckpointError: None is missing in the files.
    """
    if set(missing) <= set(tied):
        msg = (
            f"{what} cannot be loaded in this process, though its files are whole: transformers did not tie "
            "its weights. This is so if other code loads models in another thread at the same time, and for "
            "ever after: begin the process anew, and load one model after the other"
        )
        raise CheckpointError(msg)
