"""The formats that results can be written in."""

from __future__ import annotations

from trackkit.formats.base import Format
from trackkit.formats.coco import write_coco
from trackkit.formats.csv_parquet import write_csv, write_parquet
from trackkit.formats.cvat import write_cvat
from trackkit.formats.davis import write_davis
from trackkit.formats.mot import write_mot
from trackkit.formats.youtube_vis import write_youtube_vis

EXPORT_FORMATS: dict[str, Format] = {
    "csv": Format(write_csv, "the rows of results.tracks, as text", ".csv"),
    "parquet": Format(write_parquet, "the rows of results.tracks, with their types", ".parquet"),
    "coco": Format(write_coco, "COCO JSON with RLE masks; videos and track ids, too", ".json"),
    "youtube-vis": Format(
        write_youtube_vis, "YouTube-VIS JSON, masks of every track", ".json", masks_only=True
    ),
    "mot": Format(write_mot, "MOTChallenge text, boxes, <video>.txt; no labels"),
    "cvat": Format(write_cvat, "CVAT for video 1.1, boxes of every track, <video>.xml"),
    "davis": Format(write_davis, "DAVIS palette PNG, <video>/<frame_idx>.png; no labels", masks_only=True),
}
