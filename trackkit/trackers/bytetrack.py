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
from trackkit.core.boxes import box_areas, box_iou
from trackkit.core.clock import StageClock
from trackkit.core.frames import Detections, Frame, TrackedObjects, VideoInfo
from trackkit.core.masks import encode_masks, rle_areas
from trackkit.core.prompts import Prompt

LOST_SECONDS = 1.0
LOST_DETECTIONS = 3
# Times the usual interval. Of constant rate, the frames that --fps takes are at most twice as far apart.
PAUSE = 2.5
# Times the mean rate, above which frames that follow each other tell the rate of a video with pauses.
QUICK = 1.5


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

    Where a video of variable rate pauses, its last picture stood still meanwhile (a recorder left out frames
    in which nothing changed), or frames were lost, and the objects went on. The detections after the pause
    tell: they are where the objects were, or where their speed has carried them.
    """

    warnings: tuple[str, ...] = ()

    def __init__(self, config: TrackConfig, video: VideoInfo, clock: StageClock) -> None:
        self._clock = clock
        self._birth_score = config.box_threshold + 0.1 * (1 - config.box_threshold)
        self._config, self._rate = config, video.fps
        self._linkers = {name: self._linker() for name in config.classes}
        self._ids = count(1)
        self._frame_s, self._interval_s = -math.inf, 1 / self._processed_rate
        self._time_s, self._paused_s, self._still_s = -math.inf, 0.0, 0.0

    def prepare(self, frames: Sequence[Frame]) -> None:
        """Nothing to prepare."""

    def update(self, frame: Frame, detections: Detections | None) -> list[TrackedObjects]:
        """Match the detections to the objects known so far; see :class:`trackkit.trackers.Tracker`."""
        self._paused_s += self._pause(frame.time_s)
        if detections is None:
            return [self._make(frame, Detections.empty(), np.zeros(0, np.int32))]
        labels = np.array(detections.labels, dtype=object)
        of_class = {name: np.flatnonzero(labels == name) for name in self._linkers}
        if self._paused_s:
            self._bridge(frame.time_s, {name: detections.xyxy[of_class[name]] for name in of_class})
        # Frames without detections are bridged by time. It must not stand still, as it may in damaged files.
        self._time_s = max(frame.time_s - self._still_s, self._time_s + 1e-3)
        obj_ids = np.zeros(len(detections), np.int32)
        for name, linker in self._linkers.items():
            mine = of_class[name]
            obj_ids[mine] = self._link(linker, detections.xyxy[mine], detections.scores[mine])
        return [self._make(frame, detections, obj_ids)]

    def finish(self) -> list[TrackedObjects]:
        """Nothing is held back."""
        return []

    @property
    def _processed_rate(self) -> float:
        return min(self._config.fps or self._rate, self._rate)

    def _linker(self) -> Linker:
        runs = LOST_DETECTIONS * self._config.detection_frequency
        return Linker(
            # Counted at 30 frames a second.
            lost_track_buffer=round(30 * max(LOST_SECONDS, runs / self._processed_rate)),
            frame_rate=self._rate,
            track_activation_threshold=0.0,  # every high one may begin a track
            high_conf_det_threshold=self._birth_score,
            minimum_consecutive_frames=1,
        )

    def _pause(self, time_s: float) -> float:
        """Seconds by which a frame comes later than usual after the one before; 0 if it is not much later."""
        before, self._frame_s = self._frame_s, time_s
        if before == -math.inf:
            return 0.0
        usual, interval = self._interval_s, max(time_s - before, 1e-3)
        if interval > PAUSE * usual:
            self._interval_s = 1.1 * usual  # if all are as long from now on, that is the rate
            return interval - usual
        self._interval_s = interval
        if QUICK * max(usual, interval) < 1 / self._rate:
            self._quicken(1 / interval)
        return 0.0

    def _quicken(self, rate: float) -> None:
        """Count speeds per frame at this rate, as the mean rate of a video with long pauses says little.

        What is likely, by how much a speed changes from frame to frame, is stated per frame.
        """
        before_rate, self._rate = self._rate, rate
        for name, before in self._linkers.items():
            self._linkers[name] = linker = self._linker()
            if before.tracks:  # then there was a time
                linker.update(sv.Detections.empty(), timestamp=self._time_s)
            linker.tracks = before.tracks
            for track in linker.tracks:
                track.state_estimator.kf.state[4:] *= before_rate / rate
                track.state_estimator.kf.state_covariance = np.eye(8)

    def _bridge(self, time_s: float, found: dict[str, Boxes]) -> None:
        """Take the pause out of the time if the picture stood still, as the detections of each class tell."""
        paused_s, self._paused_s = self._paused_s, 0.0
        if self._fit(time_s, paused_s, found) <= self._fit(time_s, 0.0, found):
            return
        self._still_s += paused_s
        for linker in self._linkers.values():
            for track in linker.tracks:
                track.state_estimator.kf.state[4:] = 0  # that is how they begin to move again
                if track.time_since_update:
                    track.time_since_update_seconds += paused_s  # out of sight all the time

    def _fit(self, time_s: float, still_s: float, found: dict[str, Boxes]) -> float:
        """The sum of the overlaps of detections with where tracks are if the picture stood still so long."""
        elapsed_s, total = time_s - self._still_s - self._time_s, 0.0
        for name, linker in self._linkers.items():
            states = [
                track.state_estimator.kf.state[:, 0]
                for track in linker.tracks
                if elapsed_s - (0.0 if track.time_since_update else still_s) + track.time_since_update_seconds
                <= linker.maximum_time_without_update
            ]
            if states and len(found[name]):
                boxes = np.stack(states)
                if not still_s:
                    boxes[:, :4] += elapsed_s * self._rate * boxes[:, 4:]
                total += float(box_iou(boxes[:, :4].astype(np.float32), found[name]).max(axis=0).sum())
        return total

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
