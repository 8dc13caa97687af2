"""Tables, read back by pandas."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import trackkit as tk
from trackkit.results.columns import TRACK_DTYPES


def test_pandas_reads_the_tables(results: tk.TrackingResults, tmp_path: Path) -> None:
    results.to_parquet(tmp_path / "tracks.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "tracks.parquet"), results.tracks)
    results.to_csv(tmp_path / "tracks.csv")
    back = pd.read_csv(tmp_path / "tracks.csv").astype(TRACK_DTYPES)
    for name in ("video_path", "label"):
        back[name] = back[name].cat.set_categories(results.tracks[name].cat.categories)
    pd.testing.assert_frame_equal(back, results.tracks)
