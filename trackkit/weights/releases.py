"""Facts about the models: names, files, sizes. No weights, no network, nothing heavy."""

from __future__ import annotations

import re
from dataclasses import dataclass

from trackkit.core.errors import ConfigError
from trackkit.core.words import choose_one
from trackkit.weights.shipped import DETECTOR_MINI, DETECTOR_NAMES, SAM2_MINI


@dataclass(frozen=True, slots=True)
class Sam2Release:
    """One checkpoint of SAM 2 (https://github.com/facebookresearch/sam2), or of its architecture.

    Attributes:
        name: ``sam2.1_hiera_large``.
        parameters: Number of weights, all float32 in a released file.
        sha256: Of the released file; None for the one that ships with trackkit.
        embed_dim: Channels of the first stage of the image encoder.
        blocks: Blocks of the image encoder; with ``embed_dim`` it tells the sizes apart.
    """

    name: str
    parameters: int
    sha256: str | None
    embed_dim: int
    blocks: int

    @property
    def file_name(self) -> str:
        """Name of the released file."""
        return f"{self.name}.pt"

    @property
    def shipped(self) -> bool:
        """It comes with trackkit (``models/mini``), and from nowhere else."""
        return self.name == SAM2_MINI

    @property
    def repo_id(self) -> str:
        """Its repository on the hub, where it was released."""
        return "facebook/" + self.name.replace("_", "-")

    @property
    def megabytes(self) -> int:
        """Size of the file, 10^6 bytes."""
        return round(4 * self.parameters / 1e6)


_ENCODERS = {"tiny": (96, 12), "small": (96, 16), "base_plus": (112, 24), "large": (144, 48)}
_PARAMETERS = {
    "sam2.1_hiera_tiny": 38_962_498,
    "sam2.1_hiera_small": 46_060_354,
    "sam2.1_hiera_base_plus": 80_850_178,
    "sam2.1_hiera_large": 224_446_642,
    "sam2_hiera_tiny": 38_945_986,
    "sam2_hiera_small": 46_043_842,
    "sam2_hiera_base_plus": 80_833_666,
    "sam2_hiera_large": 224_430_130,
}
# The hub and many public projects give these digests for the released files.
_SHA256 = {
    "sam2.1_hiera_tiny": "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
    "sam2.1_hiera_small": "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
    "sam2.1_hiera_base_plus": "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
    "sam2.1_hiera_large": "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
    "sam2_hiera_tiny": "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125",
    "sam2_hiera_small": "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3",
    "sam2_hiera_base_plus": "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
    "sam2_hiera_large": "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b",
}

SAM2_RELEASES = {
    name: Sam2Release(name, parameters, _SHA256[name], *_ENCODERS[name.partition("_hiera_")[2]])
    for name, parameters in _PARAMETERS.items()
}
# What was released, and what ships with trackkit.
SAM2_MODELS = {**SAM2_RELEASES, SAM2_MINI: Sam2Release(SAM2_MINI, 2_482_690, None, 24, 5)}


@dataclass(frozen=True, slots=True)
class GroundingDinoRelease:
    """One released GroundingDINO (https://github.com/IDEA-Research/GroundingDINO).

    Attributes:
        repo_id: Where the hub has it in the format of ``transformers``.
        parameters: Number of weights.
        reference_file: The same weights in the reference repository's own format.
        reference_sha256: Of that file.
    """

    repo_id: str
    parameters: int
    reference_file: str
    reference_sha256: str


DEFAULT_DETECTOR = "IDEA-Research/grounding-dino-base"
GROUNDING_DINO_RELEASES = {
    release.repo_id: release
    for release in (
        GroundingDinoRelease(
            DEFAULT_DETECTOR,
            232_313_216,
            "groundingdino_swinb_cogcoor.pth",
            "46270f7a822e6906b655b729c90613e48929d0f2bb8b9b76fd10a856f3ac6ab7",
        ),
        GroundingDinoRelease(
            "IDEA-Research/grounding-dino-tiny",
            172_249_090,
            "groundingdino_swint_ogc.pth",
            "3b3ca2563c77c69f651d7bd133e97139c186df06231157a64c507099c52bc799",
        ),
    )
}

# "large", "l", "sam2.1_l", "sam2_hiera_b+", "facebook/sam2.1-hiera-large", "sam2.1_hiera_large.pt"
_SAM2_NAME = re.compile(r"(?:facebook/)?(?:(sam2(?:\.[01])?)[_-])?(?:hiera[_-])?([a-z_+-]+?)(?:\.pt)?")
_SIZES = {"t": "tiny", "s": "small", "b": "base_plus", "b+": "base_plus", "base+": "base_plus", "l": "large"}
_FAMILIES = {None: "sam2.1", "sam2.0": "sam2"}


def sam2_release(sam_type: str) -> Sam2Release:
    """The checkpoint that a name means.

    Args:
        sam_type: A name of ``SAM2_MODELS``, or a short form that the field uses: ``"large"``, ``"l"``,
            ``"b+"``, ``"sam2_l"`` (SAM 2.0; without a family it is 2.1).

    Raises:
        ConfigError: No checkpoint has that name.
    """
    release = find_sam2_release(sam_type)
    if release is None:
        known = choose_one(sam_type, SAM2_MODELS)
        msg = f"sam_type {sam_type!r} is unknown: {known}; the short forms are t, s, b+, l, mini"
        raise ConfigError(msg)
    return release


def find_sam2_release(name: str) -> Sam2Release | None:
    """As :func:`sam2_release`, None where no checkpoint has that name."""
    match = _SAM2_NAME.fullmatch(name.strip().lower())
    if match is None:
        return None
    family, size = match[1], match[2].replace("-", "_")
    return SAM2_MODELS.get(f"{_FAMILIES.get(family, family)}_hiera_{_SIZES.get(size, size)}")


def detector_name(detector_model: str) -> str:
    """The one name of a GroundingDINO: ``"mini"`` is ``"grounding-dino-mini"``, others are as they are."""
    return DETECTOR_MINI if detector_model in DETECTOR_NAMES else detector_model
