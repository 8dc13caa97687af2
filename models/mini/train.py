"""Train the mini models from scratch, or go on from where training was stopped.

    python models/mini/train.py                      # both, one after the other
    python models/mini/train.py --only detector      # or each in a shell of its own
    python models/mini/train.py --minutes 30         # shorter; the learning rate falls accordingly

The same command goes on from its last checkpoint. Weights go to ``--output``, curves to
``<output>/<model>.csv``. The card in README.md says how those that trackkit ships were made.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import math
import time
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from detector import DetectorTrainer
from pool import TRAIN_SEED, Pool
from torch import Tensor
from tracker import TrackerTrainer

HERE = Path(__file__).resolve().parent
Trainer: TypeAlias = DetectorTrainer | TrackerTrainer
TRAINERS = {"detector": DetectorTrainer, "tracker": TrackerTrainer}
STEPS = {"detector": 12_000, "tracker": 8_000}
WARM_UP, AVERAGE = 100, 0.998
LOG_EVERY, SAVE_EVERY = 50, 200

# A step allocates and frees the same hundreds of MB; with these glibc keeps them (mallopt(3): trim threshold,
# top pad, mmap threshold): 300 page faults a step, not 25,000.
MALLOC = {-1: 2**31 - 1, -2: 2**28, -3: 2**25}


def main() -> None:
    """Read the options and train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=TRAINERS, help="one of the two (default: both)")
    parser.add_argument(
        "--output", type=Path, default=Path("mini_training"), help="checkpoints, curves, weights"
    )
    parser.add_argument(
        "--pool", type=Path, default=Path("mini_training/pool"), help="frames, rendered on first use"
    )
    parser.add_argument(
        "--clips",
        type=int,
        default=1800,
        help="clips in the pool, 2.5 MB each (default: %(default)s)",
    )
    parser.add_argument(
        "--start", type=Path, help="a mini model to begin with: folder (detector) or .pt (tracker)"
    )
    parser.add_argument("--steps", type=int, help=f"default: {STEPS}")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="end after so long, in all runs together"
    )
    parser.add_argument("--lr", type=float, default=1e-3, help="highest learning rate (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another one renders other clips")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    for option, value in MALLOC.items():
        ctypes.CDLL(None).mallopt(option, value)
    options.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    pool = Pool.open(options.pool, options.clips, TRAIN_SEED * (1 + options.seed))
    for name in [options.only] if options.only else TRAINERS:
        torch.manual_seed(options.seed)
        train(TRAINERS[name](pool, torch.device(options.device), options.start), options)


def train(trainer: Trainer, options: argparse.Namespace) -> None:
    """Train one model to the end, with a checkpoint every few hundred steps."""
    modules = trainer.modules().to(trainer.device).train()
    steps = options.steps or STEPS[trainer.name]
    decayed = [p for p in modules.parameters() if p.ndim >= 2]
    others = [p for p in modules.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 1e-3}, {"params": others, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
    )
    average = {key: value.detach().clone() for key, value in modules.state_dict().items()}
    step, minutes = 0, 0.0
    checkpoint = options.output / f"{trainer.name}.ckpt"
    if checkpoint.is_file():
        saved = torch.load(checkpoint, map_location=trainer.device, weights_only=True)
        modules.load_state_dict(saved["modules"])
        optimizer.load_state_dict(saved["optimizer"])
        average, step, minutes = saved["average"], saved["step"], saved["minutes"]

    def state() -> dict[str, Any]:
        return {
            "modules": modules.state_dict(),
            "optimizer": optimizer.state_dict(),
            "average": average,
            "step": step,
            "minutes": minutes,
        }

    rng = np.random.default_rng((options.seed, step))
    sums: dict[str, list[float]] = {}
    begun = time.monotonic() - 60 * minutes
    while True:
        minutes = (time.monotonic() - begun) / 60
        progress = max(step / steps, minutes / options.minutes)
        if progress >= 1:
            break
        rate = options.lr * min(1.0, (step + 1) / WARM_UP) * _annealing(progress)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, values = trainer.loss(rng, progress)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(modules.parameters(), 1.0)
        if norm.isfinite():
            optimizer.step()
        step += 1
        _follow(average, modules.state_dict(), min(AVERAGE, (1 + step) / (20 + step)))
        for key, value in {"loss": loss.item(), "gradient": norm.item(), **values}.items():
            sums.setdefault(key, []).append(value)
        if step % LOG_EVERY == 0 or step == steps:
            _log(options.output / f"{trainer.name}.csv", {"step": step, "minutes": minutes, "lr": rate}, sums)
            sums = {}
        if step % SAVE_EVERY == 0:
            _save(checkpoint, state(), trainer)
    _save(checkpoint, state(), trainer)


def _annealing(progress: float) -> float:
    """1 for the first 40%, then half a cosine down to 0.02."""
    return 1.0 if progress < 0.4 else 0.02 + 0.49 * (1 + math.cos(math.pi * (progress - 0.4) / 0.6))


@torch.no_grad()
def _follow(average: dict[str, Tensor], weights: dict[str, Tensor], decay: float) -> None:
    for key, value in weights.items():
        if value.is_floating_point():
            average[key].lerp_(value, 1 - decay)
        else:
            average[key].copy_(value)


def _save(checkpoint: Path, state: dict[str, Any], trainer: Trainer) -> None:
    partial = checkpoint.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(checkpoint)
    trainer.save(state["average"], checkpoint.parent)


def _log(path: Path, place: dict[str, float], sums: dict[str, list[float]]) -> None:
    row = {**place, **{key: float(np.mean(values)) for key, values in sorted(sums.items())}}
    columns = [*place, *COLUMNS[path.stem]]
    is_new = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="raise")
        if is_new:
            writer.writeheader()
        writer.writerow({key: f"{value:.5g}" for key, value in row.items()})
    print(" ".join(f"{key} {value:.4g}" for key, value in row.items()), flush=True)


COLUMNS = {
    "detector": ["loss", "gradient", "decoder0", "decoder1", "encoder", "dense", "shape_accuracy"],
    "tracker": ["loss", "gradient", "prompted_j", "tracked_j", "visible"],
}


if __name__ == "__main__":
    main()
