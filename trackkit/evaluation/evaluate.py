"""How good predictions are against ground truth: HOTA, CLEAR, identity, and J and F.

The metrics are those of TrackEval (https://github.com/JonathonLuiten/TrackEval, the extra ``eval``), the code
that MOTChallenge scores with: it measures every video, and it combines videos. Here every video of the
predictions finds its ground truth; :mod:`trackkit.evaluation.metrics` calls TrackEval.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from trackkit.core.errors import ConfigError
from trackkit.core.files import atomic_write
from trackkit.core.words import choose_one
from trackkit.evaluation.frame_pairs import frame_pairs, track_ious
from trackkit.evaluation.metrics import Metrics, shares
from trackkit.formats.ground_truth import read_ground_truth
from trackkit.formats.truth import VideoTruth, video_names
from trackkit.results.columns import concat_tables
from trackkit.results.jsonl import iter_jsonl
from trackkit.results.video_result import VideoResult
from trackkit.tracking_results import TrackingResults

SIMILARITIES = ("mask", "box")
COUNTS = ("frames", "objects", "id_switches")
TRACK_IOU_DTYPES = {
    "video_path": "str",
    "obj_id": "int64",
    "truth_id": "Int64",  # missing where the track fits no object
    "rows": "int64",
    "iou": "float64",
}

_Pair: TypeAlias = tuple[VideoTruth, VideoResult | None]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What :func:`evaluate` found.

    ==========================  ============================================================================
    column
    ==========================  ============================================================================
    ``video``                   name in the ground truth
    ``frames`` ``objects``      frames that were evaluated; ground-truth objects in them
    ``HOTA`` ``DetA`` ``AssA``  higher-order tracking accuracy, of detection, of association: means over the
                                similarities 0.05, 0.10, ... 0.95 (Luiten et al. 2021, arXiv 2009.07736)
    ``IDF1``                    share of right identities (Ristani et al. 2016, arXiv 1609.01775)
    ``MOTA`` ``id_switches``    1 - (missed + false + switches) / ground truth, may be negative (CLEAR MOT,
                                Bernardin and Stiefelhagen 2008, doi 10.1155/2008/246309)
    ``precision`` ``recall``    of detections, at similarity 0.5
    ``J`` ``F`` ``J&F``         region similarity, contour accuracy, their mean (Perazzi et al. 2016), tracks
                                matched one to one by J (DAVIS unsupervised, Caelles et al. 2019, arXiv
                                1905.00737); missing without masks
    ==========================  ============================================================================

    All but the counts are shares: 1.0 is perfect. They are missing (NaN) where there is nothing to measure.

    Attributes:
        videos: One row per video.
        overall: Of all videos together, as TrackEval combines them: no mean of the rows, but counts are
            summed before ratios are taken, AssA is weighted by matches, and J and F are means over objects.
        tracks: One row per predicted track: ``video_path``, ``obj_id``, its ``rows`` in the evaluated frames,
            ``iou``, its mean similarity over them with the one object that it fits best, and ``truth_id``,
            that object; see :func:`trackkit.evaluation.frame_pairs.track_ious`.
        by: What similarity was of: ``"mask"`` or ``"box"``.
        options: The other options of the evaluation.
        notes: What the reader should know: videos without predictions or without ground truth, ...
    """

    videos: pd.DataFrame
    overall: pd.Series[Any]
    tracks: pd.DataFrame
    by: str
    options: dict[str, Any]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """A plain-text table: a row per video, one overall."""
        lines = [f"similarity by {self.by}", self._table().to_string(index=False)]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        with pd.option_context("display.max_colwidth", None):  # long names whole, as in the plain text
            table = self._table().to_html(index=False, border=0)
        notes = "".join(f"<div>note: {escape(note)}</div>" for note in self.notes)
        return f"<div>similarity by {self.by}</div>{table}{notes}"

    def _table(self) -> pd.DataFrame:
        table = pd.concat([self.videos, self.overall.to_frame().T], ignore_index=True)
        columns = [table["video"], *(table[name].map("{:.0f}".format) for name in COUNTS)]
        shares = [name for name in table if name not in ("video", *COUNTS)]
        columns += [table[name].map(lambda x: "-" if pd.isna(x) else f"{x:.3f}") for name in shares]
        return pd.concat(columns, axis=1)[list(table)]

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; None where there is nothing to measure."""
        rows = [row.to_dict() for _, row in pd.concat([self.videos, self.overall.to_frame().T]).iterrows()]
        plain = [{name: _plain(name, value) for name, value in row.items()} for row in rows]
        return {
            "by": self.by,
            **self.options,
            "overall": plain[-1],
            "videos": plain[:-1],
            "notes": list(self.notes),
        }

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write :meth:`to_dict` to a file, which has its name when it is whole.

        Raises:
            ResultsError: It cannot be written.
        """
        atomic_write(Path(path), json.dumps(self.to_dict(), indent=2, ensure_ascii=False).encode() + b"\n")


def _plain(name: Any, value: Any) -> str | int | float | None:
    if name == "video":
        return str(value)
    if pd.isna(value):
        return None
    return int(value) if name in COUNTS else float(value)


def evaluate(
    predictions: str | os.PathLike[str] | TrackingResults,
    ground_truth: str | os.PathLike[str],
    *,
    format: str | None = None,
    by: str | None = None,
    ignore_labels: bool = False,
    min_visibility: float = 0.0,
) -> Evaluation:
    """Compare predictions with ground truth.

    A video of the ground truth is that of the predictions with the same path, else the same file name without
    extension, or folder name; where there is one video on each side, these two. One without predictions
    counts as missed in all its frames; predictions without ground truth are not evaluated; ``notes`` lists
    both. The frames that count are those that the run processed and that are annotated.

    Args:
        predictions: Results, or the JSONL file of a run.
        ground_truth: Path of the ground truth; formats in :mod:`trackkit.formats.ground_truth`.
        format: One of ``trackkit.formats.ground_truth.TRUTH_FORMATS``; None recognises it.
        by: Similarity is the IoU of ``"mask"`` or of ``"box"``; None is masks where both sides have them. J
            and F come with masks only; F is what takes time, as it decodes whole frames.
        ignore_labels: Match objects of different labels. Otherwise their similarity is 0, where the ground
            truth has labels; upper and lower case are alike.
        min_visibility: Ground truth of which a smaller share is visible is ignored, as is what its format
            marks so: it is not missed, and a prediction that matches it (similarity 0.5 or more, one to one,
            as in MOTChallenge) is not wrong. J and F, whose protocol has no such rule, take every object.

    Raises:
        ConfigError: An option is wrong, TrackEval is not installed, or no video is on both sides.
        ResultsError: A file is damaged, or sizes differ.
    """
    if by not in (*SIMILARITIES, None):
        msg = f"by is {by!r}: {choose_one(by, SIMILARITIES)}"
        raise ConfigError(msg)
    if not 0 <= min_visibility <= 1:
        msg = f"min_visibility is {min_visibility!r}: expected a share from 0 to 1"
        raise ConfigError(msg)
    metrics = Metrics()
    if isinstance(predictions, TrackingResults):
        results = [outcome for outcome in predictions.outcomes if isinstance(outcome, VideoResult)]
        notes = list(predictions.notes)
    else:
        # The last line of a video counts, as for read_jsonl, but runs with different options may be together.
        last = {result.task.source: (result, config) for result, config in iter_jsonl(predictions)}
        results = [result for result, _ in last.values()]
        notes = list(dict.fromkeys(note for _, config in last.values() for note in config.notes))
    pairs, pair_notes = _pair(read_ground_truth(ground_truth, format), results)
    notes += pair_notes
    by = _similarity(pairs, by)
    notes += [] if ignore_labels else _label_notes(pairs)
    rows, found, tracks = [], [], []
    for truth, result in pairs:
        if result is not None:
            truth = truth.in_video(result.info.num_frames)
        frames, frame_notes = frame_pairs(
            truth, result, masks=by == "mask", min_visibility=min_visibility, ignore_labels=ignore_labels
        )
        notes += frame_notes
        objects = np.unique([obj for frame in frames for obj in frame.counted_truth.ids])
        found.append(metrics.measure(frames, masks=by == "mask"))
        if result is not None:
            tracks.append(track_ious(frames).assign(video_path=result.task.video_path))
        rows.append(
            {"video": truth.name, "frames": len(frames), "objects": len(objects), **shares(found[-1])}
        )
    videos = pd.DataFrame(rows)
    counts = {name: int(videos[name].sum()) for name in ("frames", "objects")}
    overall = {"video": "overall", **counts, **shares(metrics.combine(found))}
    return Evaluation(
        videos=videos,
        overall=pd.Series(overall, dtype=object),
        tracks=concat_tables(tracks, TRACK_IOU_DTYPES),
        by=by,
        options={"ignore_labels": ignore_labels, "min_visibility": min_visibility},
        notes=tuple(notes),
    )


def _pair(truths: Sequence[VideoTruth], results: Sequence[VideoResult]) -> tuple[list[_Pair], list[str]]:
    """Every video of the ground truth with its predictions, and notes."""
    pairs: list[_Pair] = []
    for truth in truths:
        found = [result for result in results if result.task.video_path == truth.name]
        found = found or [r for r in results if video_names(r.task) & truth.names]
        if len(found) > 1:
            paths = ", ".join(result.task.video_path for result in found)
            msg = f"ground truth {truth.name} may be of {paths}: expected one; rename, or evaluate them apart"
            raise ConfigError(msg)
        pairs.append((truth, found[0] if found else None))
    notes = []
    if len(truths) == len(results) == 1 and pairs[0][1] is None:
        pairs = [(truths[0], results[0])]
        notes = [f"{results[0].task.video_path} is compared with {truths[0].name}: one video on either side"]
    of_result: dict[str, str] = {}
    for truth, result in pairs:
        if (
            result is not None
            and (other := of_result.setdefault(result.task.source, truth.name)) != truth.name
        ):
            msg = (
                f"{result.task.video_path} has the ground truth of {other} and of {truth.name}: expected one"
            )
            raise ConfigError(msg)
    unmatched = [truth.name for truth, result in pairs if result is None]
    spare = [r.task.video_path for r in results if r.task.source not in of_result]
    if not of_result:
        msg = (
            f"no video is on both sides: ground truth of {', '.join(unmatched)}; predictions of "
            f"{', '.join(spare) or 'nothing'}. They meet by file name without extension, or by folder name"
        )
        raise ConfigError(msg)
    if unmatched:
        notes.append(f"no predictions, all missed: {', '.join(unmatched)}")
    if spare:
        notes.append(f"no ground truth, not evaluated: {', '.join(spare)}")
    return pairs, notes


def _label_notes(pairs: Sequence[_Pair]) -> list[str]:
    """Whether the two sides speak of different things altogether."""
    wanted = {label for truth, _ in pairs for label in truth.rows["label"].dropna()}
    found = {label for _, r in pairs if r is not None for label in r.tracks["label"].dropna().unique()}
    if not wanted or not found or {w.casefold() for w in wanted} & {f.casefold() for f in found}:
        return []
    names = [", ".join(sorted(labels)) for labels in (wanted, found)]
    return [
        f"no label is on both sides: ground truth {names[0]}; predictions {names[1]}; see --ignore-labels"
    ]


def _similarity(pairs: Sequence[_Pair], by: str | None) -> str:
    boxes_only = [f"the ground truth of {t.name}" for t, _ in pairs if t.rows["mask_rle"].isna().any()]
    boxes_only += [
        f"the predictions of {result.task.video_path}"
        for _, result in pairs
        if result is not None and result.tracks["mask_rle"].isna().any()
    ]
    if by == "mask" and boxes_only:
        msg = f"no masks in {', '.join(boxes_only)}: compare boxes, --by box"
        raise ConfigError(msg)
    return by or ("box" if boxes_only else "mask")
