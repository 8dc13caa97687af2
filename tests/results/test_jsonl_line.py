"""One video is one line of JSON, in two layouts."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import orjson
import pandas as pd
import pytest
from samples import CONFIG, sample_objects, sample_result

from trackkit.core.errors import ResultsError
from trackkit.results import jsonl_line
from trackkit.results.columns import TRACK_DTYPES
from trackkit.results.jsonl_line import (
    LAYOUTS,
    decode_failure,
    decode_head,
    decode_line,
    decode_run,
    encode_result,
    iter_line,
)
from trackkit.results.rows import TrackTable


def test_the_frames_layout() -> None:
    line = orjson.loads(encode_result(sample_result(), CONFIG))
    assert line["video_path"] == "a/car.mp4"
    assert line["text_prompt"] == "red. Blue cup."
    info = {"width": 16, "height": 12, "original_fps": 29.97, "process_fps": 14.985, "total_frames": 8}
    assert line["video_info"].items() >= info.items()
    assert [frame["frame_idx"] for frame in line["frames"]] == [0, 2, 4, 6]
    assert [len(frame["objects"]) for frame in line["frames"]] == [2, 0, 1, 1]
    entry = line["frames"][0]["objects"][0]
    assert entry["obj_id"] == 1
    assert entry["bbox"] == [3, 2, 4, 5]
    assert entry["label"] == "Blue cup"
    assert entry["segmentation"]["size"] == [12, 16]
    assert line["schema_version"] == 1
    assert line["config_hash"] == CONFIG.hash


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_predicted_iou_is_there_where_the_tracker_has_one(layout: str) -> None:
    with_it = encode_result(sample_result(), CONFIG, layout)
    assert decode_line(with_it)[0].tracks["pred_iou"].tolist() == [1 / 8, 2 / 8, 2 / 8, 3 / 8]
    assert b'"pred_iou":' not in encode_result(sample_result(masks=False), CONFIG, layout)
    of_before = re.sub(rb',"pred_iou":[0-9.]+', b"", with_it)  # as files were written that have no such key
    assert b'"pred_iou":' not in of_before
    assert decode_line(of_before)[0].tracks["pred_iou"].isna().all()


def test_the_objects_layout() -> None:
    line = orjson.loads(encode_result(sample_result(), CONFIG, "objects"))
    assert "frames" not in line
    assert {track["obj_id"]: [f["frame_idx"] for f in track["frames"]] for track in line["objects"]} == {
        1: [0],
        2: [0, 4],
        3: [6],
    }
    assert line["objects"][1]["label"] == "red"


@pytest.mark.parametrize("layout", ["frames", "objects"])
def test_a_long_line_comes_in_small_pieces(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl_line, "ROWS_AT_ONCE", 3)
    table = TrackTable("a", CONFIG.classes)
    for k in range(200):
        table.add(sample_objects(k, [k % 3 + 1, k % 3 + 2]))
    frames = (np.arange(200, dtype=np.int32), np.arange(200) / 29.97)
    result = replace(sample_result(), tracks=table.to_frame(), frames=frames)
    pieces = list(iter_line(result, CONFIG, layout))
    assert max(map(len, pieces[1:-2])) < 500
    again, _ = decode_line(b"".join(pieces))
    same = [name for name in TRACK_DTYPES if name != "video_path"]
    pd.testing.assert_frame_equal(again.tracks[same], result.tracks[same])
    with pytest.raises(ResultsError, match="rows of frame 100"):
        list(iter_line(replace(result, frames=(frames[0][:100], frames[1][:100])), CONFIG))


def test_the_head_is_read_without_the_rest() -> None:
    line = encode_result(sample_result(), CONFIG)
    head = decode_head(line[: line.index(b'"frames"')])
    source = {"path": "/videos/a/car.mp4", "size_bytes": 1000, "mtime_ns": 123_456_789}
    assert head["source"] == {**source, "content_key": None}
    assert head["config_hash"] == CONFIG.hash


@pytest.mark.parametrize("line", [b"", b"{", b"[]\n", b'{"schema_version":99,"video_info":{}}\n', b"\xff\n"])
def test_a_line_that_is_none(line: bytes) -> None:
    for decode in (decode_line, decode_head):
        with pytest.raises(ResultsError):
            decode(line)
    with pytest.raises(ResultsError):
        decode_failure(line)


def test_every_cut_of_a_line_is_noticed() -> None:
    line = encode_result(sample_result(), CONFIG)
    for end in range(0, len(line) - 1, 97):
        with pytest.raises(ResultsError):
            decode_line(line[:end])


def test_the_end_of_a_line_is_read_without_the_rest() -> None:
    line = encode_result(replace(sample_result(), warnings=(',"run":{"seconds":1}',)), CONFIG)
    assert decode_run(line)["warnings"] == [',"run":{"seconds":1}']
    with pytest.raises(ResultsError, match="no whole line"):
        decode_run(line[:-9])
