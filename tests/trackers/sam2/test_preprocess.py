"""Preprocessing against the sam2 package's own."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from trackkit.trackers.sam2.preprocess import normalize, preprocess, resize_on_device

torch.set_num_threads(1)


@pytest.fixture(params=[(90, 160), (300, 200), (64, 64)], ids=str)
def image(request: pytest.FixtureRequest) -> np.ndarray:
    """Smooth colours with noise on top: every grey level, and values that overshoot."""
    h, w = request.param
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((w, h))
    return np.clip(np.asarray(coarse).astype(int) + rng.integers(-60, 60, (h, w, 3)), 0, 255).astype(np.uint8)


def of_package(image: np.ndarray, size: int) -> torch.Tensor:
    """What sam2.utils.misc.load_video_frames_from_jpg_images does to one (here lossless) file."""
    from sam2.utils.misc import _load_img_as_tensor

    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    out = torch.zeros(1, 3, size, size)
    out[0], _, _ = _load_img_as_tensor(file, size)
    out -= torch.tensor((0.485, 0.456, 0.406))[:, None, None]
    out /= torch.tensor((0.229, 0.224, 0.225))[:, None, None]
    return out


@pytest.mark.parametrize("size", [64, 128])
def test_equals_the_package_bit_for_bit(image: np.ndarray, size: int) -> None:
    assert torch.equal(preprocess([image], size), of_package(image, size))


@pytest.mark.parametrize("size", [64, 128])
def test_device_resize_is_within_one_grey_level(image: np.ndarray, size: int) -> None:
    along_x = Image.fromarray(image).resize((size, len(image)))
    pillow = torch.from_numpy(np.array(along_x.resize((size, size)))).int()
    device = resize_on_device(torch.from_numpy(image)[None], size)[0].int()
    difference = (pillow - device).abs()
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 1e-3
    # Pillow itself may go along y first: its rounding between the passes then falls another way.
    a, b = preprocess([image], size), preprocess([image], size, resizer="device")
    assert (a - b).abs().max() < 4.01 / 255 / 0.224


def test_batch_equals_singles(image: np.ndarray) -> None:
    flipped = np.ascontiguousarray(image[::-1])
    batch = preprocess([image, flipped], 64)
    assert torch.equal(batch, torch.cat([preprocess([image], 64), preprocess([flipped], 64)]))


def test_every_level_of_every_channel() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1).expand(-1, -1, -1, 3)
    expected = (torch.arange(256) / 255.0 - 0.485) / 0.229
    assert (normalize(levels)[0, 0].flatten() - expected).abs().max() < 1e-6
