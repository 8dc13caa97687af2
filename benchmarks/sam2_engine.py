"""The SAM 2 engine beside the stock predictor: operations, memory, time. Prints markdown; --write stores it.

    python benchmarks/sam2_engine.py                       # CPU: operations, memory, time
    python benchmarks/sam2_engine.py --device cuda         # GPU: frames/s, memory, use of the tensor cores
    python benchmarks/sam2_engine.py --device cuda --compile --budget 600 --write

Every case (sam2_cases.py) runs in a process of its own, so that nothing is left over from the one before. What does
not fit the machine or the time budget is left out and said so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sam2_cases import Case

RESULTS = Path(__file__).resolve().parent / "RESULTS.md"


class Runner:
    """Runs cases in fresh processes until the budget is spent."""

    def __init__(self, budget: float) -> None:
        self.deadline = time.monotonic() + budget

    def __call__(self, case: Case) -> dict[str, float] | str:
        """The figures, or why there are none."""
        left = self.deadline - time.monotonic()
        if left < 5:
            return "no time left"
        command = [sys.executable, str(RESULTS.with_name("sam2_cases.py")), json.dumps(asdict(case))]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=left, check=False)
        except subprocess.TimeoutExpired:
            return "no time left"
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            print(f"{case}\n{done.stderr[-2000:]}", file=sys.stderr)
            return "out of memory" if "OutOfMemory" in done.stderr else lines[-1][:80].replace("|", "/")
        figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
        return figures


def show(figures: dict[str, float] | str, form: str) -> str:
    return figures if isinstance(figures, str) else form.format(**figures)


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in lines) + "\n"


def cpu_report(run: Runner, args: argparse.Namespace) -> Iterator[str]:
    few = [n for n in args.objects if n <= 64]
    rows = []
    for n in few:
        stock, ours = (run(Case("operations", impl, objects=n)) for impl in ("stock", "engine"))
        factor = (
            f"{stock['operations'] / ours['operations']:.1f}"
            if isinstance(stock, dict) and isinstance(ours, dict)
            else ""
        )
        ages = [
            run(Case("operations", objects=n, attention=attention, staggered=True)) if n > 1 else ""
            for attention in ("cohort", "auto")
        ]
        rows.append(
            [
                str(n),
                *(show(x, "{operations:,.0f}") for x in (stock, ours)),
                factor,
                *(show(x, "{operations:,.0f}") for x in ages),
            ]
        )
    head = [
        "objects",
        "stock",
        "engine",
        "fewer by",
        "up to 16 ages: cohorts",
        "up to 16 ages: one masked call",
    ]
    yield "**Compute operations per steady frame** (ATen without views; nano model)\n\n" + table(head, rows)

    long = 200 if args.quick else 400
    rows = []
    for impl in ("stock", "engine"):
        peaks = [run(Case("memory", impl, image_size=256, objects=4, frames=n)) for n in (50, long)]
        rows.append([impl, *(show(x, "{mib:.1f}") for x in peaks)])
    yield "**Peak memory over the start, MiB** (RSS; 4 objects, nano model, 256 px)\n\n" + table(
        ["", "50 frames", f"{long} frames"], rows
    )

    sizes = [("nano", 128, 25), ("nano", 256, 15), ("tiny", 256, 9)]
    if not args.quick:
        sizes.append(("tiny", 1024, 3))
    rows = []
    for size, pixels, repeats in sizes:
        for n in (1, 4) if pixels > 512 else (1, 4, 16):
            figures = run(Case("ratio", size=size, image_size=pixels, objects=n, frames=repeats))
            rows.append(
                [
                    f"{size}, {pixels} px",
                    str(n),
                    *(show(figures, f) for f in ("{stock:.1f}", "{engine:.1f}", "{ratio:.2f}")),
                ]
            )
    yield (
        "**CPU time per steady frame, ms** (one thread, median, in turn in one process; the engine's time "
        "includes reading, resizing and masks on the host)\n\n"
        + table(["model", "objects", "stock", "engine", "ratio"], rows)
    )


def gpu_report(run: Runner, args: argparse.Namespace) -> Iterator[str]:
    compiled = [False, True] if args.compile else [False]
    rows = []
    for size in args.sizes:
        for compile in compiled:
            figures = run(Case("encoder", size=size, image_size=1024, device=args.device, compile=compile))
            cells = [show(figures, f) for f in ("{images:.1f}", "{rate:.0f}", "{matmul:.0f}", "{share:.0%}")]
            rows.append([size, "compiled" if compile else "eager", *cells])
    head = ["model", "", "images/s", "TFLOP/s", "a large product", "share"]
    yield "**Image encoder** (1024 px, bf16, batches of 8)\n\n" + table(head, rows)

    head = ["model", "objects", "", "frames/s", "peak GiB"]
    rows = []
    base: dict[str, Any] = {"what": "speed", "image_size": 1024, "device": args.device}
    frames = 8 if args.quick else 16
    for n in args.objects:
        for size in args.sizes:
            ours = [
                (
                    "engine" + (", compiled" if c else ""),
                    Case(size=size, objects=n, frames=frames, compile=c, **base),
                )
                for c in compiled
            ]
            if n > 1:
                for attention in ("cohort", "auto"):
                    case = Case(size=size, objects=n, frames=4, attention=attention, staggered=True, **base)
                    ours.append((f"engine, {min(n, 16)} ages, {attention}", case))
            few = max(2, 16 // n)
            stock = [("stock", Case(impl="stock", size=size, objects=n, frames=few, **base))]
            if args.compile and n == 1:
                stock.append(
                    ("stock, vos_optimized", Case(impl="stock vos", size=size, objects=n, frames=few, **base))
                )
            for name, case in ours + stock:
                figures = run(case)
                rows.append([size, str(n), name, show(figures, "{fps:.1f}"), show(figures, "{gib:.1f}")])
    yield (
        "**Tracking** (1024 px, bf16, video 1280 x 720, steady frames; the engine's time includes reading, "
        "resizing and masks on the host, stock's does not)\n\n" + table(head, rows)
    )


def machine(device: str) -> str:
    import platform

    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine() + " CPU, one thread"
    return f"{name}; torch {torch.__version__}"


def store(section: str, device: str) -> None:
    """Put the section into RESULTS.md, in place of the one of the last run on such a device."""
    begin, end = f"<!-- sam2_engine {device} -->", f"<!-- end sam2_engine {device} -->"
    text = RESULTS.read_text() if RESULTS.exists() else "# Benchmarks\n"
    block = f"{begin}\n{section.strip()}\n{end}"
    if begin in text and end in text:
        head, rest = text.split(begin, 1)
        text = head + block + rest.split(end, 1)[1]
    else:
        text = f"{text.rstrip()}\n\n{block}\n"
    RESULTS.write_text(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--sizes", nargs="+", default=["large", "tiny"], help="model sizes on a GPU")
    parser.add_argument("--objects", nargs="+", type=int, help="numbers of objects")
    parser.add_argument("--compile", action="store_true", help="on a GPU, measure torch.compile too")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases")
    parser.add_argument("--budget", type=float, default=1800, help="seconds; what does not fit is left out")
    parser.add_argument("--write", action="store_true", help=f"store the section in {RESULTS.name}")
    args = parser.parse_args()
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA GPU here: nothing measured")
        return 0
    args.objects = args.objects or ([1, 4, 16, 64] if args.device == "cpu" else [1, 16, 64, 128])
    report = cpu_report if args.device == "cpu" else gpu_report
    parts = [f"## SAM 2 engine, {args.device.upper()}\n\n{machine(args.device)}\n"]
    for part in report(Runner(args.budget), args):
        parts.append(part)
        print(part, flush=True)
        if args.write:  # after each part: a run that is cut off leaves what it has
            store("\n".join(parts), args.device)
    return 0


if __name__ == "__main__":
    sys.exit(main())
