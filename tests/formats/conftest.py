"""Results to export, and a ground truth to read."""

from __future__ import annotations

import pandas as pd
import pytest
from exported import tracked
from truths import true_rows

import trackkit as tk


@pytest.fixture(scope="module")
def results() -> tk.TrackingResults:
    return tracked()


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return true_rows()
