"""Whether a cluster that is already there can do the work: asked before anything is sent to it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from distributed import Client

from trackkit.core.errors import ClusterError, ConfigError

T = TypeVar("T")


def check_usable(target: Any) -> None:
    """Make sure, before anything is asked of it, that a cluster or a client can answer.

    Raises:
        ConfigError: It is none of them, or an asynchronous one.
        ClusterError: It is closed.
    """
    kind = "client" if isinstance(target, Client) else "cluster"
    if not isinstance(target, str | Client) and (isinstance(target, type) or not hasattr(target, "status")):
        msg = (
            f"cluster or client is {target!r}: expected a Dask client, a cluster object, or the address of a "
            "scheduler (tcp://host:port)"
        )
        raise ConfigError(msg)
    if getattr(target, "asynchronous", False):
        msg = (
            f"the {kind} is asynchronous, and a session waits for it: make it without asynchronous=True, and "
            "outside of coroutines"
        )
        raise ConfigError(msg)
    status = getattr(target, "status", "running")
    status = getattr(status, "name", status)
    if status in ("closing", "closed", "failed"):
        msg = f"the {kind} is {status}: begin the session while it is open"
        raise ClusterError(msg)


def check_software(client: Client) -> None:
    """Make sure that scheduler and workers run the Python of this process, and can import trackkit.

    Raises:
        ClusterError: One does not; the message names it.
    """
    versions = client.get_versions()
    here = _python(versions["client"])
    for who, there in _each(versions["scheduler"], versions["workers"]):
        if _python(there) != here:
            msg = (
                f"{who} runs Python {_python(there)}, and this process {here}: Dask sends code, which needs "
                "the same Python on all sides"
            )
            raise ClusterError(msg)

    def why_not() -> str | None:  # here, so that it goes by value: over there, trackkit may be missing
        try:
            importlib.import_module("trackkit.run.worker")
        except ImportError as error:
            return str(error)
        return None

    for who, problem in _each(client.run_on_scheduler(why_not), client.run(why_not)):
        if problem is not None:
            msg = (
                f"{who} cannot import trackkit ({problem}): install it there, in the version of this process"
            )
            raise ClusterError(msg)


def _each(scheduler: T, workers: Mapping[str, T]) -> Iterator[tuple[str, T]]:
    yield "the scheduler", scheduler
    for address, of_worker in workers.items():
        yield f"worker {address}", of_worker


def _python(versions: dict[str, Any]) -> str:
    """``"3.11"``."""
    return ".".join(versions["host"]["python"].split(".")[:2])
