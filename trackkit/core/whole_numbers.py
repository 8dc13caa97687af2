"""Numbers that name something, such as an object or a frame: taken exactly, or refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1
_EXACT_FLOATS = 2**53  # from here on a float stands for several whole numbers


def whole_number(value: Any, what: str, low: int = -INT64_MAX - 1, high: int = INT64_MAX) -> int:
    """The number itself: ``7`` and ``7.0`` are 7; ``7.5``, ``"7"``, ``True`` and NaN are refused.

    Args:
        value: What was read. A ``Decimal`` is exact however many digits it has, a float only below 2**53.
        what: What it is, for the message.
        low: Lowest number that is taken.
        high: Highest number that is taken.

    Raises:
        ValueError: It is no whole number, or none that can be held exactly.
    """
    exact = isinstance(value, Integral) and not isinstance(value, bool)
    if isinstance(value, float | Decimal):
        exact = math.isfinite(value) and (isinstance(value, Decimal) or abs(value) < _EXACT_FLOATS)
    if not exact or not low <= value <= high or value != int(value):
        shown = str(value) if isinstance(value, Decimal) else repr(value)
        msg = f"{what} is {shown}: expected a whole number from {low} to {high}"
        raise ValueError(msg)
    return int(value)


def whole_numbers(
    values: Sequence[Any], what: str, low: int = -INT64_MAX - 1, high: int = INT64_MAX
) -> npt.NDArray[np.int64]:
    """As :func:`whole_number`, of many: ``int64 (N,)``.

    Raises:
        ValueError: One of them is no whole number, or none that can be held exactly.
    """
    if set(map(type, values)) != {int} or not (low <= min(values) and max(values) <= high):
        values = [whole_number(value, what, low, high) for value in values]
    return np.array(values, np.int64)
