"""The SAM 2 engine beside the stock predictor: operations, memory, time. Prints markdown; --write stores it.

    python benchmarks/sam2_engine.py                       # CPU: operations, memory, time
    python benchmarks/sam2_engine.py --device cuda         # GPU: frames/s, memory, use of the tensor cores
    python benchmarks/sam2_engine.py --device cuda --compile --budget 600 --write

Every case (sam2_cases.py) runs in a process of its own, so that nothing is left over from the one before.
What does not fit the machine or the time budget is left out and said so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from report import machine, publish, table
from sam2_cases import Case

# Large blocks go back to the system when they are freed: resident memory is what is held.
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}


class Runner:
    """Runs cases in fresh processes until the budget is spent."""

    def __init__(self, budget: float, case_limit: float) -> None:
        self.deadline = time.monotonic() + budget
        self.case_limit = case_limit

    def __call__(self, case: Case) -> dict[str, float] | str:
        """The figures, or why there are none."""
        left = self.deadline - time.monotonic()
        if left < 5:
            return "no time left"
        limit = min(left, self.case_limit)
        command = [sys.executable, str(Path(__file__).with_name("sam2_cases.py")), json.dumps(asdict(case))]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=limit,
                check=False,
                env=os.environ | (GIVE_BACK if case.what == "memory" else {}),
            )
        except subprocess.TimeoutExpired:
            return f"over {limit:.0f} s"
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            print(f"{case}\n{done.stderr[-2000:]}", file=sys.stderr)
            return "out of memory" if "OutOfMemory" in done.stderr else lines[-1][:80].replace("|", "/")
        figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
        return figures


def show(figures: dict[str, float] | str, form: str) -> str:
    return figures if isinstance(figures, str) else form.format(**figures)


Part = tuple[str, str]  # title and body of a section


def operations(run: Runner, args: argparse.Namespace) -> Part:
    rows = []
    for n in args.objects:
        stock, ours = (run(Case("operations", impl, objects=n)) for impl in ("stock", "engine"))
        both = isinstance(stock, dict) and isinstance(ours, dict)
        factor = f"{stock['operations'] / ours['operations']:.1f}" if both else ""
        ages = [
            run(Case("operations", objects=n, attention=attention, staggered=True)) if n > 1 else ""
            for attention in ("cohort", "auto")
        ]
        cells = [show(x, "{operations:,.0f}") for x in (stock, ours, *ages)]
        rows.append([n, *cells[:2], factor, *cells[2:]])
    head = [
        "objects",
        "stock",
        "engine",
        "fewer by",
        "up to 16 ages: cohorts",
        "up to 16 ages: one masked call",
    ]
    return "operations per steady frame", "ATen operations but for views; nano model.\n\n" + table(head, rows)


def memory(run: Runner, args: argparse.Namespace) -> Part:
    long = 200 if args.quick else 400
    rows = []
    for impl in ("stock", "engine"):
        peaks = [run(Case("memory", impl, image_size=256, objects=4, frames=n)) for n in (50, long)]
        growth = ""
        if not any(isinstance(peak, str) for peak in peaks):
            growth = f"{peaks[1]['total'] / peaks[0]['total']:.3f}x"  # type: ignore[index]
        rows.append([impl, *(show(x, "{total:.0f} (+{mib:.1f})") for x in peaks), growth])
    text = (
        "MiB of resident memory, in brackets over the start; 4 objects, nano model, 256 px. malloc gives "
        "freed blocks back at once, so that this is what is held.\n\n"
    )
    return "peak memory", text + table(["", "50 frames", f"{long} frames", "growth"], rows)


def cpu_time(run: Runner, args: argparse.Namespace) -> Part:
    sizes = [("nano", 128, 25), ("nano", 256, 15), ("tiny", 256, 9)]
    if not args.quick:
        sizes.append(("tiny", 1024, 3))
    rows = []
    for size, pixels, repeats in sizes:
        for n in (1, 4) if pixels > 512 else (1, 4, 16):
            figures = run(Case("ratio", size=size, image_size=pixels, objects=n, frames=repeats))
            cells = [show(figures, form) for form in ("{stock:.1f}", "{engine:.1f}", "{ratio:.2f}")]
            rows.append([f"{size}, {pixels} px", n, *cells])
    text = (
        "CPU time per steady frame, ms: one thread, median, both in turn in one process, with reading and "
        "resizing; on top, the engine thresholds the masks and brings them to the host.\n\n"
    )
    return "time", text + table(["model", "objects", "stock", "engine", "ratio"], rows)


def gpu_encoder(run: Runner, args: argparse.Namespace) -> Part:
    rows = []
    for size in args.sizes:
        for compile in [False, True] if args.compile else [False]:
            figures = run(Case("encoder", size=size, image_size=1024, device="cuda", compile=compile))
            cells = [show(figures, f) for f in ("{images:.1f}", "{rate:.0f}", "{matmul:.0f}", "{share:.0%}")]
            rows.append([size, "compiled" if compile else "eager", *cells])
    head = ["model", "", "images/s", "TFLOP/s", "a large product", "share"]
    return "image encoder", "1024 px, bf16, batches of 8.\n\n" + table(head, rows)


def gpu_speed(run: Runner, args: argparse.Namespace) -> Part:
    """All cases, those first that say most: the time may run out."""
    few = 4 if args.quick else 12
    pairs = [(size, n) for size in args.sizes for n in args.objects]
    cases: list[tuple[str, Case]] = []

    def add(name: str, sizes: list[tuple[str, int]], **options: Any) -> None:
        base = {"image_size": 1024, "device": "cuda", "frames": few, **options}
        cases.extend((name, Case("speed", size=size, objects=n, **base)) for size, n in sizes)

    add("engine", pairs)
    add("stock", pairs, impl="stock", frames=2)
    if args.compile:
        add("engine, compiled", pairs, compile=True)
    several = [(size, n) for size, n in pairs if n > 1]
    add("engine, 16 ages, cohorts", several, staggered=True, attention="cohort", frames=4)
    add("engine, 16 ages, one masked call", several, staggered=True, attention="auto", frames=4)
    if args.compile:
        add("stock, vos_optimized", [(size, n) for size, n in pairs if n == 1], impl="stock vos")
    figures = [(name, case, run(case)) for name, case in cases]
    figures.sort(key=lambda x: (args.sizes.index(x[1].size), x[1].objects))
    rows = [[c.size, c.objects, name, show(f, "{fps:.1f}"), show(f, "{gib:.1f}")] for name, c, f in figures]
    text = (
        "1024 px, bf16, video 1280 x 720, steady frames. The engine's time includes upload, resizing and "
        "the masks on the host; stock's starts from resized frames on the GPU and ends with logits there.\n\n"
    )
    return "tracking", text + table(["model", "objects", "", "frames/s", "peak GiB"], rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--sizes", nargs="+", default=["large", "tiny"], help="model sizes on a GPU")
    parser.add_argument("--objects", nargs="+", type=int, help="numbers of objects")
    parser.add_argument("--compile", action="store_true", help="on a GPU, measure torch.compile too")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases")
    parser.add_argument("--budget", type=float, default=1800, help="seconds; what does not fit is left out")
    parser.add_argument("--case-limit", type=float, default=180, help="seconds that one case may take")
    parser.add_argument("--write", action="store_true", help="store the sections in RESULTS.md")
    args = parser.parse_args()
    import torch

    gpu = args.device == "cuda"
    if gpu and not torch.cuda.is_available():
        print("no CUDA GPU here: nothing measured")
        return 0
    args.objects = args.objects or ([1, 16, 64, 128] if gpu else [1, 4, 16, 64])
    where = torch.cuda.get_device_name() if gpu else "one thread"
    run = Runner(args.budget, args.case_limit)
    for part in (gpu_encoder, gpu_speed) if gpu else (operations, memory, cpu_time):
        title, body = part(run, args)
        body = f"{machine('torch', 'sam2')}; {where}\n\n{body}"
        publish(f"SAM 2 engine on the {args.device.upper()}: {title}", body, write=args.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
