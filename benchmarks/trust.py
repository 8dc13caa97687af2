"""Whether tracks of low trust are bad tracks: the trust of each against its true IoU, on synthetic clips.

    python benchmarks/trust.py --write            # 24 clips of 60 frames, some 5 minutes on two cores
    python benchmarks/trust.py --clips 4

The clips are those of ``mini_models.py``, tracked with the mini preset; the true IoU is that of
``Evaluation.tracks``. A track is bad where it is below 0.5. AUC is how often a bad track has less trust than
a good one, 0.5 being chance.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
import torch
from mini_models import FIRST_SEED, FRAMES, HEIGHT, WIDTH, prompt_of
from report import machine, publish, table
from scipy.stats import mannwhitneyu, spearmanr

import trackkit as tk
from trackkit.config import TrackConfig
from trackkit.datasets import ground_truth, iter_frames, make_natural_scene, write_video
from trackkit.ground_truth import write_ground_truth
from trackkit.structures import VideoResult
from trackkit.tracking import track_video
from trackkit.trust import PARTS

BAD = 0.5


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
    publish("Trust: does it find the bad tracks?", f"{where}\n\n{trust_table(tracks)}", write=write)


if __name__ == "__main__":
    main()
