"""Tracking by detection: boxes are joined into tracks by motion and overlap, masks are the detector's own.

ByteTrack (Zhang et al. 2022, https://arxiv.org/abs/2110.06864), from Roboflow's package ``trackers``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count

import numpy as np
import numpy.typing as npt
import supervision as sv
from trackers import ByteTrackTracker as Linker

from trackkit.config import TrackConfig
from trackkit.core.arrays import Boxes
from trackkit.core.boxes import box_areas
from trackkit.core.clock import StageClock
from trackkit.core.frames import Detections, Frame, TrackedObjects, VideoInfo
from trackkit.core.masks import encode_masks, rle_areas
from trackkit.core.prompts import Prompt

LOST_SECONDS = 1.0
LOST_DETECTIONS = 3


class ByteTrackModel:
    """Starts a :class:`ByteTracker` per video; there are no weights to load.

    Two thresholds, as ByteTrack has it: a new object needs a score a tenth of the way from
    ``config.box_threshold`` to 1, weaker detections only carry known objects on.
    """

    def __init__(self, config: TrackConfig) -> None:
        self._config = config

    def start(
        self,
        video: VideoInfo,
        clock: StageClock,
        prompts: Sequence[Prompt] = (),
        *,
        low_memory: bool = False,
    ) -> ByteTracker:
        """Begin a new video; see :class:`trackkit.trackers.TrackerModel`. It uses no GPU memory."""
        return ByteTracker(self._config, video, clock)


class ByteTracker:
    """Follows the detections of one video, frame by frame, holding none back.

    An object is visible in the frames where a detection was matched to it, and in no others: none where the
    detector did not run. It is lost after ``LOST_SECONDS`` unseen, or ``LOST_DETECTIONS`` runs of the
    detector if these take longer; what comes back later is a new object. Each class is linked by itself, so a
    track never changes its label.
    """

    warnings: tuple[str, ...] = ()

    def __init__(self, config: TrackConfig, video: VideoInfo, clock: StageClock) -> None:
        self._clock = clock
        self._birth_score = config.box_threshold + 0.1 * (1 - config.box_threshold)
        rate = min(config.fps or video.fps, video.fps)
        lost_seconds = max(LOST_SECONDS, LOST_DETECTIONS * config.detection_frequency / rate)
        self._linkers = {
            name: Linker(
                lost_track_buffer=round(30 * lost_seconds),  # counted at 30 frames a second
                frame_rate=video.fps,
                track_activation_threshold=0.0,  # every high one may begin a track
                high_conf_det_threshold=self._birth_score,
                minimum_consecutive_frames=1,
            )
            for name in config.classes
        }
        self._ids = count(1)
        self._time_s = -math.inf

    def prepare(self, frames: Sequence[Frame]) -> None:
        """Nothing to prepare."""

    def update(self, frame: Frame, detections: Detections | None) -> list[TrackedObjects]:
        """Match the detections to the objects known so far; see :class:`trackkit.trackers.Tracker`."""
        if detections is None:
            return [self._make(frame, Detections.empty(), np.zeros(0, np.int32))]
        # Frames without detections are bridged by time. It must not stand still, as it may in damaged files.
        self._time_s = max(frame.time_s, self._time_s + 1e-3)
        obj_ids = np.zeros(len(detections), np.int32)
        labels = np.array(detections.labels, dtype=object)
        for name, linker in self._linkers.items():
            of_class = np.flatnonzero(labels == name)
            obj_ids[of_class] = self._link(linker, detections.xyxy[of_class], detections.scores[of_class])
        return [self._make(frame, detections, obj_ids)]

    def finish(self) -> list[TrackedObjects]:
        """Nothing is held back."""
        return []

    def _link(self, linker: Linker, xyxy: Boxes, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
        """The ids ``int32 (N,)`` of the detections of one class; 0 for those that belong to no object."""
        found = sv.Detections(xyxy=xyxy, confidence=scores, data={"row": np.arange(len(xyxy))})
        linked = linker.update(found, timestamp=self._time_s)
        obj_ids = np.zeros(len(xyxy), np.int32)
        if not len(linked):
            return obj_ids
        rows, known = linked.data["row"], linked.tracker_id != -1
        obj_ids[rows[known]] = linked.tracker_id[known]
        # The linker names a new track when it is seen again, and each class would count from 0. We name it at
        # once, out of one count for all; new tracks stand in the order of their detections.
        born = rows[~known & (scores[rows] >= self._birth_score)]
        nameless = [track for track in linker.tracks if track.tracker_id == -1]
        for row, track in zip(born, nameless, strict=True):
            obj_ids[row] = track.tracker_id = next(self._ids)
        return obj_ids

    def _make(self, frame: Frame, detections: Detections, obj_ids: npt.NDArray[np.int32]) -> TrackedObjects:
        """What is visible: the detections that have an id, in the order of ids."""
        seen = np.argsort(obj_ids, kind="stable")[np.count_nonzero(obj_ids == 0) :]
        xyxy, rles, areas = detections.xyxy[seen], None, box_areas(detections.xyxy[seen]).astype(np.int32)
        if detections.masks is not None:
            with self._clock("encode"):
                rles = tuple(encode_masks(detections.masks[seen]))
                areas = rle_areas(rles, *detections.masks.shape[1:])
        return TrackedObjects(
            frame=frame,
            obj_ids=obj_ids[seen],
            xyxy=xyxy,
            scores=detections.scores[seen],
            labels=tuple(detections.labels[i] for i in seen),
            detected=np.ones(len(seen), np.bool_),
            areas=areas,
            rles=rles,
        )
