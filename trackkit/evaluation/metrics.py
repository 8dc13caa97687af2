"""What TrackEval makes of predictions beside ground truth.

TrackEval (https://github.com/JonathonLuiten/TrackEval) is the reference code of HOTA and of MOTChallenge.
It is an extra, and slow to load: it is imported where it is used.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from trackkit.core.errors import ConfigError
from trackkit.evaluation.frame_pairs import MATCH, FrameObjects, FramePair

MAX_TRACKS = 255  # pycocotools 2.0.11 holds the number of masks in a uint8

Measured: TypeAlias = dict[str, dict[str, Any]]  # what TrackEval says, per family of metrics


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


def _rles(objects: FrameObjects, frame: FramePair) -> list[dict[str, Any]]:
    return [{"size": list(frame.size or ()), "counts": counts} for counts in objects.rles]


def _most_alike(
    truth: Sequence[FrameObjects], found: Sequence[FrameObjects], frames: Sequence[FramePair]
) -> list[FrameObjects]:
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
