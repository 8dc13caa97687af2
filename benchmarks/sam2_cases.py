"""The cases of sam2_engine.py: each measures one thing, in a process of its own.

    python benchmarks/sam2_cases.py '{"what": "operations", "objects": 16}'

Weights are random: time and memory do not depend on them.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]  # trackkit from the checkout; small_sam2
FULL = 18  # frames until all memory slots of an object are in use


@dataclass(frozen=True)
class Case:
    """One measurement in one process."""

    what: str  # operations | memory | ratio | speed | encoder
    impl: str = "engine"  # engine | stock | stock vos
    size: str = "nano"
    image_size: int = 128
    objects: int = 1
    frames: int = 5
    device: str = "cpu"
    attention: str = "auto"
    compile: bool = False
    staggered: bool = False


def run_case(case: Case) -> dict[str, float]:
    import torch

    if case.device == "cpu":
        torch.set_num_threads(1)
    measure: dict[str, Callable[[Case], dict[str, float]]] = {
        "operations": operations,
        "memory": memory,
        "ratio": ratio,
        "speed": speed,
        "encoder": encoder,
    }
    return measure[case.what](case)


def build(case: Case) -> Any:
    """A stock predictor, which is a SAM2Base too, with objects that stay visible."""
    import small_sam2 as small
    import torch
    from sam2.build_sam import build_sam2_video_predictor

    from trackkit.trackers.sam2.build import SAM2_CONFIGS

    if case.size == "nano":
        return small.build_stock("nano", case.image_size).to(case.device)
    torch.manual_seed(0)
    model = build_sam2_video_predictor(
        SAM2_CONFIGS[f"sam2.1_hiera_{case.size}"],
        device=case.device,
        hydra_overrides_extra=small.overrides(case.size, case.image_size),
        vos_optimized=case.impl == "stock vos",
    )
    model.fill_hole_area = 0
    model.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.data.fill_(30.0)
    return model.requires_grad_(False)


def boxes(n: int) -> list[list[float]]:
    import small_sam2 as small

    w, h = small.WIDTH, small.HEIGHT
    return [[x, y, x + w / 4, y + h / 4] for x, y in ((i * 7 % (w // 2), i * 5 % (h // 2)) for i in range(n))]


def open_stock(model: Any, folder: Path) -> Any:
    """The stock predictor reads and resizes the whole video before the first frame."""
    import small_sam2 as small

    with small.no_progress_bars():
        return model.init_state(str(folder))


def stock_frames(model: Any, state: Any, case: Case) -> Iterator[Any]:
    """The stock predictor's frames: logits at the video's size, on the device."""
    import small_sam2 as small

    for i, box in enumerate(boxes(case.objects)):
        model.add_new_points_or_box(state, 0, i, box=box)
    with small.no_progress_bars():
        yield from model.propagate_in_video(state)


def engine_frames(model: Any, folder: Path, case: Case, ahead: int = 1) -> Iterator[Any]:
    """The engine's frames: with resizing, and the masks on the host; on a CPU also with reading."""
    import numpy as np
    import small_sam2 as small
    from PIL import Image

    from trackkit.trackers.by_mask.prompts import BoxPrompt
    from trackkit.trackers.sam2.engine import Sam2Engine

    tracker: Any = Sam2Engine(
        model,
        (small.HEIGHT, small.WIDTH),
        attention=case.attention,  # type: ignore[arg-type]
        capacity=case.objects,
        resizer="pil" if case.device == "cpu" else "device",
    )
    prompts = [BoxPrompt(i, box) for i, box in enumerate(boxes(case.objects))]
    paths = sorted(folder.iterdir())
    images: Any = (np.array(Image.open(path).convert("RGB")) for path in paths)
    if case.device == "cuda":  # there, decoding is not what is measured
        images = iter(list(images))
    t = 0
    while batch := list(islice(images, ahead)):
        for features in tracker.encode(batch):
            result = tracker.propagate(features)
            if new := [p for i, p in enumerate(prompts) if t == (i % 16 if case.staggered else 0)]:
                result = result.updated(tracker.condition(features, new))
            yield result.masks()
            t += 1


def frames_of(case: Case, model: Any, folder: Path, **options: int) -> Iterator[Any]:
    if case.impl == "engine":
        return engine_frames(model, folder, case, **options)
    return stock_frames(model, open_stock(model, folder), case)


def operations(case: Case) -> dict[str, float]:
    """ATen operations that do work (no views) on one steady frame: a stand-in for kernel launches."""
    import small_sam2 as small
    from torch.utils._python_dispatch import TorchDispatchMode

    views = frozenset(
        """view _unsafe_view expand permute transpose t unsqueeze squeeze slice select detach alias split
        split_with_sizes unbind as_strided reshape view_as_complex view_as_real _reshape_alias unfold
        lift_fresh""".split()  # noqa: SIM905 -- one per line would fill the page
    )
    counts: dict[str, float] = {}

    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func._schema.name.split("::")[1] not in views:
                counts["operations"] = counts.get("operations", 0) + 1
            return func(*args, **(kwargs or {}))

    with tempfile.TemporaryDirectory() as folder:
        small.write_clip(Path(folder), FULL + 1)
        steps = frames_of(case, build(case), Path(folder))
        for _ in range(FULL - 1 if case.staggered else FULL):
            next(steps)
        with Count():
            next(steps)
    return counts


def memory(case: Case) -> dict[str, float]:
    """Peak resident memory, and that over the memory before the video, MiB."""
    import small_sam2 as small

    def resident() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * 4096 / 2**20

    with tempfile.TemporaryDirectory() as folder:
        small.write_clip(Path(folder), case.frames)
        model = build(case)
        start = resident()
        peak = max(resident() for _ in frames_of(case, model, Path(folder)))
    return {"mib": peak - start, "total": peak}


def ratio(case: Case) -> dict[str, float]:
    """CPU time of one steady frame, both trackers in turn on one model in one process."""
    import small_sam2 as small

    with tempfile.TemporaryDirectory() as folder:
        warm = 8 if case.image_size > 512 else FULL
        small.write_clip(Path(folder), max(warm + case.frames, 17))
        model = build(case)
        num_frames = len(list(Path(folder).iterdir()))
        begin = time.process_time()
        state = open_stock(model, Path(folder))
        reading = (time.process_time() - begin) / num_frames
        runs = {
            "engine": engine_frames(model, Path(folder), case),
            "stock": stock_frames(model, state, case),
        }
        times: dict[str, list[float]] = {name: [] for name in runs}
        for t in range(warm + case.frames):
            for name, steps in runs.items():
                begin = time.process_time()
                next(steps)
                if t >= warm:
                    times[name].append(time.process_time() - begin + (reading if name == "stock" else 0))
    result = {name: 1000 * statistics.median(values) for name, values in times.items()}
    return {**result, "ratio": result["engine"] / result["stock"]}


def speed(case: Case) -> dict[str, float]:
    """Frames per second in the steady state on a GPU in bfloat16, and the peak of allocated memory."""
    import small_sam2 as small
    import torch

    from trackkit.trackers.sam2.stages import Sam2Stages

    small.WIDTH, small.HEIGHT = 1280, 720
    model = build(case)
    warm = 20
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        small.write_clip(folder, 8)
        for t in range(8, warm + case.frames):  # drawing more of them takes long
            shutil.copy(folder / f"{t % 8:05d}.jpg", folder / f"{t:05d}.jpg")
        if case.impl == "engine":
            stages = Sam2Stages(model, dtype=torch.bfloat16, compile=case.compile)
            steps = frames_of(case, stages, folder, ahead=4)
        else:
            stack.enter_context(torch.autocast(case.device, dtype=torch.bfloat16))
            steps = frames_of(case, model, folder)
        for _ in range(warm):
            next(steps)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        begin = time.perf_counter()
        for _ in range(case.frames):
            next(steps)
        torch.cuda.synchronize()
        seconds = time.perf_counter() - begin
    return {"fps": case.frames / seconds, "gib": torch.cuda.max_memory_allocated() / 2**30}


def encoder(case: Case) -> dict[str, float]:
    """The image encoder's arithmetic rate, and that of a plain large product of matrices: TFLOP/s, bf16."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from trackkit.trackers.sam2.stages import Sam2Stages

    def seconds(run: Callable[[], object], repeats: int) -> float:
        for _ in range(3):
            run()
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(repeats):
            run()
        torch.cuda.synchronize()
        return (time.perf_counter() - begin) / repeats

    n, batch = 8192, 8
    a = torch.randn(n, n, device=case.device, dtype=torch.bfloat16)
    plain = 2 * n**3 / seconds(lambda: a @ a, 30) / 1e12
    pixels = torch.randn(batch, 3, case.image_size, case.image_size, device=case.device)
    with torch.inference_mode():
        eager = Sam2Stages(build(case), dtype=torch.bfloat16)
        with FlopCounterMode(display=False) as counter:
            eager.encode(pixels)
        stages = Sam2Stages(eager.model, dtype=torch.bfloat16, compile=case.compile)
        one = seconds(lambda: stages.encode(pixels), 10)
    rate = counter.get_total_flops() / one / 1e12
    return {"images": batch / one, "rate": rate, "matmul": plain, "share": rate / plain}


if __name__ == "__main__":
    print(json.dumps(run_case(Case(**json.loads(sys.argv[1])))))
