"""Does a file of weights load, and is it what was released? For ``trackkit models verify``."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from trackkit.core.errors import CheckpointError
from trackkit.trackers.sam2.checkpoint import identify, load_release
from trackkit.weights.files import read_weights, sha256
from trackkit.weights.grounding_dino import find_detector
from trackkit.weights.releases import GROUNDING_DINO_RELEASES, SAM2_RELEASES, Sam2Release, find_sam2_release
from trackkit.weights.sam2 import find_sam2


@dataclass(frozen=True, slots=True)
class Verification:
    """Weights that loaded strictly.

    Attributes:
        model: ``"sam2.1_hiera_large"``, or ``"GroundingDINO"``.
        path: The file of weights.
        keys: Number of tensors of the loaded model.
        parameters: Number of weights of the loaded model.
        dtypes: Their types in the loaded model.
        size_bytes: Size of the file.
        sha256: Of the file.
        released: The file is, bit for bit, one that was released; None where no digest is known to compare.
    """

    model: str
    path: Path
    keys: int
    parameters: int
    dtypes: tuple[str, ...]
    size_bytes: int
    sha256: str
    released: bool | None


def verify(name_or_path: str) -> Verification:
    """Load weights strictly on the CPU, read the whole file, and tell what they are.

    Args:
        name_or_path: A checkpoint of SAM 2 by name (it must be here already) or by path, or a GroundingDINO:
            a folder, a ``.pth`` of the reference repository, or a hub name that is in the cache.

    Raises:
        CheckpointError: It is not here, is cut or damaged, or does not load.
    """
    release = find_sam2_release(name_or_path)
    path = Path(name_or_path).expanduser()
    if release and not path.exists():
        return _verify_sam2(release, find_sam2(release.name))
    if path.is_file():
        found = identify(read_weights(path))
        if found:
            return _verify_sam2(found, path)
    model = find_detector(name_or_path)
    if model is None:
        msg = (
            f"{name_or_path!r} is not here: expected a file, a folder, or a model that was fetched before, "
            f"such as {', '.join([*SAM2_RELEASES][:2])}, {', '.join(GROUNDING_DINO_RELEASES)}"
        )
        raise CheckpointError(msg)
    return _verify_grounding_dino(model)


def _verify_sam2(release: Sam2Release, path: Path) -> Verification:
    weights = load_release(release, path).state_dict()
    return _report(release.name, path, weights, {release.sha256} if release.sha256 else set())


def _verify_grounding_dino(path: Path) -> Verification:
    from trackkit.detectors.grounding_dino.loading import load_model

    weights = load_model(str(path))[0].state_dict()
    known = {release.reference_sha256 for release in GROUNDING_DINO_RELEASES.values()}
    if path.is_dir():
        return _report("GroundingDINO", path / "model.safetensors", weights, set())
    return _report("GroundingDINO", path, weights, known)


def _report(model: str, path: Path, weights: Mapping[str, Tensor], released: set[str]) -> Verification:
    # Loading maps the file into memory, which compares no checksums.
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            msg = f"checkpoint {str(path)!r} is damaged: the checksum of {damaged} is wrong; fetch it again"
            raise CheckpointError(msg)
    bad = [key for key, value in weights.items() if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        msg = f"checkpoint {str(path)!r} is damaged: {len(bad)} weights are not finite, the first is {bad[0]}"
        raise CheckpointError(msg)
    digest = sha256(path)
    return Verification(
        model=model,
        path=path,
        keys=len(weights),
        parameters=sum(value.numel() for value in weights.values() if value.is_floating_point()),
        dtypes=tuple(sorted({str(value.dtype).removeprefix("torch.") for value in weights.values()})),
        size_bytes=path.stat().st_size,
        sha256=digest,
        released=digest in released if released else None,
    )
