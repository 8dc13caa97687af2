"""Predictions beside ground truth, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from trackkit.core.arrays import Boxes
from trackkit.core.boxes import box_iou
from trackkit.core.errors import ResultsError
from trackkit.core.masks import decode_rle, encode_masks, rle_areas, rle_iou
from trackkit.core.words import plural
from trackkit.formats.truth import VideoTruth
from trackkit.results.columns import TRACK_DTYPES, boxes_of_rows, concat_tables, empty_frame
from trackkit.results.video_result import VideoResult

MATCH = 0.5  # similarity from which a prediction is right, as in MOTChallenge


_Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class FrameObjects:
    """FrameObjects of one side in one frame.

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

    def where(self, keep: npt.NDArray[np.bool_]) -> FrameObjects:
        """Those for which ``keep (N,)`` holds."""
        kept = np.flatnonzero(keep).tolist()
        labels, rles = tuple(self.labels[i] for i in kept), tuple(self.rles[i] for i in kept)
        return FrameObjects(self.ids[keep], labels, self.xyxy[keep], rles)

    def of_label(self, label: str | None) -> FrameObjects:
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
    truth: FrameObjects
    found: FrameObjects
    similarity: npt.NDArray[np.float64]
    ignored_truth: npt.NDArray[np.bool_]
    ignored_found: npt.NDArray[np.bool_]

    @property
    def counted_truth(self) -> FrameObjects:
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
            frames = plural(beyond, "annotated frame")
            notes.append(f"{truth.name}: {frames} beyond the {num_frames} of the video")
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
    best = best.astype({"truth_id": "Int64"})  # a float, for those that miss, would round large ids
    table = pd.DataFrame({"obj_id": ids, "rows": rows}).merge(best, on="obj_id", how="left")
    return table.assign(iou=(table["iou"] / table["rows"]).fillna(0.0))


def _by_frame(
    rows: pd.DataFrame, ignore_labels: bool
) -> dict[int, tuple[FrameObjects, npt.NDArray[np.bool_]]]:
    """By frame the objects, and which of them are ignored."""
    groups = rows.assign(ignored=rows.get("ignored", False)).groupby("frame_idx")
    return {
        int(group["frame_idx"].iloc[0]): (_objects(group, ignore_labels), group["ignored"].to_numpy(np.bool_))
        for _, group in groups
    }


def _objects(rows: pd.DataFrame, ignore_labels: bool) -> FrameObjects:
    labels = [None if ignore_labels or pd.isna(label) else str(label).casefold() for label in rows["label"]]
    return FrameObjects(
        ids=rows["obj_id"].to_numpy(np.int64),
        labels=tuple(labels),
        xyxy=boxes_of_rows(rows),
        rles=tuple(rows["mask_rle"]),
    )


def _outside(objects: FrameObjects, void: bytes, size: _Size) -> FrameObjects:
    """The parts of objects outside of the pixels that do not count; an object without any is left out."""
    if not objects.rles:
        return objects
    counts = ~decode_rle(void, *size)
    rles = tuple(encode_masks((decode_rle(rle, *size) & counts)[None])[0].decode() for rle in objects.rles)
    return replace(objects, rles=rles).where(rle_areas(rles, *size) > 0)


def _frame_pair(
    truth: FrameObjects, found: FrameObjects, ignored: npt.NDArray[np.bool_], size: _Size | None
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
