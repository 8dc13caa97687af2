"""Metrics of cases that are worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from squares import MASKS, SHARES, STILL, info, predicted, results, table

import trackkit as tk
from trackkit.synthetic.dataset import write_ground_truth


@pytest.mark.parametrize("by", ["mask", "box"])
def test_perfect_predictions(truth: Path, by: str) -> None:
    # Ids and order do not matter.
    found = results(predicted([(t, 9 - k, x, y) for t, k, x, y in reversed(STILL)]))  # type: ignore[misc]
    evaluation = tk.evaluate(found, truth, by=by)
    for row in (evaluation.videos.iloc[0], evaluation.overall):
        assert (row[SHARES] == 1.0).all()
        assert row[["frames", "objects", "id_switches"]].tolist() == [4, 2, 0]
        assert (row[MASKS] == 1.0).all() if by == "mask" else row[MASKS].isna().all()
    assert evaluation.by == by
    assert evaluation.notes == ()


def test_a_switch_a_miss_and_a_false_one(truth: Path) -> None:
    found = [(0, 10, 5, 5), (1, 10, 5, 5), (2, 11, 5, 5), (3, 11, 5, 5)]
    found += [(t, 20, 40, 20) for t in range(3)] + [(0, 30, 20, 28)]
    row = tk.evaluate(results(predicted(found)), truth).overall
    assert row["id_switches"] == 1
    assert row["precision"] == row["recall"] == 7 / 8
    assert row["MOTA"] == 1 - (1 + 1 + 1) / 8
    # 10 is object 1 twice, 20 is object 2 three times, of 8 on either side.
    assert row["IDF1"] == 5 / 8
    # Every overlap is whole, so all similarities give the same.
    deta, assa = 7 / (7 + 1 + 1), (4 * (2 / 4) + 3 * (3 / 4)) / 7
    assert row["DetA"] == pytest.approx(deta)
    assert row["AssA"] == pytest.approx(assa)
    assert row["HOTA"] == pytest.approx(math.sqrt(deta * assa))


def test_half_an_overlap(truth: Path) -> None:
    # 10 pixels wide, 2 to the side: 80 of 120.
    found = results(predicted([(t, k, x + 2, y) for t, k, x, y in STILL]))  # type: ignore[misc]
    for by in ("mask", "box"):
        row = tk.evaluate(found, truth, by=by).overall
        assert row["MOTA"] == row["IDF1"] == 1.0
        assert row["HOTA"] == pytest.approx(13 / 19)  # right at 0.05 to 0.65
    # 4 to the side: 60 of 140 is less than half.
    row = tk.evaluate(results(predicted([(t, k, x + 4, y) for t, k, x, y in STILL])), truth).overall  # type: ignore[misc]
    assert row["recall"] == 0
    assert row["MOTA"] == -1


def test_region_and_contour(truth: Path) -> None:
    # The tolerance of F is 0.8 percent of the diagonal, here 1 pixel; J is 90 of 110.
    row = tk.evaluate(results(predicted([(t, k, x + 1, y) for t, k, x, y in STILL])), truth).overall  # type: ignore[misc]
    assert row["J"] == pytest.approx(9 / 11)
    assert row["F"] == 1.0
    assert row["J&F"] == pytest.approx(10 / 11)
    # One of the two is perfect, the other is not found; more tracks than objects cost nothing.
    found = [square for square in STILL if square[1] == 1] + [(0, 7, 20, 28)]
    row = tk.evaluate(results(predicted(found)), truth).overall
    assert row[MASKS].tolist() == [0.5, 0.5, 0.5]
    # Half of the frames: where neither side shows the object, it is right.
    row = tk.evaluate(results(predicted([s for s in STILL if s[0] < 2])), truth).overall
    assert row[MASKS].tolist() == [0.5, 0.5, 0.5]


def test_more_tracks_than_pycocotools_counts(truth: Path) -> None:
    found = [*STILL, *((k % 4, 10 + k, 3 * (k % 16), 30 - (k % 7)) for k in range(300))]
    row = tk.evaluate(results(predicted(found)), truth).overall
    assert row["J&F"] == 1.0
    assert row["recall"] == 1.0


def test_videos_of_any_length(tmp_path: Path) -> None:
    for frames in (1, 300):
        squares = [(t, 1, 5, 5) for t in range(frames)]
        path = write_ground_truth(tmp_path / "truth.jsonl", {"car.mp4": (info(frames), table(squares))})
        found = predicted(squares, frames=range(frames), num_frames=frames)
        assert (tk.evaluate(results(found), path).overall[[*SHARES, *MASKS]] == 1.0).all()


def test_every_metric_is_in_the_readme() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for name in [*SHARES, *MASKS, "id_switches"]:
        assert f"`{name}`" in readme, name
