from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackkit.core.whole_numbers import INT64_MAX, whole_number, whole_numbers


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (7, 7),
        (7.0, 7),
        (-0.0, 0),
        (np.int16(-7), -7),
        (np.float64(7), 7),
        (2**53 + 1, 2**53 + 1),
        (Decimal("9007199254740993.0"), 2**53 + 1),
        (Decimal("3e9"), 3_000_000_000),
        (-INT64_MAX - 1, -INT64_MAX - 1),
    ],
)
def test_numbers_that_are_exact(value: Any, number: int) -> None:
    assert whole_number(value, "id") == number


@pytest.mark.parametrize(
    "value",
    [
        *(1.5, "7", True, np.True_, None, math.nan, -math.inf, float(2**53), 2**63, 10**400, [7]),
        *(Decimal("1.5"), Decimal("NaN"), Decimal("sNaN"), Decimal("1e999999999"), Decimal("-Infinity")),
    ],
)
def test_numbers_that_are_none(value: Any) -> None:
    with pytest.raises(ValueError, match=r"whole number|NaN"):
        whole_number(value, "id")
    with pytest.raises(ValueError, match=r"whole number|NaN"):
        whole_numbers([1, value], "id")


def test_the_message_says_what_and_which() -> None:
    with pytest.raises(ValueError, match="obj_id is 5: expected a whole number from 1 to 4"):
        whole_numbers([1, 5], "obj_id", 1, 4)


@given(st.lists(st.integers(-INT64_MAX - 1, INT64_MAX)))
def test_many_are_as_one_by_one(values: list[int]) -> None:
    assert whole_numbers(values, "id").tolist() == values
