"""Names of the released models."""

from __future__ import annotations

import pytest

from trackkit.core.errors import ConfigError
from trackkit.trackers.sam2.build import SAM2_CONFIGS
from trackkit.weights.releases import SAM2_RELEASES, sam2_release
from trackkit.weights.sam2 import find_sam2


def test_the_releases_are_those_of_the_package() -> None:
    from sam2.build_sam import HF_MODEL_ID_TO_FILENAMES

    assert {r.repo_id: (SAM2_CONFIGS[r.name], r.file_name) for r in SAM2_RELEASES.values()} == (
        HF_MODEL_ID_TO_FILENAMES
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("large", "sam2.1_hiera_large"),
        ("l", "sam2.1_hiera_large"),
        ("b+", "sam2.1_hiera_base_plus"),
        ("sam2.1_hiera_b+", "sam2.1_hiera_base_plus"),
        ("facebook/sam2.1-hiera-base-plus", "sam2.1_hiera_base_plus"),
        ("sam2_hiera_s", "sam2_hiera_small"),
        ("SAM2.1_t.pt", "sam2.1_hiera_tiny"),
        ("sam2.0_l", "sam2_hiera_large"),
    ],
)
def test_short_names(name: str, expected: str) -> None:
    assert sam2_release(name).name == expected


@pytest.mark.parametrize("name", ["", "huge", "sam_vit_h", "sam2.1", "models/large"])
def test_an_unknown_name_lists_the_known(name: str) -> None:
    with pytest.raises(ConfigError, match=r"unknown: choose one of sam2\.1_hiera_tiny, .*sam2_hiera_large"):
        find_sam2(name)
