"""Ids of ground truth are exact, whatever their size, or they are refused: two objects are never one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from squares import CONFIG, HEIGHT, STILL, WIDTH, Square, info, mot, predicted, results, table

import trackkit as tk
from trackkit.core.errors import ConfigError, ResultsError
from trackkit.core.masks import encode_masks
from trackkit.results.jsonl_line import encode_result
from trackkit.synthetic.dataset import write_ground_truth

# The second square is one object up to the middle, and another one from there on.
SWITCHED: list[Square] = [(t, 1, 5, 5) for t in range(4)] + [(t, 2 + t // 2, 40, 20) for t in range(4)]


def measured(path: Path) -> tuple[int, float, list[int]]:
    evaluation = tk.evaluate(results(predicted(STILL)), path, ignore_labels=True)
    truth_ids = evaluation.tracks["truth_id"].tolist()
    return evaluation.overall["objects"], evaluation.overall["IDF1"], truth_ids


@pytest.mark.parametrize(
    "ids",
    [
        ("1", "2", "3"),
        ("7", "3000000000", "5000000000"),
        ("1", "2", "4294967298"),  # 2 + 2**32
        ("-1", "-2", "-4294967298"),
        ("0", "9007199254740992", "9007199254740993"),  # one and the same as floats
        ("1.0", "9007199254740992.0", "9.007199254740993e15"),
        ("9223372036854775807", "-9223372036854775808", "2147483648"),
    ],
)
def test_motchallenge_ids_of_any_size(tmp_path: Path, ids: tuple[str, ...]) -> None:
    path = mot(tmp_path / "car.txt", SWITCHED)
    lines = [line.split(",", 2) for line in path.read_text().splitlines()]
    path.write_text("".join(f"{frame},{ids[int(i) - 1]},{rest}\n" for frame, i, rest in lines))
    objects, idf1, (first, second) = measured(path)
    assert (objects, idf1) == (3, 0.75)
    assert first == int(float(ids[0])) or first == int(ids[0])
    assert second != first


def test_large_ids_beside_a_track_that_fits_none(tmp_path: Path) -> None:
    path = mot(tmp_path / "car.txt", [(0, 2**53 + 1, 5, 5)])
    found = results(predicted([(0, 1, 5, 5), (0, 2, 40, 20)]))
    assert tk.evaluate(found, path).tracks["truth_id"].fillna(0).tolist() == [2**53 + 1, 0]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("1,1.5,5,5,10,10", "an id is 1.5: expected a whole number"),
        ("1,9223372036854775808,5,5,10,10", "an id is 9223372036854775808"),
        ("1,1e400,5,5,10,10", "an id is 1E[+]400"),
        ("1,,5,5,10,10", "an id is"),
        ("1,nan,5,5,10,10", "an id is"),
        ("1,True,5,5,10,10", "an id is 'True'"),
        ("1,car,5,5,10,10", "an id is 'car'"),
        ("1,1_1,5,5,10,10", "an id is '1_1'"),
        ("1.5,1,5,5,10,10", "a frame is 1.5: expected a whole number from 1"),
        ("0,1,5,5,10,10", "a frame is 0"),
        ("-1,1,5,5,10,10", "a frame is -1"),
        ("2147483649,1,5,5,10,10", "a frame is 2147483649"),
    ],
)
def test_motchallenge_ids_that_are_none(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "car.txt"
    path.write_text(f"2,1,5,5,10,10\n{line}\n")
    with pytest.raises(ResultsError, match=told):
        measured(path)


def youtube_vis(path: Path, ids: tuple[Any, ...], **changes: Any) -> Path:
    mask = np.zeros((2, HEIGHT, WIDTH), np.bool_)
    mask[0, 5:15, 5:15] = mask[1, 20:30, 40:50] = True
    first, second = ({"size": [HEIGHT, WIDTH], "counts": rle.decode()} for rle in encode_masks(mask))
    shapes = [[first] * 4, [second] * 2 + [None] * 2, [None] * 2 + [second] * 2]
    each = {"video_id": 1, "category_id": 1} | {
        k: v for k, v in changes.items() if k in ("video_id", "category_id")
    }
    data = {
        "videos": [
            {"id": 1, "width": WIDTH, "height": HEIGHT, "file_names": [f"car/{t}.jpg" for t in range(4)]}
        ],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [
            {"id": i, "segmentations": shape, **each} for i, shape in zip(ids, shapes, strict=True)
        ],
    }
    data |= {k: v for k, v in changes.items() if k in data}
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize(
    "ids",
    [(1, 2, 3), (1, 2, 2**32 + 2), (0, 2**53, 2**53 + 1), (-1, -(2**31), 2**31), (1.0, 2.0, 3.0)],
)
def test_youtube_vis_ids_of_any_size(tmp_path: Path, ids: tuple[Any, ...]) -> None:
    objects, idf1, (first, second) = measured(youtube_vis(tmp_path / "truth.json", ids))
    assert (objects, idf1) == (3, 0.75)
    assert first == ids[0]
    assert second in ids[1:]


@pytest.mark.parametrize(
    ("ids", "changes", "told"),
    [
        ((1, 2, 2), {}, "annotation id 2 is twice"),
        ((1, 2, 2.0), {}, "annotation id 2 is twice"),
        ((1, 2, 2.5), {}, "annotation id is 2.5"),
        ((1, 2, "3"), {}, "annotation id is '3'"),
        ((1, 2, True), {}, "annotation id is True"),
        ((1, 2, float("nan")), {}, "annotation id is nan"),
        ((1, 2, float(2**53)), {}, "annotation id is 9007199254740992.0"),
        ((1, 2, 2**63), {}, "annotation id is 9223372036854775808"),
        ((1, 2, None), {}, "annotation id is None"),
        ((1, 2, 3), {"category_id": 9}, "category_id 9, which is not in the list"),
        ((1, 2, 3), {"category_id": "1"}, "category_id is '1'"),
        ((1, 2, 3), {"video_id": 9}, "video_id 9, which is not in the list"),
        ((1, 2, 3), {"video_id": "1"}, "video_id is '1'"),
        (
            (1, 2, 3),
            {"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]},
            "category id 1 is twice",
        ),
    ],
)
def test_youtube_vis_ids_that_are_none(
    tmp_path: Path, ids: tuple[Any, ...], changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ResultsError, match=told):
        measured(youtube_vis(tmp_path / "truth.json", ids, **changes))


def own_format(path: Path, layout: str, what: str, value: Any) -> Path:
    """A line of ours in which the object 3, or frame 3, has another value."""
    before = {"obj_id": '"obj_id":3', "label": '"obj_id":3,"label":"car"', "frame_idx": '"frame_idx":3'}
    after = before[what].rpartition(":")[0] + f":{json.dumps(value)}"
    line = encode_result(predicted(SWITCHED), CONFIG, layout)
    path.write_bytes(line.replace(before[what].encode(), after.encode()))
    return path


@pytest.mark.parametrize("layout", ["frames", "objects"])
@pytest.mark.parametrize("obj_id", [3, 3.0, -3, 2**31 - 1])
def test_ids_of_our_own_format(tmp_path: Path, layout: str, obj_id: Any) -> None:
    objects, idf1, _ = measured(own_format(tmp_path / "t.jsonl", layout, "obj_id", obj_id))
    assert (objects, idf1) == (3, 0.75)


@pytest.mark.parametrize("layout", ["frames", "objects"])
@pytest.mark.parametrize(
    ("what", "value", "told"),
    [
        ("obj_id", 2**32 + 2, "obj_id is 4294967298: expected a whole number"),
        ("obj_id", 2**64, "obj_id is"),
        ("obj_id", 2.5, "obj_id is 2.5"),
        ("obj_id", True, "obj_id is True"),
        ("obj_id", "3", "obj_id is '3'"),
        ("obj_id", None, "obj_id is None"),
        ("frame_idx", 2.5, "frame_idx is 2.5"),
        ("frame_idx", -1, "frame_idx is -1"),
        ("frame_idx", 2**32 + 3, "frame_idx is 4294967299"),
        ("label", 7, "a label is 7"),
    ],
)
def test_ids_of_our_own_format_that_are_none(
    tmp_path: Path, layout: str, what: str, value: Any, told: str
) -> None:
    with pytest.raises(ResultsError, match=told):
        measured(own_format(tmp_path / "t.jsonl", layout, what, value))


def test_a_label_outside_the_prompt_matches_no_other(tmp_path: Path) -> None:
    path = own_format(tmp_path / "t.jsonl", "objects", "label", "lorry")
    evaluation = tk.evaluate(results(predicted(STILL)), path)
    assert evaluation.overall["recall"] == 6 / 8
    (wrong,) = {*tk.read_jsonl(path).tracks["label"]} - {"car"}
    assert wrong == "lorry"
    with pytest.raises(ConfigError, match=r"label 'lorry', .* classes of the prompt, car, person"):
        tk.export_results(path, tmp_path / "coco.json", "coco")


@pytest.mark.parametrize(("name", "value"), [("obj_id", 2**32 + 1), ("obj_id", 1.5), ("frame_idx", -1)])
def test_ids_that_ground_truth_cannot_be_written_with(tmp_path: Path, name: str, value: float) -> None:
    rows = table(STILL).replace({name: {1: value}})
    with pytest.raises(ConfigError, match=f"{name} is {value}"):
        write_ground_truth(tmp_path / "t.jsonl", {"car.mp4": (info(), rows)})
