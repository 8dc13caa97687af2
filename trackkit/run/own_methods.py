"""A detector and a tracker of the user's own, on their way from the session's process to the workers.

What is defined in a notebook or a script goes by value, code and all. What is defined in a module goes by
name, and a worker imports the module. cloudpickle decides, as it does for all that Dask sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pickle import PicklingError
from typing import Any, Self

import cloudpickle  # type: ignore[import-untyped]

from trackkit.config import TrackConfig
from trackkit.core.errors import ConfigError
from trackkit.core.registry import Entry, Registry
from trackkit.detectors import DETECTORS
from trackkit.trackers import TRACKERS
from trackkit.tracking.models import Methods


@dataclass(frozen=True, slots=True)
class OwnMethods:
    """The detector and the tracker of a run, as far as the user registered them in the session's process.

    Attributes:
        names: What it is, for messages.
        pickled: Entries by kind, pickled together, so that both go on sharing what they use of a notebook.
    """

    names: str
    pickled: bytes

    @classmethod
    def of(cls, config: TrackConfig) -> Self:
        """Pickle what ``config`` names and no package brings.

        Raises:
            ConfigError: It cannot be pickled.
        """
        named: dict[Registry[Any], str] = {DETECTORS: config.detector, TRACKERS: config.tracker}
        own: dict[str, Entry[Any]] = {}
        for registry, name in named.items():
            entry = registry.entries().get(name)
            if entry is not None and not entry.installed:
                own[f"{registry.kind} {name!r}"] = replace(entry, prepare=None)  # that is done here
        names = " and ".join(own)
        try:
            return cls(names, cloudpickle.dumps(own))
        except (AttributeError, PicklingError, RuntimeError, TypeError, ValueError) as error:
            msg = (
                f"{names} cannot be sent to the workers ({type(error).__name__}: {error}): "
                "make within the loader what cannot be pickled; it runs on each worker"
            )
            raise ConfigError(msg) from error

    def methods(self, config: TrackConfig, worker: str) -> Methods:
        """The detector and the tracker of a run, on a worker. The user's own come as they were sent.

        Raises:
            ConfigError: The worker cannot import what they need, or does not know what was not sent.
        """
        try:
            own: Mapping[str, Entry[Any]] = cloudpickle.loads(self.pickled)
        except (AttributeError, ImportError) as error:
            msg = (
                f"worker {worker} cannot import what {self.names} needs ({type(error).__name__}: {error}): "
                "put the module on the workers' path (install it there, or set their PYTHONPATH), or send it "
                "with client.upload_file(...) before the session starts"
            )
            raise ConfigError(msg) from error
        return Methods(
            _find(DETECTORS, config.detector, own, worker), _find(TRACKERS, config.tracker, own, worker)
        )


def _find(registry: Registry[Any], name: str, own: Mapping[str, Entry[Any]], worker: str) -> Entry[Any]:
    which = f"{registry.kind} {name!r}"
    if which in own:
        return own[which]
    if name not in registry.names():
        msg = (
            f"{which} is unknown to worker {worker}, which knows {', '.join(registry.names())}: install the "
            "package that brings it there, too, or register it in the session's process before it starts"
        )
        raise ConfigError(msg)
    return registry.get(name)
