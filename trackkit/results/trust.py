"""Which tracks to look at first, and what happens to them, told from the results alone.

No ground truth is needed, and none replaced: ``trackkit eval`` measures, this ranks.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from trackkit.config import TrackConfig
from trackkit.core.boxes import paired_box_iou
from trackkit.results.columns import boxes_of_rows, empty_frame
from trackkit.results.video_result import VideoResult

PARTS = ("detection", "area", "continuity", "pred_iou")

TRUST_DTYPES: dict[str, str] = {
    "video_path": "category",
    "obj_id": "int32",
    "label": "category",
    "trust": "float64",  # geometric mean of the parts that there are
    "detection": "float64",  # the parts: see track_trust; missing where they cannot be known
    "area": "float64",
    "continuity": "float64",
    "pred_iou": "float64",
    "rows": "int64",
    "first_frame": "int32",  # frame_idx of its first row
    "last_frame": "int32",  # and of its last
    "worst_frame": "int32",  # where its predicted IoU is lowest or, without, its area changes most
}

EVENTS = ("born", "lost", "recovered", "ended", "suspected switch")
EVENT_DTYPES: dict[str, str] = {
    "video_path": "category",
    "frame_idx": "int32",
    "time_s": "float64",
    "obj_id": "int32",
    "label": "category",
    "event": "category",
    "other_id": "Int32",  # the other object of a suspected switch
    "away_s": "Float64",  # seconds out of sight: of what was recovered, or of the other object of a switch
}

#: A switch is suspected where the box of an object fits that of another one by this IoU,
SWITCH_IOU = 0.5
#: seen no longer ago than this, seconds.
SWITCH_S = 1.0

_Ints: TypeAlias = npt.NDArray[np.int64]
_Frames: TypeAlias = npt.NDArray[np.int32]


def track_trust(result: VideoResult, config: TrackConfig) -> pd.DataFrame:
    """How far each track of a video can be trusted, from 0 to 1, and why: the columns of ``TRUST_DTYPES``.

    A *step* is a processed frame in which the tracker can show objects: all of them, but for a tracker that
    shows them only where the detector ran. The parts, each from 0 to 1:

    ==============  ==========================================================================================
    ``detection``   ``m / (n + 1)``: of the ``n`` frames with a row on which the detector ran, ``m`` in which
                    it found the object. One more than ``n``: a single detection proves little.
    ``area``        The mean, over steps that follow each other, of the smaller by the larger of both areas.
    ``continuity``  Rows by steps from the first row to the last: 1 without gaps.
    ``pred_iou``    The mean IoU that SAM 2 predicts for its masks; missing with other trackers.
    ==============  ==========================================================================================

    ``trust`` is the geometric mean of those that are there: one bad part is enough to be looked at. It ranks
    the tracks of a run; it is no probability, and no value of it means the same with another detector.

    Args:
        result: One video.
        config: That of its run: how often the detector ran is part of it.
    """
    tracks = result.tracks
    if not len(tracks):
        return empty_frame(TRUST_DTYPES)
    rows, _ = by_track(result, config)
    follows = rows["follows"].to_numpy()
    area = rows["area_px"].clip(lower=1).to_numpy(np.float64)
    before = np.where(follows, np.roll(area, 1), area)
    rows["area"] = np.where(follows, np.minimum(area, before) / np.maximum(area, before), np.nan)
    rows["found"] = rows["detected"] & rows["is_run"]
    of = rows.groupby("obj_id", sort=True)
    span = of["step"].last() - of["step"].first() + 1
    table = pd.DataFrame(
        {
            "video_path": result.task.video_path,
            "label": of["label"].first(),
            "detection": of["found"].sum() / (of["is_run"].sum() + 1),
            "area": of["area"].mean(),
            "continuity": of.size() / span,
            "pred_iou": of["pred_iou"].mean().astype("float64").clip(0, 1),
            "rows": of.size(),
            "first_frame": of["frame_idx"].first(),
            "last_frame": of["frame_idx"].last(),
        }
    )
    doubt = rows["pred_iou"].where(rows["pred_iou"].notna(), rows["area"]).fillna(1.0)
    table["worst_frame"] = rows.loc[doubt.groupby(rows["obj_id"]).idxmin(), "frame_idx"].to_numpy()
    with np.errstate(divide="ignore"):  # a part of 0 makes a trust of 0
        table["trust"] = np.exp(np.log(table[list(PARTS)]).mean(axis=1))
    return table.reset_index()[list(TRUST_DTYPES)].astype(TRUST_DTYPES)


def track_events(result: VideoResult, config: TrackConfig) -> pd.DataFrame:
    """What happens to the tracks of a video, in order of time: the columns of ``EVENT_DTYPES``.

    Steps are those of :func:`track_trust`.

    ====================  ====================================================================================
    ``born``              The first row of an object. With SAM 2 that is where it was followed back to, not
                          the frame of its first detection.
    ``lost``              The first step without it, where it comes back later under its id.
    ``recovered``         Its first row after that; ``away_s`` is the time since its last row before.
    ``ended``             The first step without it, where it never comes back. An object that is seen in the
                          last step has no end.
    ``suspected switch``  Either *another object goes on under this id*: the box fits (IoU ``SWITCH_IOU`` or
                          more) the box that another object of the same label had one step before, and not
                          its own last one. Or *another id goes on under this one*: the object is born or
                          recovered where (same IoU) another one of the same label, now out of sight, was
                          last seen at most ``SWITCH_S`` before. ``other_id`` is the other object, ``away_s``
                          the time since its box. Where objects rightly take each other's place, as in a
                          queue that is seen once a second, they are suspected as well. Most of what is
                          suspected is right, but most switches, those that go slowly, are missed
                          (``benchmarks/RESULTS.md``).
    ====================  ====================================================================================

    Args:
        result: One video.
        config: That of its run.
    """
    if not len(result.tracks):
        return empty_frame(EVENT_DTYPES)
    rows, steps = by_track(result, config)
    follows, is_first = rows["follows"].to_numpy(), ~rows["obj_id"].duplicated().to_numpy()
    is_last = np.append(is_first[1:], True)
    came_back = ~follows & ~is_first
    went = np.append(came_back[1:], False)  # rows after which the object is lost
    times = result.frames[1][np.searchsorted(result.frames[0], steps)]
    parts = [_events(rows[is_first], "born")]
    recovered = _events(rows[came_back], "recovered")
    recovered["away_s"] = rows["time_s"][came_back].to_numpy() - rows["time_s"][went].to_numpy()
    parts.append(recovered)
    for name, at in (("lost", went), ("ended", is_last & (rows["step"].to_numpy() < len(steps) - 1))):
        gone, after = _events(rows[at], name), rows["step"].to_numpy()[at] + 1
        parts.append(gone.assign(frame_idx=steps[after], time_s=times[after]))
    begins, ends = np.flatnonzero(is_first | came_back), np.flatnonzero(went | is_last)
    pairs = [_taken_over(rows, is_first), _handed_over(rows, begins, ends, is_last)]
    parts.append(_switches(rows, pd.concat(pairs)))
    events = pd.concat([part for part in parts if len(part)], ignore_index=True)
    events["video_path"] = result.task.video_path
    events["event"] = pd.Categorical(events["event"], categories=list(EVENTS))
    events = events.sort_values(["frame_idx", "obj_id", "event"], kind="stable", ignore_index=True)
    return events[list(EVENT_DTYPES)].astype(EVENT_DTYPES)


def by_track(result: VideoResult, config: TrackConfig) -> tuple[pd.DataFrame, _Frames]:
    """The rows of ``result.tracks`` ordered by object and time, steps being those of :func:`track_trust`.

    Beside their own columns they have ``step``, its number; ``is_run``, whether the detector ran;
    ``follows``, whether the row before is of the same object one step earlier; ``span``, a number for rows
    that follow each other.

    Returns:
        The rows, and ``frame_idx`` of every step.
    """
    frames, every = result.frames[0], config.detection_frequency
    rows = result.tracks.sort_values(["obj_id", "frame_idx"], kind="stable", ignore_index=True)
    at = np.searchsorted(frames, rows["frame_idx"].to_numpy())
    is_run = at % every == 0
    if is_run.all():
        frames, at = frames[::every], at // every
    obj_ids = rows["obj_id"].to_numpy()
    follows = (obj_ids == np.roll(obj_ids, 1)) & (at == np.roll(at, 1) + 1)
    follows[:1] = False
    return rows.assign(step=at, is_run=is_run, follows=follows, span=np.cumsum(~follows)), frames


def _events(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    columns = ["frame_idx", "time_s", "obj_id", "label"]
    return rows[columns].assign(event=name, other_id=np.nan, away_s=np.nan)


def _switches(rows: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """A suspected switch for each ``row`` of the pairs, with the ``other`` that it fits best by ``iou``."""
    fitting = pairs[pairs["iou"] >= SWITCH_IOU].sort_values("iou", ascending=False, kind="stable")
    best = fitting.drop_duplicates("row")
    mine, other = rows.iloc[best["row"]], rows.iloc[best["other"]]
    away = mine["time_s"].to_numpy() - other["time_s"].to_numpy()
    return _events(mine, "suspected switch").assign(other_id=other["obj_id"].to_numpy(), away_s=away)


def _taken_over(rows: pd.DataFrame, is_first: npt.NDArray[np.bool_]) -> pd.DataFrame:
    """Rows whose box is not where the object was, but where another one was one step before."""
    boxes = boxes_of_rows(rows)
    moved = np.flatnonzero(~is_first & (paired_box_iou(boxes, np.roll(boxes, 1, axis=0)) < SWITCH_IOU))
    facts = rows[["step", "label", "obj_id"]].assign(other=np.arange(len(rows)))
    mine = facts.iloc[moved].rename(columns={"other": "row", "obj_id": "mine"})
    pairs = mine.assign(step=mine["step"] - 1).merge(facts, on=["step", "label"])
    pairs = pairs[pairs["mine"] != pairs["obj_id"]]
    return pairs.assign(iou=paired_box_iou(boxes[pairs["row"]], boxes[pairs["other"]]))


def _handed_over(
    rows: pd.DataFrame, begins: _Ints, ends: _Ints, is_last: npt.NDArray[np.bool_]
) -> pd.DataFrame:
    """Rows in which an object begins where another one, now out of sight, was a moment ago."""
    times, step, boxes = rows["time_s"].to_numpy(), rows["step"].to_numpy(), boxes_of_rows(rows)
    until = np.where(is_last, np.iinfo(np.int64).max, np.roll(step, -1))  # out of sight before this step
    ends = ends[np.argsort(times[ends], kind="stable")]
    low = np.searchsorted(times[ends], times[begins] - SWITCH_S)
    high = np.searchsorted(times[ends], times[begins])
    row = np.repeat(begins, high - low)
    other = ends[np.concatenate([np.arange(a, b) for a, b in zip(low, high, strict=True)])]
    obj_ids, labels = rows["obj_id"].to_numpy(), rows["label"].cat.codes.to_numpy()
    fits = (obj_ids[row] != obj_ids[other]) & (labels[row] == labels[other]) & (until[other] > step[row])
    row, other = row[fits], other[fits]
    return pd.DataFrame({"row": row, "other": other, "iou": paired_box_iou(boxes[row], boxes[other])})
