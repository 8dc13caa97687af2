"""Options as fields of a dataclass: a field says its default, what it means and which values it takes.

What is checked, the flags of the command line, docstrings and the tables of the README follow from the field.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import math
import os
import textwrap
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real
from typing import (
    Any,
    Concatenate,
    Literal,
    ParamSpec,
    Protocol,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

import numpy as np

from trackkit.core.errors import ConfigError
from trackkit.core.words import choose_one, did_you_mean

P = ParamSpec("P")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """What is known of an option beside its default.

    Attributes:
        help: What it does, in a few words that follow its name.
        details: What the README says beyond that.
        choices: The values that it can have, if they are a few.
        at_least: Lowest number.
        above: The number has to be larger than this one.
        at_most: Highest number.
        none: What None means, if it may be None.
        tidy: Brings a value that can be written in several ways into one form. It gets all options and the
            value, and may raise ConfigError. It is called only if the option is used.
        decides: Whether another value gives another result.
        used: Says, given all options, whether this one is used. None means always.
        flag: Its flag on the command line. "" makes one of the name. None means that there is none.
        metavar: What stands for its value in the help of the command line.
        name: Of the option.
        kind: Type of its value, or of each value if it is ``many``. ``object`` takes any.
        many: Whether it is a list of values.
        default: Its default.
    """

    help: str
    details: str = ""
    choices: tuple[str, ...] = ()
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    none: str | None = None
    tidy: Callable[[Any, Any], Any] | None = None
    decides: bool = True
    used: Callable[[Any], bool] | None = None
    flag: str | None = ""
    metavar: str = ""
    name: str = ""
    kind: type = object
    many: bool = False
    default: Any = None

    @property
    def expected(self) -> str:
        """Which values it takes, in words, None not counted."""
        if self.kind in (bool, str):
            return f"expected {'True or False' if self.kind is bool else 'a text'}"
        number = "a whole number" if self.kind is int else "a number"
        if self.at_least is not None and self.at_most is not None:
            number += f" from {self.at_least:g} to {self.at_most:g}"
        elif self.at_least is not None:
            number += f" from {self.at_least:g} up"
        elif self.above is not None:
            number += f" above {self.above:g}"
        return f"expected {number}"

    @property
    def default_text(self) -> str:
        """Its default in words; for None, what None means."""
        if self.default is None:
            return self.none or "none"
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)

    def check(self, value: Any) -> Any:
        """The value, a number in the type of the option.

        Raises:
            ConfigError: It does not take this value.
        """
        if value is None and (self.none is not None or self.default is None):
            return None
        if not self._takes(value):
            or_none = f", or None for {self.none}" if self.none else ""
            expected = choose_one(value, self.choices) if self.choices else f"{self.expected}{or_none}"
            msg = f"{self.name} is {value!r}: {expected}"
            raise ConfigError(msg)
        # 10, 10.0 and NumPy's are one value, and one identity.
        return self.kind(value) if self.kind in (int, float, bool) and not self.many else value

    def _takes(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        if self.kind is bool:
            return isinstance(value, bool | np.bool_)
        if self.kind is str:
            return isinstance(value, str | os.PathLike)
        if self.kind is object or self.many:
            return True
        numbers: Any = Integral if self.kind is int else Real
        if isinstance(value, bool | np.bool_) or not isinstance(value, numbers):
            return False
        try:
            number = float(value)
        except OverflowError:
            return False
        low = -math.inf if self.at_least is None else self.at_least
        high = math.inf if self.at_most is None else self.at_most
        return math.isfinite(number) and low <= number <= high and (self.above is None or number > self.above)


def option(default: Any, help: str, **facts: Any) -> Any:
    """A field of a dataclass that is an option; ``facts`` are attributes of :class:`Option`."""
    return field(default=default, metadata={"option": Option(help=help, default=default, **facts)})


_KNOWN: dict[type, Mapping[str, Option]] = {}


def options_of(cls: type) -> Mapping[str, Option]:
    """The options of a dataclass, in order, each with its name and the type of its values."""
    if cls in _KNOWN:
        return _KNOWN[cls]
    hints = get_type_hints(cls)
    found = {}
    for each in fields(cls):
        if "option" in each.metadata:
            known: Option = each.metadata["option"]
            kind, many, choices = _kind_of(hints[each.name])
            choices = known.choices or choices
            found[each.name] = replace(known, name=each.name, kind=kind, many=many, choices=choices)
    return _KNOWN.setdefault(cls, types.MappingProxyType(found))


def _kind_of(hint: Any) -> tuple[type, bool, tuple[str, ...]]:
    """Type, whether there are many, and choices of an annotation."""
    inner = [each for each in get_args(hint) if each is not type(None)]
    if get_origin(hint) in (Union, types.UnionType):
        return _kind_of(inner[0])
    if get_origin(hint) is Literal:
        return str, False, tuple(inner)
    if get_origin(hint) is collections.abc.Sequence:
        return inner[0], True, ()
    return (hint if hint in (int, float, bool, str) else object), False, ()


def check_options(instance: Any) -> None:
    """Check every option of a frozen dataclass, and bring it into its one form.

    Raises:
        ConfigError: An option does not take its value; the message says which values it takes.
    """
    for name, known in options_of(type(instance)).items():
        value = known.check(getattr(instance, name))
        if value is not None and known.tidy is not None and (known.used is None or known.used(instance)):
            value = known.tidy(instance, value)
        object.__setattr__(instance, name, value)


def values_of(instance: Any, cls: type) -> dict[str, Any]:
    """The values that an instance has for the options of ``cls``."""
    return {name: getattr(instance, name) for name in options_of(cls)}


def documented(*classes: type) -> Callable[[T], T]:
    """Add the options of these classes to the docstring of a class or function; of none, those of itself."""

    def add(target: T) -> T:
        of = classes or (cast("type", target),)
        lines = [
            line
            for cls in of
            for known in options_of(cls).values()
            for line in textwrap.wrap(f"{known.name}: {_sentence(known)}", 100, subsequent_indent="    ")
        ]
        text = inspect.cleandoc(target.__doc__ or "")
        target.__doc__ = "\n".join([text, "", "Options:", *(f"    {line}" for line in lines)])
        return target

    return add


def _sentence(known: Option) -> str:
    text = known.help[0].upper() + known.help[1:]
    facts = [f"default: {known.default_text}"]
    facts += ["one of " + ", ".join(known.choices)] if known.choices else []
    return f"{text} ({'; '.join(facts)}).{f' {known.details}' if known.details else ''}"


def refuse_unknown(function: str, given: Mapping[str, Any], *classes: type) -> None:
    """Refuse keyword arguments that are options of none of these classes.

    Raises:
        TypeError: There are some. The message names them, the nearest option to each, and all options.
    """
    _refuse_others(function, given, [name for cls in classes for name in options_of(cls)])


def _refuse_others(function: str, given: Mapping[str, Any], names: Sequence[str]) -> None:
    if wrong := sorted(given.keys() - set(names)):
        named = ", ".join(f"{name}{did_you_mean(name, names, ' (did you mean {}?)')}" for name in wrong)
        msg = f"{function}() has no option {named}: it has {', '.join(names)}"
        raise TypeError(msg)


def explain_unknown(cls: type[T]) -> type[T]:
    """A dataclass that says of a keyword argument it does not have which one is near."""
    init: Callable[..., None] = cls.__init__
    names = [each.name for each in fields(cast("Any", cls)) if each.init]

    @functools.wraps(init)
    def checked(self: T, *args: Any, **given: Any) -> None:
        _refuse_others(cls.__name__, given, names)
        init(self, *args, **given)

    cls.__init__ = checked  # type: ignore[method-assign, assignment]
    return cls


class _Taking(Protocol[P]):
    @overload
    def __call__(
        self, function: Callable[Concatenate[A, B, C, ...], R]
    ) -> Callable[Concatenate[A, B, C, P], R]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[A, B, ...], R]
    ) -> Callable[Concatenate[A, B, P], R]: ...


def takes(options: Callable[P, Any]) -> _Taking[P]:
    """Give a function that ends in ``**options`` the keyword arguments of a dataclass of options.

    People and type checkers see each of them, and they are written once.
    """
    cls = cast("type", options)

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def checked(*args: Any, **given: Any) -> Any:
            rest = {name: value for name, value in given.items() if name not in own}
            refuse_unknown(function.__qualname__, rest, cls)
            return function(*args, **given)

        own = inspect.signature(function).parameters.keys()
        signature = _signature_with(function, cls)
        checked.__signature__ = signature  # type: ignore[attr-defined]
        return documented(cls)(checked) if function.__doc__ else checked

    return cast("_Taking[P]", decorate)


def also_takes(cls: type) -> Callable[[T], T]:
    """As :func:`takes`, for a function whose ``**options`` are those of ``cls`` among others."""

    def decorate(function: T) -> T:
        function.__signature__ = _signature_with(function, cls, and_others=True)  # type: ignore[attr-defined]
        return documented(cls)(function)

    return decorate


def _signature_with(function: Any, cls: type, *, and_others: bool = False) -> inspect.Signature:
    signature = inspect.signature(function)
    own = list(signature.parameters.values())
    rest = [own.pop()] if own[-1].kind == inspect.Parameter.VAR_KEYWORD else []
    given = inspect.signature(cls).parameters.values()
    return signature.replace(parameters=[*own, *given, *(rest if and_others else ())])
