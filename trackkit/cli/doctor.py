"""What works on this machine, and what to do about what does not."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from trackkit.cli.exit_codes import OK, SOME_FAILED
from trackkit.cli.options import Commands
from trackkit.config import TrackConfig


@dataclass(frozen=True, slots=True)
class Check:
    """One finding.

    Attributes:
        name: What was looked at.
        ok: It works; None where it is of no need for every use.
        found: What was seen.
        advice: What to do where it does not work.
    """

    name: str
    ok: bool | None
    found: str
    advice: str = ""


def examine(folder: Path | None = None) -> Iterator[Check]:
    """Look at everything a run may need; ``folder`` is where results would be written (default: here)."""
    yield Check("python", True, f"{platform.python_version()} on {platform.platform(terse=True)}")
    for package in ("torch", "torchvision", "sam2", "transformers", "dask", "distributed", "av", "cv2"):
        yield _package(package)
    yield _dask_cuda()
    yield from _gpus()
    yield from _codecs()
    yield from _weights()
    yield _writable("results folder", folder or Path.cwd())
    yield _writable("temporary folder", Path(tempfile.gettempdir()))


def _package(module: str) -> Check:
    try:
        importlib.import_module(module)
    except ImportError as error:
        return Check(module, False, str(error), "pip install trackkit, in a fresh environment")
    name = {"cv2": "opencv-python"}.get(module, module)
    return Check(module, True, importlib.metadata.version(name))


def _dask_cuda() -> Check:
    try:
        version = importlib.metadata.version("dask-cuda")
    except importlib.metadata.PackageNotFoundError:
        return Check("dask-cuda", None, "not installed", "only for GPUs: pip install 'trackkit[gpu]'")
    return Check("dask-cuda", True, version)


def _gpus() -> Iterator[Check]:
    import torch

    advice = "runs on the CPU; for a GPU install the NVIDIA driver and a CUDA build of torch"
    built = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is a CPU build"
    if not torch.cuda.is_available():
        devices = os.environ.get("CUDA_VISIBLE_DEVICES")
        hidden = "" if devices is None else f", CUDA_VISIBLE_DEVICES={devices!r}"
        yield Check("GPU", None, f"none: {_driver()}{hidden}; {built}", advice)
        return
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        memory = f"{properties.total_memory / 2**30:.0f} GiB"
        yield Check(f"GPU {index}", True, f"{properties.name}, {memory}, {bf16}; {_driver()}; {built}")


def _driver() -> str:
    version = Path("/proc/driver/nvidia/version")
    if not version.exists():
        return "no NVIDIA driver"
    found = re.search(r"\d+\.\d+(\.\d+)?", version.read_text())
    return f"NVIDIA driver {found[0]}" if found else "NVIDIA driver"


def _codecs() -> Iterator[Check]:
    import av

    for name, mode, need in (
        ("libx264", "w", "annotated videos are H.264"),
        ("h264", "r", "most videos are H.264"),
        ("hevc", "r", "phones record HEVC"),
        ("av1", "r", "the web has AV1"),
        ("vp9", "r", "the web has VP9"),
    ):
        label = f"{'encoder' if mode == 'w' else 'decoder'} {name}"
        try:
            av.Codec(name, mode)
        except ValueError:  # av.codec.codec.UnknownCodecError
            yield Check(label, False, "absent", f"{need}: reinstall the package av from its wheel")
        else:
            yield Check(label, True, "present")


def _weights() -> Iterator[Check]:
    from trackkit.weights.catalog import list_models
    from trackkit.weights.shipped import NO_DOWNLOAD, is_shipped

    defaults = TrackConfig("object")
    models = list_models()
    for kind, wanted in (("GroundingDINO", defaults.detector_model), ("SAM 2", defaults.sam_type)):
        here = [model for model in models if model.kind == kind and model.path is not None]
        released = [model for model in here if model.path and not is_shipped(model.path)]
        yield Check(
            f"{kind} weights",
            True if released else None,
            ", ".join(model.name for model in here) or "none found",
            "" if released else f"`trackkit models fetch {wanted}` gets the default; {NO_DOWNLOAD}",
        )


def _writable(name: str, folder: Path) -> Check:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Check(name, False, f"{folder}: {error.strerror}", "choose a folder that you may write to")
    free = os.statvfs(folder)
    return Check(name, True, f"{folder}: writable, {free.f_bavail * free.f_frsize / 2**30:.0f} GiB free")


def add_command(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor", help="what works on this machine", description="Say what works here, and what to do."
    )
    parser.set_defaults(command=_doctor)


def _doctor(options: argparse.Namespace, console: Console) -> int:
    console.print("trackkit doctor: packages are imported, GPUs, codecs and weights looked for ...")
    signs, styles = {True: "ok", False: "no", None: "-"}, {True: "green", False: "red", None: "yellow"}
    broken = False
    for check in examine():  # each when it is known; in lines that a narrow terminal does not cut
        broken = broken or check.ok is False
        line = Text(f"{signs[check.ok]:3}", styles[check.ok])
        console.print(line.append(f"{check.name:23} {check.found}", "default"))
        if check.advice:
            console.print(f"{'':4}{check.advice}", markup=False, highlight=False)
    return SOME_FAILED if broken else OK
