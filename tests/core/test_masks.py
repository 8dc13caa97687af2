from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from trackkit.core.boxes import clip_boxes
from trackkit.core.masks import (
    boxes_of_masks,
    decode_rle,
    decode_rle_crop,
    encode_masks,
    rle_areas,
    rle_iou,
    rle_runs,
)

masks = st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda s: arrays(np.bool_, s)
)


def reference(masks: np.ndarray) -> list[bytes]:
    encoded = coco.encode(np.asfortranarray(masks.transpose(1, 2, 0)).view(np.uint8))
    return [rle["counts"] for rle in encoded]


def special_masks(height: int, width: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {
        name: np.zeros((height, width), bool)
        for name in ("empty", "pixel", "corner", "columns", "rows", "last")
    }
    made["full"] = np.ones((height, width), bool)
    made["checkerboard"] = np.indices((height, width)).sum(0) % 2 == 1
    made["noise"] = rng.random((height, width)) < 0.5
    made["pixel"][height // 2, width // 3] = True
    made["corner"][-1, -1] = True
    made["columns"][:, 2:5] = True  # one run through three columns
    made["rows"][:2] = made["rows"][-3:] = True  # runs that join bottom and top of neighbouring columns
    made["last"][:, -1] = True
    return made


@pytest.mark.parametrize("name", special_masks(9, 7))
def test_special_masks_encode_as_pycocotools_does(name: str) -> None:
    mask = special_masks(37, 53)[name][None]
    assert encode_masks(mask) == reference(mask)
    assert encode_masks(mask.astype(np.uint8) * 255) == reference(mask)
    assert (decode_rle(encode_masks(mask)[0], 37, 53) == mask[0]).all()


@given(masks)
def test_any_mask_encodes_as_pycocotools_does(masks: np.ndarray) -> None:
    _, height, width = masks.shape
    rles = encode_masks(masks)
    assert rles == reference(masks)
    assert rle_areas(rles, height, width).tolist() == masks.sum((1, 2)).tolist()
    for mask, rle in zip(masks, rles, strict=True):
        assert (decode_rle(rle, height, width) == mask).all()
        assert (decode_rle(rle.decode(), height, width) == mask).all()
        x, y, crop = decode_rle_crop(rle, height, width)
        if mask.any():
            box = [x, y, x + crop.shape[1], y + crop.shape[0]]
            assert boxes_of_masks(mask[None])[0].tolist() == box
        else:
            assert crop.size == 0


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 0.99))
def test_large_runs_encode_as_pycocotools_does(seed: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    blocks = rng.random((3, 6, 8)) < density
    masks = blocks.repeat(61, axis=1).repeat(47, axis=2)
    assert encode_masks(masks) == reference(masks)
    assert sum(rle_runs(encode_masks(masks)[0])) == masks[0].size


def test_given_boxes_only_limit_the_search() -> None:
    masks = np.zeros((2, 40, 30), bool)
    masks[0, 5:12, 20:30] = True
    masks[1, 0:40, 3:6] = True
    tight = boxes_of_masks(masks)
    loose = clip_boxes(tight + np.array([-3.4, -2.2, 4.1, 0.7], np.float32), 30, 40)
    outside = tight + np.array([-50, -50, 50, 50], np.float32)
    assert (
        encode_masks(masks, tight)
        == encode_masks(masks, loose)
        == encode_masks(masks, outside)
        == reference(masks)
    )


def test_a_box_outside_of_the_frame_means_an_empty_mask() -> None:
    empty = np.zeros((2, 6, 8), bool)
    boxes = np.array([[-9, -9, -2, -2], [20, 3, 30, 5]], np.float32)
    assert encode_masks(empty, boxes) == reference(empty)


def test_no_masks_make_no_rles() -> None:
    none = np.zeros((0, 4, 5), bool)
    assert encode_masks(none) == []
    assert rle_areas([], 4, 5).shape == (0,)
    assert boxes_of_masks(none).shape == (0, 4)


def test_boxes_of_masks_are_tight_and_exclusive() -> None:
    masks = np.zeros((3, 6, 8), bool)
    masks[0, 1:3, 2:7] = True
    masks[1, 5, 7] = True
    masks[2] = True
    assert boxes_of_masks(masks).tolist() == [[2, 1, 7, 3], [7, 5, 8, 6], [0, 0, 8, 6]]
    assert boxes_of_masks(masks).dtype == np.float32


def test_an_empty_mask_has_no_box() -> None:
    with pytest.raises(ValueError, match="mask 1 of 2 is empty"):
        boxes_of_masks(np.stack([np.ones((3, 3), bool), np.zeros((3, 3), bool)]))


@pytest.mark.parametrize("counts", [b"", b"\xff\xff", b"!!", b"o", b"zzzz", b"52;1"])
def test_damaged_counts_do_not_decode(counts: bytes) -> None:
    with pytest.raises(ValueError, match="RLE"):
        decode_rle(counts, 6, 8)


def test_counts_of_another_size_do_not_decode() -> None:
    with pytest.raises(ValueError, match="another size"):
        decode_rle(encode_masks(np.ones((1, 6, 8), bool))[0], 6, 9)


def test_mask_iou_counts_pixels() -> None:
    masks = np.zeros((3, 10, 10), bool)
    masks[0, :4, :5] = True
    masks[1, 2:6, :5] = True
    masks[2, 8:, 8:] = True
    expected = [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(rle_iou(encode_masks(masks), encode_masks(masks), 10, 10), expected, rtol=1e-6)
    assert rle_iou([], encode_masks(masks), 10, 10).shape == (0, 3)


def test_areas_of_more_masks_than_a_byte_counts() -> None:
    masks = np.zeros((300, 4, 5), np.bool_)
    masks[:, 0, 0] = True
    masks[7] = True
    areas = rle_areas(encode_masks(masks), 4, 5)
    assert areas.dtype == np.int32
    assert areas.tolist() == masks.sum((1, 2)).tolist()
