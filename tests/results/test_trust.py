"""Trust and events: of tracks made up row by row, and of real ones against ground truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import trackkit as tk
from trackkit.config import TrackConfig
from trackkit.core.frames import Frame, TrackedObjects, VideoInfo
from trackkit.core.tasks import VideoTask
from trackkit.results.rows import TrackTable
from trackkit.results.trust import EVENT_DTYPES, SWITCH_S, TRUST_DTYPES, track_events, track_trust
from trackkit.results.video_result import VideoResult
from trackkit.synthetic.dataset import write_dataset
from trackkit.synthetic.scenes import make_natural_scene

CONFIG = TrackConfig("car. cup.", detection_frequency=2)
IMAGE = np.zeros((100, 400, 3), np.uint8)
FPS = 10.0

# obj_id, frame, left edge; and where it matters: area, found by the detector, label, predicted IoU
Row = tuple[int, int, float] | tuple[int, int, float, dict[str, object]]


def made(rows: Sequence[Row], num_frames: int = 10, *, pred_iou: bool = True) -> VideoResult:
    """Boxes of 20 x 20 pixels at the given left edges, in a video of 10 frames/s."""
    table = TrackTable("a.mp4", CONFIG.classes)
    for idx in range(num_frames):
        here = sorted((row for row in rows if row[1] == idx), key=lambda row: row[0])
        more = [row[3] if len(row) == 4 else {} for row in here]
        table.add(
            TrackedObjects(
                frame=Frame(IMAGE, idx, idx / FPS),
                obj_ids=np.array([row[0] for row in here], np.int32),
                xyxy=np.array([[row[2], 0, row[2] + 20, 20] for row in here], np.float32).reshape(-1, 4),
                scores=np.full(len(here), 0.5, np.float32),
                labels=tuple(str(m.get("label", "car")) for m in more),
                detected=np.array([m.get("detected", idx % 2 == 0) for m in more], np.bool_),
                areas=np.array([m.get("area", 400) for m in more], np.int32),
                pred_ious=np.array([m.get("pred_iou", 0.9) for m in more], np.float32) if pred_iou else None,
            )
        )
    idx = np.arange(num_frames, dtype=np.int32)
    info = VideoInfo(400, 100, FPS, num_frames, num_frames / FPS)
    return VideoResult(
        VideoTask("a.mp4", "/a.mp4"), info, table.to_frame(), (idx, idx / FPS), FPS, {"total": 1.0}, 1.0
    )


def still(obj_id: int, frames: Iterable[int], x: float = 0.0, **more: object) -> list[Row]:
    return [(obj_id, idx, x, more) for idx in frames]


def trust(rows: Sequence[Row], **options: bool) -> dict[str, object]:
    (row,) = track_trust(made(rows, **options), CONFIG).to_dict("records")
    return {str(name): value for name, value in row.items()}


def events(rows: Sequence[Row], config: TrackConfig = CONFIG) -> list[tuple[object, ...]]:
    table = track_events(made(rows), config)
    return list(zip(table["obj_id"], table["event"], table["frame_idx"], strict=True))


def test_the_parts_of_trust() -> None:
    row = trust(still(1, range(10)))
    assert row["detection"] == 5 / 6  # found in all five runs
    assert (row["area"], row["continuity"], row["rows"]) == (1, 1, 10)
    assert row["pred_iou"] == pytest.approx(0.9)
    assert row["trust"] == pytest.approx((5 / 6 * 1 * 1 * 0.9) ** (1 / 4))
    assert (row["first_frame"], row["last_frame"]) == (0, 9)


def test_each_part_falls_alone() -> None:
    good = trust(still(1, range(10)))
    worse = {
        "detection": [*still(1, range(1)), *still(1, range(1, 10), detected=False)],
        "area": [*still(1, range(5)), *still(1, range(5, 10), area=100)],
        "continuity": still(1, [0, 1, 2, 3, 8, 9]),
        "pred_iou": still(1, range(10), pred_iou=0.3),
    }
    for name, rows in worse.items():
        row = trust(rows)
        fell = {part for part in worse if row[part] < good[part]}  # type: ignore[operator]
        # A gap takes away runs of the detector, too.
        assert fell == ({"continuity", "detection"} if name == "continuity" else {name})
        assert row["trust"] < good["trust"]  # type: ignore[operator]
    assert trust(worse["area"])["area"] == pytest.approx((8 + 0.25) / 9)
    assert trust(worse["continuity"])["continuity"] == 0.6
    assert trust(worse["detection"])["detection"] == 1 / 6


def test_without_predicted_ious_the_other_parts_count() -> None:
    row = trust(still(1, range(10)), pred_iou=False)
    assert pd.isna(row["pred_iou"])
    assert row["trust"] == pytest.approx((5 / 6) ** (1 / 3))


def test_a_single_row_has_a_trust() -> None:
    row = trust(still(1, [4]))
    assert pd.isna(row["area"])
    assert row["trust"] == pytest.approx((1 / 2 * 1 * 0.9) ** (1 / 3))
    assert trust(still(1, [3]))["trust"] == 0  # the detector has never seen it


def test_frames_between_runs_are_no_gaps_for_a_tracker_that_shows_nothing_there() -> None:
    rows = still(1, [0, 2, 4, 8])
    assert trust(rows)["continuity"] == 4 / 5
    assert events(rows) == [(1, "born", 0), (1, "lost", 6), (1, "recovered", 8)]
    assert trust([*rows, *still(1, [1])])["continuity"] == 5 / 9


def test_the_life_of_an_object() -> None:
    rows = [*still(1, [2, 3, 6, 7]), *still(2, range(10), 100)]
    assert events(rows) == [
        (2, "born", 0),
        (1, "born", 2),
        (1, "lost", 4),
        (1, "recovered", 6),
        (1, "ended", 8),
    ]
    table = track_events(made(rows), CONFIG)
    assert table["away_s"].dropna().tolist() == [pytest.approx(0.3)]
    assert table["time_s"].tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])


def switches(rows: Sequence[Row]) -> list[tuple[object, ...]]:
    table = track_events(made(rows), CONFIG)
    table = table[table["event"] == "suspected switch"]
    return list(zip(table["frame_idx"], table["obj_id"], table["other_id"], strict=True))


def test_two_objects_that_change_places_are_suspected() -> None:
    rows = [*still(1, range(5)), *still(2, range(5), 60)]
    assert switches([*rows, *still(1, range(5, 10), 60), *still(2, range(5, 10))]) == [(5, 1, 2), (5, 2, 1)]
    assert switches([*rows, *still(1, range(5, 10)), *still(2, range(5, 10), 60)]) == []


def test_an_object_that_goes_on_under_another_id_is_suspected() -> None:
    first = still(1, range(3))
    assert switches([*first, *still(2, range(4, 10), 5)]) == [(4, 2, 1)]
    assert switches([*first, *still(2, range(4, 10), 5, label="cup")]) == []
    assert switches([*first, *still(2, range(4, 10), 60)]) == []
    assert switches([*still(1, range(10)), *still(2, range(4, 10), 5)]) == []  # the other one is still there
    late = 3 + int(SWITCH_S * FPS)
    video = made([*first, *still(2, range(late, late + 2))], late + 2)
    assert not (track_events(video, CONFIG)["event"] == "suspected switch").any()


def test_fast_objects_alone_are_not_suspected() -> None:
    assert switches([(1, idx, 30.0 * idx) for idx in range(10)]) == []


def test_tables_have_their_columns_also_when_empty() -> None:
    for rows in ([], still(1, range(3))):
        results = tk.TrackingResults([made(rows)], CONFIG)
        assert {name: str(dtype) for name, dtype in results.trust.dtypes.items()} == TRUST_DTYPES
        assert {name: str(dtype) for name, dtype in results.events.dtypes.items()} == EVENT_DTYPES


def test_bad_tracks_have_less_trust(tmp_path: Path) -> None:
    """Clutter in the colours that are looked for, and objects that hide each other, make bad tracks."""
    scenes = {f"{seed}": make_natural_scene(seed, width=160, height=120, num_frames=20) for seed in range(8)}
    truth = write_dataset(scenes, tmp_path)
    colors = sorted({obj.color for scene in scenes.values() for obj in scene.objects if not obj.is_clutter})
    config = TrackConfig.from_preset("color", ". ".join(colors))
    results = tk.TrackingResults([tk.track_video(path, config) for path in tmp_path.glob("*.mp4")], config)
    true = tk.evaluate(results, truth, by="box", ignore_labels=True).tracks
    both = results.trust.astype({"video_path": "str"}).merge(true, on=["video_path", "obj_id"])
    assert len(both) == len(results.trust)
    assert both["trust"].corr(both["iou"], method="spearman") > 0.3
