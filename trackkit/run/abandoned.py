"""Models of sessions that are gone without a goodbye, as after ``kill -9``: the scheduler lets go of them."""

from __future__ import annotations

from contextlib import suppress
from uuid import uuid4

from distributed import Client, Scheduler, SchedulerPlugin

#: A client whose connection broke may be back within so many seconds: its models stay for that long.
GRACE_S = 60.0
_PREFIX = "trackkit-models-"


def name_models(client: Client) -> str:
    """A name for a plugin that holds models: of its own, and telling whose it is."""
    return f"{_PREFIX}{client.id}-{uuid4().hex}"


def watch_clients(client: Client) -> None:
    """Have the scheduler drop the models of every client that is gone, on all workers and for new ones."""
    client.register_plugin(_make_watch(_PREFIX, GRACE_S))


def _make_watch(prefix: str, grace_s: float) -> SchedulerPlugin:
    class Watch(SchedulerPlugin):  # in a function, so that it goes by value: a scheduler may lack trackkit
        name = "trackkit-clients"
        idempotent = True  # one for all sessions

        def remove_client(self, scheduler: Scheduler, client: str) -> None:
            """Wait, then look: other clients may be gone by then, too."""

            async def release() -> None:
                for name in list(scheduler.worker_plugins):
                    owner = name.removeprefix(prefix).rpartition("-")[0]
                    if name.startswith(prefix) and owner not in scheduler.clients:
                        with suppress(OSError, ValueError):  # a worker is gone; its session closed just now
                            await scheduler.unregister_worker_plugin(None, name)

            scheduler.loop.call_later(grace_s, release)

    return Watch()
