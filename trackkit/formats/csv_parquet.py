"""The rows of ``results.tracks`` as CSV and as Parquet."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from trackkit.formats.base import Video
from trackkit.results.columns import TRACK_DTYPES, empty_frame


def write_csv(place: Path, videos: Iterable[Video], classes: tuple[str, ...]) -> Iterable[str]:
    """The rows of ``results.tracks`` as text."""
    with place.open("x", encoding="utf-8", newline="") as file:
        empty_frame(TRACK_DTYPES).to_csv(file, index=False)
        for video in videos:
            video.result.tracks.to_csv(file, columns=list(TRACK_DTYPES), header=False, index=False)
    return ()


def write_parquet(place: Path, videos: Iterable[Video], classes: tuple[str, ...]) -> Iterable[str]:
    """The rows of ``results.tracks`` with their types."""
    schema = pa.Schema.from_pandas(empty_frame(TRACK_DTYPES), preserve_index=False)
    for name in ("video_path", "label"):  # an empty table does not say of what its categories are
        text = pa.field(name, pa.dictionary(pa.int32(), pa.string()))
        schema = schema.set(schema.get_field_index(name), text)
    with place.open("xb") as file, pq.ParquetWriter(file, schema) as writer:
        for video in videos:
            if len(video.result.tracks):
                writer.write_table(pa.Table.from_pandas(video.result.tracks, schema, preserve_index=False))
    return ()
