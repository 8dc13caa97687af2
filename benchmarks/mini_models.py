"""How good the mini models are on clips that they were not trained on, and what the engine adds to them.

    python benchmarks/mini_models.py --write            # 100 clips of 60 frames, some 20 minutes on two cores
    python benchmarks/mini_models.py --clips 4

The detector runs once; all trackers are given its detections on every tenth frame. Compared are

- trackkit;
- the stock SAM2VideoPredictor, prompted once, on the first frame in which anything is detected;
- the way of the scripts that trackkit replaces: the stock predictor, reset at each new object and prompted
  anew with all masks and the new box;
- ByteTrack, which joins detections and has nothing between them; that on every frame, too.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from report import machine, publish, table
from scipy.optimize import linear_sum_assignment

import trackkit as tk
from trackkit.config import TrackConfig
from trackkit.core.arrays import Image
from trackkit.core.boxes import box_iou
from trackkit.core.frames import Detections, Frame, TrackedObjects, VideoInfo
from trackkit.core.masks import decode_rle, encode_masks
from trackkit.core.tasks import VideoTask
from trackkit.detectors import load_detector
from trackkit.results.rows import TrackTable
from trackkit.results.video_result import VideoResult
from trackkit.synthetic.dataset import ground_truth, write_ground_truth, write_video
from trackkit.synthetic.render import GroundTruthFrame, iter_frames
from trackkit.synthetic.scenery import SHAPES
from trackkit.synthetic.scenes import make_natural_scene
from trackkit.trackers import load_tracker
from trackkit.trackers.sam2.build import build_sam2_model
from trackkit.tracking.models import Models
from trackkit.tracking.track_video import track_video
from trackkit.video.reader import VideoReader

FIRST_SEED = 10_000  # below those of the training
WIDTH, HEIGHT, FRAMES, EVERY = 320, 240, 60, 10
MIN_VISIBILITY = 0.25  # what is hidden further is neither missed nor wrong

TRACKERS = (
    "trackkit",
    "stock SAM 2, prompted once",
    "stock SAM 2, reset at each new object",
    f"ByteTrack, detector on every {EVERY}th frame",
    "ByteTrack, detector on every frame",
)


class Replay:
    """A detector that gives what another one found."""

    def __init__(self, found: Sequence[Detections]) -> None:
        self._found = iter(found)

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        """See :class:`trackkit.detectors.Detector`."""
        return [next(self._found) for _ in images]


@dataclass
class ClipReport:
    """What one clip adds to the tables."""

    truth: tuple[str, VideoInfo, pd.DataFrame]
    detections: Counter[str]
    results: dict[str, VideoResult]
    seconds: dict[str, float]
    j: dict[str, tuple[list[float], list[float]]]


def prompt_of(truth: Sequence[GroundTruthFrame], seed: int) -> str:
    """All classes of the clip, and two that are not in it but nearly: the same colour, another shape."""
    present = sorted({label for frame in truth for label in frame.labels})
    rng = np.random.default_rng(seed)
    absent: list[str] = []
    while len(absent) < 2:
        color = present[int(rng.integers(len(present)))].split()[0]
        name = f"{color} {rng.choice(list(SHAPES))}"
        if name not in present and name not in absent:
            absent.append(name)
    return ". ".join([*present, *absent])


def run_clip(seed: int, folder: Path) -> ClipReport:
    """Everything about one clip."""
    torch.set_num_threads(1)
    scene = make_natural_scene(seed, width=WIDTH, height=HEIGHT, num_frames=FRAMES)
    truth = [frame for _, frame in iter_frames(scene)]
    path = write_video(scene, folder / f"{seed}.mp4")
    config = TrackConfig.from_preset("mini", prompt_of(truth, seed), detection_frequency=1, scene_cuts=False)
    with VideoReader(path) as reader:
        frames, info = list(reader), reader.info
    detector = load_detector(config, "cpu")
    started = perf_counter()
    found = [detector.detect([frame.image])[0] for frame in frames]
    seconds = {"detector": (perf_counter() - started) / len(frames)}
    results, sparse = {}, [found[i] if i % EVERY == 0 else None for i in range(len(frames))]
    stock = build_stock()
    ways: dict[str, Callable[[], VideoResult]] = {
        TRACKERS[0]: lambda: run_trackkit(path, config.replace(detection_frequency=EVERY), found[::EVERY]),
        TRACKERS[1]: lambda: run_stock(stock, path, info, frames, sparse, config, resets=False),
        TRACKERS[2]: lambda: run_stock(stock, path, info, frames, sparse, config, resets=True),
        TRACKERS[3]: lambda: run_trackkit(
            path, config.replace(tracker="bytetrack", detection_frequency=EVERY), found[::EVERY]
        ),
        TRACKERS[4]: lambda: run_trackkit(path, config.replace(tracker="bytetrack"), found),
    }
    for name, way in ways.items():
        started = perf_counter()
        results[name] = way()
        seconds[name] = (perf_counter() - started) / len(frames)
    return ClipReport(
        truth=(str(path), info, ground_truth(scene)),
        detections=sum(
            (count(f, t, config.classes) for f, t in zip(found[::EVERY], truth[::EVERY], strict=True)),
            Counter(),
        ),
        results=results,
        seconds=seconds,
        j={name: mask_ious(result, truth) for name, result in results.items() if "ByteTrack" not in name},
    )


def count(found: Detections, truth: GroundTruthFrame, classes: Sequence[str]) -> Counter[str]:
    """Detections that are right or wrong, objects that are missed, absent classes that are called."""
    counts: Counter[str] = Counter()
    iou = box_iou(found.xyxy, truth.xyxy)
    same = np.array([[a == b for b in truth.labels] for a in found.labels]).reshape(iou.shape)
    taken: set[int] = set()
    for i in range(len(found)):  # best score first
        fitting = [j for j in np.argsort(-iou[i]) if same[i, j] and iou[i, j] >= 0.5 and j not in taken]
        clear = [j for j in fitting if truth.visibility[j] >= MIN_VISIBILITY]
        taken.update((clear or fitting)[:1])
        counts["right" if clear else "ignored" if fitting else "wrong"] += 1
    needed = {int(j) for j in np.flatnonzero(truth.visibility >= MIN_VISIBILITY)}
    counts["missed"] += len(needed - taken)
    absent = set(classes) - set(truth.labels)
    counts["absent"] += len(absent)
    counts["called"] += len(absent & set(found.labels))
    return counts


def mask_ious(result: VideoResult, truth: Sequence[GroundTruthFrame]) -> tuple[list[float], list[float]]:
    """J in the prompted frame, and over the whole track from its first frame on, of all objects found.

    Tracks and objects are paired so that the sum of J is the highest (DAVIS unsupervised).
    """
    predicted = {
        (int(row.frame_idx), int(row.obj_id)): decode_rle(str(row.mask_rle), HEIGHT, WIDTH)
        for row in result.tracks.itertuples()
    }
    first = result.tracks.groupby("obj_id")["frame_idx"].min()
    ids, objects = list(first.index), sorted({int(i) for t in truth for i in t.obj_ids})
    ious: dict[tuple[int, int], dict[int, float]] = {(k, o): {} for k in ids for o in objects}
    for t in truth:
        for o, mask, share in zip(t.obj_ids.tolist(), t.masks, t.visibility, strict=True):
            if share < MIN_VISIBILITY:
                continue
            for k in ids:
                mine = predicted.get((t.idx, k))
                ious[k, o][t.idx] = 0.0 if mine is None else float((mine & mask).sum() / (mine | mask).sum())
    mean = np.array([[np.mean(list(ious[k, o].values()) or [0.0]) for o in objects] for k in ids])
    if not mean.size:
        return [], []
    pairs = [
        (ids[i], objects[j]) for i, j in zip(*linear_sum_assignment(-mean), strict=True) if mean[i, j] > 0.1
    ]
    # The latest frame in which the detector ran decides which one was prompted; the rest is filled in.
    prompted = [ious[k, o][t] for k, o in pairs if (t := _prompted(result.tracks, k)) in ious[k, o]]
    whole = [float(np.mean([v for t, v in ious[k, o].items() if t >= first[k]])) for k, o in pairs]
    return prompted, whole


def _prompted(tracks: pd.DataFrame, obj_id: int) -> int:
    mine = tracks[(tracks["obj_id"] == obj_id) & tracks["detected"]]
    return int(mine["frame_idx"].min()) if len(mine) else -1


def run_trackkit(path: Path, config: TrackConfig, found: Sequence[Detections]) -> VideoResult:
    """Any tracker of trackkit on given detections."""
    return track_video(path, config, models=Models(Replay(found), load_tracker(config, "cpu"), "cpu", 0.0))


# ---- the stock predictor ----


def build_stock() -> Any:
    """The package's own video predictor with our weights."""
    predictor = build_sam2_model(
        "sam2.1_hiera_mini", overrides=["model._target_=sam2.sam2_video_predictor.SAM2VideoPredictor"]
    )
    predictor.load_state_dict(_weights())
    return predictor


def _weights() -> dict[str, torch.Tensor]:
    from trackkit.trackers.sam2.checkpoint import load_sam2

    return dict(load_sam2("mini").state_dict())


def run_stock(
    predictor: Any,
    path: Path,
    info: VideoInfo,
    frames: Sequence[Frame],
    found: Sequence[Detections | None],
    config: TrackConfig,
    *,
    resets: bool,
) -> VideoResult:
    """The stock predictor on given detections; with ``resets`` it takes up new objects as they come."""
    import cv2
    import sam2.sam2_video_predictor as package
    from sam2.utils import misc

    package.tqdm = misc.tqdm = lambda items, **_: items
    tracks = TrackTable(str(path), config.classes)
    labels: dict[int, tuple[str, float]] = {}
    masks: dict[int, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        for i, frame in enumerate(frames):
            cv2.imwrite(f"{folder}/{i:05d}.jpg", frame.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])
        state = predictor.init_state(folder)
        runs = [i for i, each in enumerate(found) if each is not None]
        for start, end in zip(runs, [*runs[1:], len(frames)], strict=True):
            detections = found[start]
            assert detections is not None
            if not labels or resets:
                known = {k: m for k, m in masks.items() if m.any()}
                boxes = np.array([_box(m) for m in known.values()], np.float32).reshape(-1, 4)
                iou = box_iou(detections.xyxy, boxes)
                new = [i for i in range(len(detections)) if not (iou[i] >= 0.5).any()]
                if new and labels:
                    predictor.reset_state(state)
                    for obj_id, mask in known.items():
                        predictor.add_new_mask(state, start, obj_id, mask)
                for i in new:
                    obj_id = len(labels) + 1
                    labels[obj_id] = (detections.labels[i], float(detections.scores[i]))
                    predictor.add_new_points_or_box(state, start, obj_id, box=detections.xyxy[i])
            if not labels or not state["obj_ids"]:
                continue
            for t, obj_ids, logits in predictor.propagate_in_video(state, start, end - start):
                masks = {k: (logits[n, 0] > 0).cpu().numpy() for n, k in enumerate(obj_ids)}
                if t < end:  # the range includes its end: the masks there meet the next detections
                    tracks.add(_objects(frames[t], masks, labels, t == start))
    return VideoResult(
        task=VideoTask(str(path), str(path)),
        info=info,
        tracks=tracks.to_frame(),
        frames=(np.array([f.idx for f in frames], np.int32), np.array([f.time_s for f in frames])),
        process_fps=info.fps,
        seconds={"total": 0.0},
        peak_rss_mb=0.0,
    )


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _objects(
    frame: Frame, masks: dict[int, np.ndarray], labels: dict[int, tuple[str, float]], detected: bool
) -> TrackedObjects:
    seen = {k: m for k, m in sorted(masks.items()) if m.any()}
    stack = np.stack(list(seen.values())) if seen else np.zeros((0, HEIGHT, WIDTH), np.bool_)
    return TrackedObjects(
        frame=frame,
        obj_ids=np.array(list(seen), np.int32),
        xyxy=np.array([_box(m) for m in seen.values()], np.float32).reshape(-1, 4),
        scores=np.array([labels[k][1] for k in seen], np.float32),
        labels=tuple(labels[k][0] for k in seen),
        detected=np.full(len(seen), detected),
        areas=stack.sum((1, 2)).astype(np.int32),
        rles=tuple(encode_masks(stack)),
    )


# ---- the tables ----


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--write", action="store_true", help="put the tables into RESULTS.md")
    options = parser.parse_args()
    seeds = range(FIRST_SEED, FIRST_SEED + options.clips)
    with tempfile.TemporaryDirectory() as name, ProcessPoolExecutor(options.processes) as workers:
        folder = Path(name)
        reports = list(workers.map(run_clip, seeds, [folder] * options.clips))
        truth = write_ground_truth(folder / "truth.jsonl", {r.truth[0]: r.truth[1:] for r in reports})
        rows = [tracker_row(name, reports, truth) for name in TRACKERS]
    where = (
        f"{machine('torch', 'sam2', 'transformers', 'trackeval')}; {options.clips} clips of {FRAMES} "
        f"frames, {WIDTH} x {HEIGHT}, 2 to 6 objects among clutter, seeds that were not trained on; what is "
        f"less than {MIN_VISIBILITY:.0%} visible does not count."
    )
    publish("Mini models: detector", f"{where}\n\n{detector_table(reports)}", write=options.write)
    header = (
        "",
        "HOTA",
        "IDF1",
        "MOTA",
        "id switches a clip",
        "J, prompted frame",
        "J, whole track",
        "ms a frame",
    )
    how = f"All get the same detections, on every {EVERY}th frame; similarity by box; ms: on one core."
    body = f"{where} {how}\n\n"
    publish("Mini models: trackers", body + table(header, rows), write=options.write)


def detector_table(reports: Sequence[ClipReport]) -> str:
    n = sum((r.detections for r in reports), Counter())
    rows = [
        ("precision, IoU 0.5", f"{n['right'] / max(n['right'] + n['wrong'], 1):.3f}", "0.95"),
        ("recall, IoU 0.5", f"{n['right'] / max(n['right'] + n['missed'], 1):.3f}", "0.95"),
        ("absent classes called, share of prompts", f"{n['called'] / max(n['absent'], 1):.3f}", "0.03"),
        ("ms an image, one core", f"{1000 * np.mean([r.seconds['detector'] for r in reports]):.0f}", ""),
    ]
    return table((f"on every {EVERY}th frame, {n['right'] + n['missed']} objects", "measured", "goal"), rows)


def tracker_row(name: str, reports: Sequence[ClipReport], truth: Path) -> tuple[object, ...]:
    results = tk.TrackingResults([r.results[name] for r in reports], TrackConfig("object"))
    scores = tk.evaluate(results, truth, by="box", min_visibility=MIN_VISIBILITY).overall
    mean_j = [
        f"{np.mean([v for r in reports for v in r.j[name][i]]):.3f}" if name in reports[0].j else ""
        for i in range(2)
    ]
    return (
        name,
        *(f"{scores[metric]:.3f}" for metric in ("HOTA", "IDF1", "MOTA")),
        f"{scores['id_switches'] / len(reports):.2f}",
        *mean_j,
        f"{1000 * np.mean([r.seconds[name] for r in reports]):.0f}",
    )


if __name__ == "__main__":
    main()
