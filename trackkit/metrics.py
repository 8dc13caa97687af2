"""Predictions beside ground truth, frame by frame, and what TrackEval makes of them.

TrackEval (https://github.com/JonathonLuiten/TrackEval) is the reference code of HOTA and of MOTChallenge.
It is an extra, and slow to load: it is imported where it is used.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from trackkit.errors import ConfigError, ResultsError
from trackkit.geometry import box_iou, decode_rle, encode_masks, rle_areas, rle_iou
from trackkit.ground_truth import VideoTruth
from trackkit.results import TRACK_DTYPES
from trackkit.structures import Boxes, VideoResult
from trackkit.tables import concat_tables, empty_frame

MATCH = 0.5  # similarity from which a prediction is right, as in MOTChallenge
MAX_TRACKS = 255  # pycocotools 2.0.11 holds the number of masks in a uint8

Measured: TypeAlias = dict[str, dict[str, Any]]  # what TrackEval says, per family of metrics
_Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """Objects of one side in one frame.

    Attributes:
        ids: ``int64 (N,)``.
        labels: ``N`` strings in lower case, or None for what matches every label.
        xyxy: ``float32 (N, 4)``.
        rles: ``N`` compressed RLE counts; nothing of use where there are no masks.
    """

    ids: npt.NDArray[np.int64]
    labels: tuple[str | None, ...]
    xyxy: Boxes
    rles: tuple[str, ...]

    def where(self, keep: npt.NDArray[np.bool_]) -> Objects:
        """Those for which ``keep (N,)`` holds."""
        kept = np.flatnonzero(keep).tolist()
        labels, rles = tuple(self.labels[i] for i in kept), tuple(self.rles[i] for i in kept)
        return Objects(self.ids[keep], labels, self.xyxy[keep], rles)

    def of_label(self, label: str | None) -> Objects:
        """Those with exactly this label."""
        return self.where(np.array([own == label for own in self.labels], np.bool_))


@dataclass(frozen=True, slots=True, eq=False)
class FramePair:
    """Both sides of one frame.

    Attributes:
        size: ``(height, width)`` of masks, None where boxes are compared.
        truth: ``G`` objects of the ground truth.
        found: ``P`` predictions.
        similarity: ``float64 (G, P)`` in 0..1.
        ignored_truth: ``bool (G,)``, neither to be found nor wrong to find.
        ignored_found: ``bool (P,)``, the predictions that match those.
    """

    size: _Size | None
    truth: Objects
    found: Objects
    similarity: npt.NDArray[np.float64]
    ignored_truth: npt.NDArray[np.bool_]
    ignored_found: npt.NDArray[np.bool_]

    @property
    def counted_truth(self) -> Objects:
        """The ground truth without what is ignored."""
        return self.truth.where(~self.ignored_truth)


def frame_pairs(
    truth: VideoTruth,
    result: VideoResult | None,
    *,
    masks: bool,
    min_visibility: float = 0.0,
    ignore_labels: bool = False,
) -> tuple[list[FramePair], list[str]]:
    """The frames of a video that are annotated and processed, in order, and notes for the reader.

    Without ``result`` all annotated frames are there, and nothing is found in them.

    Raises:
        ResultsError: The ground truth is of another frame size than the video.
    """
    tracks, notes = empty_frame(TRACK_DTYPES), []
    indices = np.unique(truth.rows["frame_idx"]) if truth.frames is None else truth.frames
    if result is not None:
        tracks, num_frames = result.tracks, result.info.num_frames
        size = result.info.height, result.info.width
        if truth.size not in (size, None):
            msg = f"{truth.name}: ground truth of (height, width) {truth.size}, a video of {size}: scale one"
            raise ResultsError(msg)
        if beyond := int((indices >= num_frames).sum()):
            notes.append(f"{truth.name}: {beyond} annotated frames are beyond the {num_frames} of the video")
        indices = result.frames[0] if truth.frames is None else np.intersect1d(indices, result.frames[0])
    if not len(indices):
        notes.append(f"{truth.name}: none of its annotated frames was processed")
    ignored = truth.rows["ignored"] | (truth.rows["visibility"] < min_visibility)
    of_truth = _by_frame(truth.rows.assign(ignored=ignored), ignore_labels)
    of_tracks = _by_frame(tracks, ignore_labels)
    nothing = _objects(tracks.iloc[:0], ignore_labels), np.zeros(0, np.bool_)
    pairs = []
    for idx in indices.tolist():
        mine, ignored_truth = of_truth.get(idx, nothing)
        theirs, _ = of_tracks.get(idx, nothing)
        if masks and truth.size is not None and idx in truth.void:
            theirs = _outside(theirs, truth.void[idx], truth.size)
        pairs.append(_frame_pair(mine, theirs, ignored_truth, truth.size if masks else None))
    return pairs, notes


def track_ious(frames: Sequence[FramePair]) -> pd.DataFrame:
    """How right each predicted track of a video is: ``obj_id``, ``truth_id``, ``rows``, ``iou``.

    ``truth_id`` is the one object of the ground truth that the track fits best, ``iou`` the mean similarity
    with it over all ``rows`` of the track in these frames. A track that goes over to another object is wrong
    from there on; frames in which it is missing cost nothing. ``truth_id`` is missing where it fits none.
    """
    found = np.concatenate([np.zeros(0, np.int64), *(pair.found.ids for pair in frames)])
    tables = [
        pd.DataFrame(
            {
                "obj_id": np.tile(pair.found.ids, len(pair.truth.ids)),
                "truth_id": np.repeat(pair.truth.ids, len(pair.found.ids)),
                "iou": pair.similarity.ravel(),
            }
        )
        for pair in frames
    ]
    summed = concat_tables(tables, {"obj_id": "int64", "truth_id": "int64", "iou": "float64"})
    summed = summed.groupby(["obj_id", "truth_id"], as_index=False).agg({"iou": "sum"})
    best = summed[summed["iou"] > 0].sort_values("iou", kind="stable").drop_duplicates("obj_id", keep="last")
    ids, rows = np.unique(found, return_counts=True)
    table = (
        pd.DataFrame({"obj_id": ids, "rows": rows})
        .merge(best, on="obj_id", how="left")
        .astype({"truth_id": "Int64"})
    )
    return table.assign(iou=(table["iou"] / table["rows"]).fillna(0.0))


def _by_frame(rows: pd.DataFrame, ignore_labels: bool) -> dict[int, tuple[Objects, npt.NDArray[np.bool_]]]:
    """By frame the objects, and which of them are ignored."""
    groups = rows.assign(ignored=rows.get("ignored", False)).groupby("frame_idx")
    return {
        int(group["frame_idx"].iloc[0]): (_objects(group, ignore_labels), group["ignored"].to_numpy(np.bool_))
        for _, group in groups
    }


def _objects(rows: pd.DataFrame, ignore_labels: bool) -> Objects:
    corner = rows[["x", "y"]].to_numpy(np.float32)
    labels = [None if ignore_labels or pd.isna(label) else str(label).casefold() for label in rows["label"]]
    return Objects(
        ids=rows["obj_id"].to_numpy(np.int64),
        labels=tuple(labels),
        xyxy=np.hstack([corner, corner + rows[["width", "height"]].to_numpy(np.float32)]),
        rles=tuple(rows["mask_rle"]),
    )


def _outside(objects: Objects, void: bytes, size: _Size) -> Objects:
    """The parts of objects outside of the pixels that do not count; an object without any is left out."""
    if not objects.rles:
        return objects
    counts = ~decode_rle(void, *size)
    rles = tuple(encode_masks((decode_rle(rle, *size) & counts)[None])[0].decode() for rle in objects.rles)
    return replace(objects, rles=rles).where(rle_areas(rles, *size) > 0)


def _frame_pair(
    truth: Objects, found: Objects, ignored: npt.NDArray[np.bool_], size: _Size | None
) -> FramePair:
    iou = box_iou(truth.xyxy, found.xyxy) if size is None else rle_iou(truth.rles, found.rles, *size)
    same = [[own in (None, label) for label in found.labels] for own in truth.labels]
    similarity = iou * np.array(same, np.float64).reshape(iou.shape)
    ignored_found = np.zeros(len(found.ids), np.bool_)
    if ignored.any():
        from scipy.optimize import linear_sum_assignment  # a fifth of the time that importing trackkit takes

        score = np.where(similarity >= MATCH, similarity, 0)
        row, column = linear_sum_assignment(-score)
        ignored_found[column[(score[row, column] > 0) & ignored[row]]] = True
    return FramePair(size, truth, found, similarity, ignored, ignored_found)


class Metrics:
    """The metrics of TrackEval.

    Raises:
        ConfigError: TrackEval is not installed.
    """

    def __init__(self) -> None:
        try:
            import skimage  # noqa: F401 - TrackEval's F needs it, its package does not ask for it
            from trackeval.metrics import CLEAR, HOTA, Identity, JAndF
        except ImportError as error:
            msg = f"evaluation needs TrackEval ({error}): pip install 'trackkit[eval]'"
            raise ConfigError(msg) from None
        options = {"THRESHOLD": MATCH, "PRINT_CONFIG": False}
        self._tracks = {"HOTA": HOTA(), "CLEAR": CLEAR(options), "Identity": Identity(options)}
        self._j_and_f = JAndF()

    def measure(self, frames: Sequence[FramePair], *, masks: bool) -> Measured:
        """What every family says of one video; J and F with ``masks`` and at least one object only."""
        data = {
            "num_timesteps": len(frames),
            **_counted("gt", [frame.counted_truth.ids for frame in frames]),
            **_counted("tracker", [frame.found.ids[~frame.ignored_found] for frame in frames]),
            "similarity_scores": [f.similarity[np.ix_(~f.ignored_truth, ~f.ignored_found)] for f in frames],
        }
        measured: Measured = {name: metric.eval_sequence(data) for name, metric in self._tracks.items()}
        labels = {label for frame in frames for label in frame.truth.labels} if masks else set()
        if labels:  # those of different labels never match: every label by itself
            parts = {label: self._measure_masks(frames, label) for label in labels}
            measured["JAndF"] = self._j_and_f.combine_sequences(parts)
        return measured

    def _measure_masks(self, frames: Sequence[FramePair], label: str | None) -> dict[str, Any]:
        truth = [frame.truth.of_label(label) for frame in frames]
        found = [frame.found if label is None else frame.found.of_label(label) for frame in frames]
        found = _most_alike(truth, found, frames)
        data = {
            "num_timesteps": len(frames),
            **_counted("gt", [objects.ids for objects in truth]),
            **_counted("tracker", [objects.ids for objects in found]),
            "gt_dets": [_rles(o, frame) for o, frame in zip(truth, frames, strict=True)],
            "tracker_dets": [_rles(o, frame) for o, frame in zip(found, frames, strict=True)],
        }
        with warnings.catch_warnings():
            # Its decay, which nothing here reads, takes means of nothing in videos of 3 frames, or above 256.
            warnings.simplefilter("ignore", RuntimeWarning)
            return dict(self._j_and_f.eval_sequence(data))

    def combine(self, videos: Sequence[Measured]) -> Measured:
        """All videos together, as TrackEval combines them."""
        combined = {}
        for name, metric in (self._tracks | {"JAndF": self._j_and_f}).items():
            parts = {i: measured[name] for i, measured in enumerate(videos) if name in measured}
            if parts:
                combined[name] = metric.combine_sequences(parts)
        return combined


def shares(measured: Measured) -> dict[str, float]:
    """The columns of ``Evaluation.videos``, NaN where there is nothing to measure."""
    hota, clear, masks = measured["HOTA"], measured["CLEAR"], measured.get("JAndF", {})
    columns = {
        **{name: float(np.mean(hota[name])) for name in ("HOTA", "DetA", "AssA")},
        "IDF1": float(measured["Identity"]["IDF1"]),
        "MOTA": float(clear["MOTA"]),
        "id_switches": int(clear["IDSW"]),
        "precision": float(clear["CLR_Pr"]),
        "recall": float(clear["CLR_Re"]),
    }
    if clear["CLR_TP"] + clear["CLR_FN"] + clear["CLR_FP"] == 0:
        columns = dict.fromkeys(columns, float("nan")) | {"id_switches": 0}
    of_masks = (("J", "J-Mean"), ("F", "F-Mean"), ("J&F", "J&F"))
    return columns | {name: float(masks.get(key, np.nan)) for name, key in of_masks}


def _counted(side: str, ids: list[npt.NDArray[np.int64]]) -> dict[str, Any]:
    """Ids as TrackEval wants them, 0 to n - 1, and how many there are."""
    unique = np.unique(np.concatenate(ids)) if ids else np.zeros(0, np.int64)
    return {
        f"{side}_ids": [np.searchsorted(unique, those) for those in ids],
        f"num_{side}_ids": len(unique),
        f"num_{side}_dets": sum(map(len, ids)),
    }


def _rles(objects: Objects, frame: FramePair) -> list[dict[str, Any]]:
    return [{"size": list(frame.size or ()), "counts": counts} for counts in objects.rles]


def _most_alike(
    truth: Sequence[Objects], found: Sequence[Objects], frames: Sequence[FramePair]
) -> list[Objects]:
    """Predictions without those tracks, beyond ``MAX_TRACKS``, that overlap least with the ground truth."""
    overlap = dict.fromkeys(np.unique(np.concatenate([objects.ids for objects in found])).tolist(), 0.0)
    if len(overlap) <= MAX_TRACKS:
        return list(found)
    for mine, theirs, frame in zip(truth, found, frames, strict=True):
        similarity = frame.similarity[
            np.ix_(np.isin(frame.truth.ids, mine.ids), np.isin(frame.found.ids, theirs.ids))
        ]
        for obj_id, most in zip(theirs.ids.tolist(), similarity.max(axis=0, initial=0), strict=True):
            overlap[obj_id] += most
    best = sorted(overlap, key=lambda obj_id: -overlap[obj_id])[:MAX_TRACKS]
    return [objects.where(np.isin(objects.ids, best)) for objects in found]
