"""What a frame costs beside detection and tracking, on one core, and whether memory grows with length.

Compared in the same run with a plain OpenCV read loop, and with the per-frame dictionaries, pycocotools and
json of the scripts that trackkit replaces.

python benchmarks/pipeline.py [--video clip.mp4] [--write]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import av
import cv2
import numpy as np
from pycocotools import mask as coco
from report import machine, publish, table

import trackkit as tk
from trackkit.core.arrays import Masks
from trackkit.core.frames import Frame, TrackedObjects, VideoInfo
from trackkit.core.masks import boxes_of_masks, encode_masks, rle_areas
from trackkit.core.tasks import VideoTask
from trackkit.results.jsonl_line import encode_result
from trackkit.results.rows import TrackTable
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene
from trackkit.video.reader import VideoReader

CONFIG = tk.TrackConfig.from_preset("color", "red. yellow. blue. green.")
LIMIT_MS = 8.0


@dataclass(frozen=True)
class Inputs:
    """A clip and the masks of four objects in each of its frames."""

    video: Path
    info: VideoInfo
    frames: list[tuple[int, float]]
    masks: list[Masks]

    @classmethod
    def of(cls, video: Path) -> Inputs:
        """Four blobs of 100 to 250 pixels with rough edges that move about."""
        with VideoReader(video) as reader:
            frames = [(frame.idx, frame.time_s) for frame in reader]
            info = reader.info
        rng = np.random.default_rng(0)
        yy, xx = np.mgrid[: info.height, : info.width]
        phases, radii = rng.uniform(0, 6.28, (4, 2)), rng.uniform(50, 125, 4)
        masks = []
        for k in range(len(frames)):
            layers = []
            for (a, b), radius in zip(phases, radii, strict=True):
                x = info.width * (0.5 + 0.35 * np.sin(a + k / 40))
                y = info.height * (0.5 + 0.3 * np.sin(b + k / 30))
                angle = np.arctan2(yy - y, xx - x)
                layers.append(np.hypot(yy - y, xx - x) < radius * (1 + 0.1 * np.sin(9 * angle + k / 5)))
            masks.append(np.array(layers))
        return cls(video, info, frames, masks)


def per_frame_ms(action: Callable[[], int], repeats: int = 3) -> float:
    """Best of some runs; the action returns its number of frames."""
    times = []
    for _ in range(repeats):
        started = perf_counter()
        frames = action()
        times.append((perf_counter() - started) / frames * 1000)
    return min(times)


def read_ours(video: Path) -> int:
    with VideoReader(video) as reader:
        return sum(1 for _ in reader)


def read_opencv(video: Path) -> int:
    capture, frames = cv2.VideoCapture(str(video)), 0
    while capture.read()[0]:
        frames += 1
    return frames


def objects_of(inputs: Inputs, k: int) -> TrackedObjects:
    masks = inputs.masks[k]
    boxes = boxes_of_masks(masks)
    rles = tuple(encode_masks(masks, boxes))
    return TrackedObjects(
        frame=Frame(np.zeros((1, 1, 3), np.uint8), *inputs.frames[k]),
        obj_ids=np.arange(1, 5, dtype=np.int32),
        xyxy=boxes,
        scores=np.full(4, 0.9, np.float32),
        labels=CONFIG.classes,
        detected=np.ones(4, np.bool_),
        areas=rle_areas(rles, *masks.shape[1:]),
        rles=rles,
    )


def ours(inputs: Inputs) -> dict[str, float]:
    """Milliseconds a frame of each step from masks to the line on disk."""
    count = len(inputs.frames)
    objects = [objects_of(inputs, k) for k in range(count)]

    def encode() -> int:
        for k in range(count):
            objects_of(inputs, k)
        return count

    def rows() -> int:
        collected = TrackTable("clip.mp4", CONFIG.classes)
        for each in objects:
            collected.add(each)
        collected.to_frame()
        return count

    tracks = TrackTable("clip.mp4", CONFIG.classes)
    for each in objects:
        tracks.add(each)
    idx, time_s = np.array(inputs.frames).T
    result = tk.VideoResult(
        task=VideoTask("clip.mp4", str(inputs.video)),
        info=inputs.info,
        tracks=tracks.to_frame(),
        frames=(idx.astype(np.int32), time_s),
        process_fps=inputs.info.fps,
        seconds={},
        peak_rss_mb=0.0,
    )

    def line() -> int:
        with tempfile.TemporaryFile() as file:
            file.write(encode_result(result, CONFIG))
            file.flush()
            os.fsync(file.fileno())
        return count

    return {
        "decode": per_frame_ms(lambda: read_ours(inputs.video)),
        "boxes and RLE": per_frame_ms(encode),
        "rows": per_frame_ms(rows),
        "JSONL": per_frame_ms(line),
    }


def old_way(inputs: Inputs) -> dict[str, float]:
    """The same with OpenCV, pycocotools mask by mask, dictionaries and json."""
    count = len(inputs.frames)

    def encode(k: int) -> list[dict[str, object]]:
        found = []
        for obj_id, mask in enumerate(inputs.masks[k]):
            rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
            ys, xs = np.where(mask)
            box = [int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1]
            rle["counts"] = rle["counts"].decode()
            found.append({"obj_id": obj_id, "bbox": box, "label": "red", "score": 0.9, "segmentation": rle})
        return found

    def encode_all() -> int:
        for k in range(count):
            encode(k)
        return count

    entries = [{"frame_idx": k, "time_s": t, "objects": encode(k)} for k, t in inputs.frames]

    def line() -> int:
        with tempfile.TemporaryFile("w") as file:
            file.write(json.dumps({"video_path": "clip.mp4", "frames": entries}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return count

    return {
        "decode": per_frame_ms(lambda: read_opencv(inputs.video)),
        "boxes and RLE": per_frame_ms(encode_all),
        "rows": 0.0,
        "JSONL": per_frame_ms(line),
    }


def loop(video: Path, times: int, path: Path) -> Path:
    """The clip, ``times`` over, without coding it again."""
    with av.open(str(video)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        packets = [p for p in source.demux(stream) if p.dts is not None]
        length = max(p.pts + (p.duration or 0) for p in packets) - min(p.pts for p in packets)
        for k in range(times):
            source.seek(0)
            for packet in source.demux(stream):
                if packet.dts is None:
                    continue
                packet.pts += k * length
                packet.dts += k * length
                packet.stream = copy
                target.mux(packet)
    return path


def worker_peak_mb(video: Path) -> tuple[float, int]:
    """Peak memory and frames of a fresh worker that tracks one video."""
    code = (
        "import sys, trackkit as tk\n"
        "config = tk.TrackConfig.from_preset('color', 'red')\n"
        "with tk.Session(config, device='cpu', num_workers=1) as session:\n"
        "    row = session.track(sys.argv[1]).videos.iloc[0]\n"
        "print(row['peak_rss_mb'], row['frames'])\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code, str(video)], check=True, capture_output=True, text=True
    ).stdout.split()
    return float(printed[0]), int(printed[1])


def stage_rates(video: Path) -> list[list[object]]:
    """Frames/s and share of every stage of the whole pipeline, with the annotated video."""
    with tempfile.TemporaryDirectory() as folder:
        result = tk.track_video(video, CONFIG, output_video=Path(folder) / "out.mp4")
    frames, total = len(result.frames[0]), result.seconds["total"]
    rows: list[list[object]] = []
    for stage in ("decode", "detect", "track", "encode", "write"):
        seconds = result.seconds[stage]
        rows.append([stage, f"{seconds / frames * 1000:.2f}", f"{seconds / total:.0%}"])
    return [*rows, ["all", f"{total / frames * 1000:.2f}", f"{frames / total:.1f} frames/s"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--video", type=Path, help="a 720p clip (default: one that is made)")
    parser.add_argument("--loops", type=int, default=20)
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    options = parser.parse_args()
    cores = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = options.video or write_video(
            make_scene(4, width=1280, height=720, num_frames=200, num_objects=4, background="noise"),
            folder / "clip.mp4",
        )
        stages = stage_rates(video)
        os.sched_setaffinity(0, {min(cores)})
        inputs = Inputs.of(video)
        mine, theirs = ours(inputs), old_way(inputs)
        os.sched_setaffinity(0, cores)
        short, frames = worker_peak_mb(video)
        long, many = worker_peak_mb(loop(video, options.loops, folder / "long.mp4"))
    rows: list[list[object]] = [
        [step, f"{mine[step]:.2f}", f"{theirs[step]:.2f}", f"{theirs[step] / mine[step]:.1f}x"]
        for step in mine
    ]
    total, other = sum(mine.values()), sum(theirs.values())
    rows.append(["all", f"{total:.2f} (limit {LIMIT_MS:g})", f"{other:.2f}", f"{other / total:.1f}x"])
    size = f"{inputs.info.width} x {inputs.info.height}, {len(inputs.frames)} frames"
    body = "\n\n".join(
        [
            f"{machine('av', 'opencv-python', 'orjson', 'pandas')}; {size}.",
            "Milliseconds a frame with four objects, one core, without detection and tracking:",
            table(["", "trackkit", "OpenCV, dictionaries, json", "ratio"], rows),
            "The whole pipeline (colour detector, ByteTrack, annotated video), milliseconds a frame:",
            table(["stage", "ms", "share"], stages),
            f"Peak memory of a worker that tracks one colour: {short:.0f} MiB for {frames} frames, "
            f"{long:.0f} MiB for {many} ({long / short:.3f}x, limit 1.10x).",
        ]
    )
    publish("Pipeline", body, write=options.write)


if __name__ == "__main__":
    main()
