"""Names of what can be loaded: built in, registered in this process, or brought by an installed package."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeAlias, TypeVar

from trackkit.core.errors import ConfigError
from trackkit.core.loading import one_at_a_time
from trackkit.core.words import choose_one

ModelT = TypeVar("ModelT")

Loader: TypeAlias = Callable[[Any, str], ModelT]
"""Called with the config of the run and the device, ``"cpu"`` or ``"cuda:N"``."""
Prepare: TypeAlias = Callable[[Any, Callable[[str, int, int], None] | None], None]
"""Called with the config of the run, and with what hears how far a download is."""


@dataclass(frozen=True, slots=True)
class Entry(Generic[ModelT]):
    """What is known of a name.

    Attributes:
        loader: Makes the model; called once per worker.
        prepare: Brings weights to this machine; called once, before workers start. None: there are none.
        takes_prompts: Whether the model follows what the user points out.
        installed: It comes with a package, trackkit or another: other processes find it by its name.
    """

    loader: Loader[ModelT]
    prepare: Prepare | None = None
    takes_prompts: bool = False
    installed: bool = False

    @one_at_a_time
    def load(self, config: Any, device: str) -> ModelT:
        """Make the model. What else is loaded in this process just now comes first."""
        return self.loader(config, device)


class Registry(Generic[ModelT]):
    """Entries by name.

    Installed packages add names by entry points. Such a package is imported only when its name is asked for.
    What is registered goes before an entry point of the same name.

    Args:
        kind: What the entries are, in the singular, for messages: ``"detector"``.
        group: Of the entry points.
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind, self.group = kind, group
        self._entries: dict[str, Entry[ModelT]] = {}

    def register(
        self,
        name: str,
        *,
        prepare: Prepare | None = None,
        takes_prompts: bool = False,
        installed: bool = False,
    ) -> Callable[[Loader[ModelT]], Loader[ModelT]]:
        """A decorator that makes a loader known; the arguments are described at :class:`Entry`.

        A name that is registered already gets the new loader, as when a notebook cell runs again.

        Raises:
            ConfigError: ``name`` is no name.
        """
        if not isinstance(name, str) or not name:
            msg = f"@register_{self.kind} was given {name!r}: expected a name, @register_{self.kind}('mine')"
            raise ConfigError(msg)

        def add(loader: Loader[ModelT]) -> Loader[ModelT]:
            self._entries[name] = Entry(loader, prepare, takes_prompts, installed)
            return loader

        return add

    def names(self) -> tuple[str, ...]:
        """All names, sorted. No package is imported for it."""
        return tuple(sorted({*self._entries, *(point.name for point in entry_points(group=self.group))}))

    def entries(self) -> dict[str, Entry[ModelT]]:
        """The entries by name. That of a package is there once its name was asked for."""
        return dict(self._entries)

    def get(self, name: str) -> Entry[ModelT]:
        """The entry of a name; a package that brings it is imported.

        Raises:
            ConfigError: Nothing has that name, or what the package brings cannot be used.
        """
        if name not in self._entries:
            points = entry_points(group=self.group, name=name)
            if not points:
                msg = f"{self.kind} {name!r} is unknown: {choose_one(name, self.names())}"
                raise ConfigError(msg)
            if len(points) > 1:
                packages = " and ".join(sorted(_package(point) for point in points))
                msg = f"{self.kind} {name!r} is brought by {packages}: uninstall all but one"
                raise ConfigError(msg)
            self._entries[name] = self._import(next(iter(points)))
        return self._entries[name]

    def _import(self, point: EntryPoint) -> Entry[ModelT]:
        which = f"{self.kind} {point.name!r} of the package {_package(point)}"
        try:
            loader = point.load()
        except Exception as error:  # somebody else's code, which may raise anything
            msg = f"{which} cannot be imported from {point.value} ({type(error).__name__}: {error})"
            raise ConfigError(msg) from error
        if not callable(loader):
            msg = f"{which}: {point.value} is {loader!r}, expected a loader, called with config and device"
            raise ConfigError(msg)
        # The import may have registered it, with more facts than the loader alone tells.
        registered = (entry for entry in self._entries.values() if entry.loader is loader)
        return replace(next(registered, Entry(loader)), installed=True)


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.module
