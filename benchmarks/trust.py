"""Whether tracks of low trust are bad tracks: the trust of each against its true IoU, on synthetic clips.

    python benchmarks/trust.py --write            # 24 clips of 60 frames, some 5 minutes on two cores
    python benchmarks/trust.py --clips 4

The clips are those of ``mini_models.py``, tracked with the mini preset; the true IoU is that of
``Evaluation.tracks``. A track is bad where it is below 0.5. AUC is how often a bad track has less trust than
a good one, 0.5 being chance.

A switch is a frame in which an object changes its id, or an id its object, at an IoU of 0.5. A suspected one
is right where one is within half a second.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from mini_models import FIRST_SEED, FRAMES, HEIGHT, WIDTH, prompt_of
from report import machine, publish, table
from scipy.stats import mannwhitneyu, spearmanr

import trackkit as tk
from trackkit.config import TrackConfig
from trackkit.evaluation.frame_pairs import FramePair, frame_pairs
from trackkit.formats.ground_truth import read_ground_truth
from trackkit.results.trust import PARTS, track_events
from trackkit.results.video_result import VideoResult
from trackkit.synthetic.dataset import ground_truth, write_ground_truth, write_video
from trackkit.synthetic.render import iter_frames
from trackkit.synthetic.scenes import make_natural_scene
from trackkit.tracking.track_video import track_video

BAD, NEAR_S = 0.5, 0.5


def run_clip(seed: int, folder: Path) -> tuple[VideoResult, pd.DataFrame]:
    """One clip: what was found, and what is there."""
    torch.set_num_threads(1)
    scene = make_natural_scene(seed, width=WIDTH, height=HEIGHT, num_frames=FRAMES)
    prompt = prompt_of([truth for _, truth in iter_frames(scene)], seed)
    path = write_video(scene, folder / f"{seed}.mp4")
    return track_video(path, TrackConfig.from_preset("mini", prompt)), ground_truth(scene)


def judged_tracks(clips: Sequence[tuple[VideoResult, pd.DataFrame]], truth_file: Path) -> pd.DataFrame:
    """``TrackingResults.trust`` with the true ``iou`` of every track."""
    results = tk.TrackingResults(
        [result for result, _ in clips], TrackConfig.from_preset("mini", "red object")
    )
    truth = write_ground_truth(truth_file, {r.task.video_path: (r.info, rows) for r, rows in clips})
    found = tk.evaluate(results, truth, by="mask").tracks[["video_path", "obj_id", "iou"]]
    return results.trust.astype({"video_path": "str"}).merge(found, on=["video_path", "obj_id"])


def trust_table(tracks: pd.DataFrame) -> str:
    rows = []
    for name in ("trust", *PARTS):
        known = tracks.dropna(subset=[name])
        good, bad = (known.loc[known["iou"].lt(BAD) == is_bad, name] for is_bad in (False, True))
        auc = mannwhitneyu(good, bad).statistic / (len(good) * len(bad))
        rows.append((name, f"{auc:.2f}", f"{spearmanr(known[name], known['iou']).statistic:.2f}"))
    lowest = tracks.nsmallest(len(tracks) // 5, "trust")["iou"].lt(BAD).mean()
    rows.append(("bad among the fifth of least trust", f"{lowest:.0%}", ""))
    rows.append(("bad among all", f"{tracks['iou'].lt(BAD).mean():.0%}", ""))
    return table(("", "AUC, or share", "rank correlation with the true IoU"), rows)


def switch_table(clips: Sequence[tuple[VideoResult, pd.DataFrame]], truth_file: Path) -> str:
    counts: Counter[str] = Counter()
    for result, rows in clips:
        write_ground_truth(truth_file, {result.task.video_path: (result.info, rows)})
        pairs, _ = frame_pairs(read_ground_truth(truth_file)[0], result, masks=True, ignore_labels=True)
        true = switches(pairs, result.frames[1])
        events = track_events(result, TrackConfig.from_preset("mini", "red object"))
        suspected = events.loc[events["event"] == "suspected switch", "time_s"].to_numpy()
        near = np.abs(suspected[:, None] - true[None, :]) <= NEAR_S
        counts.update(suspected=len(suspected), right=int(near.any(1).sum()))
        counts.update(true=len(true), found=int(near.any(0).sum()))
    header = ("suspected switches", "right", "true switches", "found")
    return table(header, [tuple(counts[name] for name in ("suspected", "right", "true", "found"))])


def switches(pairs: Sequence[FramePair], times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """When an object of the ground truth changes its id, or an id its object: seconds ``(N,)``."""
    id_of: dict[int, int] = {}
    object_of: dict[int, int] = {}
    found = []
    for pair, time_s in zip(pairs, times.tolist(), strict=True):
        best = pair.similarity.argmax(1) if pair.similarity.size else np.zeros(0, np.int64)
        for i, j in enumerate(best):
            if pair.similarity[i, j] < BAD:
                continue
            truth, obj_id = int(pair.truth.ids[i]), int(pair.found.ids[j])
            if id_of.get(truth, obj_id) != obj_id or object_of.get(obj_id, truth) != truth:
                found.append(time_s)
            id_of[truth], object_of[obj_id] = obj_id, truth
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--write", action="store_true", help="put the table in benchmarks/RESULTS.md")
    options = parser.parse_args()
    seeds = range(FIRST_SEED, FIRST_SEED + options.clips)
    with tempfile.TemporaryDirectory() as name, ProcessPoolExecutor(os.cpu_count()) as workers:
        clips = list(workers.map(run_clip, seeds, [Path(name)] * len(seeds)))
        report(clips, Path(name) / "truth.jsonl", write=options.write)


def report(clips: Sequence[tuple[VideoResult, pd.DataFrame]], truth_file: Path, *, write: bool) -> None:
    tracks = judged_tracks(clips, truth_file)
    where = (
        f"{machine('torch', 'sam2', 'transformers', 'trackeval')}; {len(clips)} clips of {FRAMES} frames, "
        f"{len(tracks)} tracks, those with a true IoU below {BAD} being bad; `--preset mini`."
    )
    tables = f"{trust_table(tracks)}\n\n{switch_table(clips, truth_file)}"
    publish("Trust: does it find the bad tracks?", f"{where}\n\n{tables}", write=write)


if __name__ == "__main__":
    main()
