"""DataFrames of one row per object and frame, and others like them: empty, put together, and as boxes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from trackkit.structures import Boxes


def empty_frame(dtypes: dict[str, str]) -> pd.DataFrame:
    """A DataFrame without rows, with these columns."""
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in dtypes.items()})


def concat_tables(tables: Iterable[pd.DataFrame], dtypes: dict[str, str]) -> pd.DataFrame:
    """One table out of those of several videos, with these columns; categories are united."""
    filled = [table for table in tables if len(table)]
    if not filled:
        return empty_frame(dtypes)
    categorical = [name for name, dtype in dtypes.items() if dtype == "category"]
    united = {name: union_categoricals([table[name] for table in filled]) for name in categorical}
    rest = pd.concat([table.drop(columns=categorical) for table in filled], ignore_index=True)
    return rest.assign(**united)[list(dtypes)]


def boxes_of_rows(rows: pd.DataFrame) -> Boxes:
    """``float32 (N, 4)``, xyxy, of rows with ``x``, ``y``, ``width`` and ``height``."""
    xywh = rows[["x", "y", "width", "height"]].to_numpy(np.float32)
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
