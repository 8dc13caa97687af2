"""Images of every kind of value are seen as they are meant, by one rule for a folder, or refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from clips import open_error
from images import grey, scene, write_stack, write_tiff
from PIL import Image as PilImage

from trackkit.core.errors import VideoDecodeError, VideoOpenError
from trackkit.video.reader import VideoReader, read_frames

THERMAL = 7000 + grey().astype(np.uint16) * 4  # 7360, and 7920 in the square


def read(path: Path) -> tuple[list[Any], tuple[str, ...]]:
    with VideoReader(path) as reader:
        images = [frame.image for frame in reader]
    assert all(image.dtype == np.uint8 and image.ndim == 3 for image in images)
    assert reader.info.num_frames == len(images)
    return images, reader.warnings


def seen(image: Any) -> tuple[list[int], list[int]]:
    """A pixel of the ground, and one of the square."""
    return image[2, 2].tolist(), image[32, 10].tolist()


GREY = ([90] * 3, [230] * 3)  # as the 8-bit image that it was made from
STRETCHED = ([0] * 3, [255] * 3)  # the lowest and the highest value
COLOUR = ([90] * 3, [230, 20, 20])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("values", "expected", "levels"),
    [
        (grey().astype(np.float32) / 255, GREY, "0 is black, 1 is white"),
        (grey() / 255.0, GREY, "0 is black, 1 is white"),
        (grey().astype(np.float32), GREY, "0 is black, 255 is white"),
        (grey().astype(np.float32) + 7000, STRETCHED, "7090 is black, 7230 is white"),
        (grey().astype(np.float32) * 0.1 + 280, STRETCHED, "289 is black, 303 is white"),
        (grey().astype(np.float32) / 1e6, STRETCHED, "9e-05 is black, 0.00023 is white"),
        (grey().astype(np.int32) * 257, GREY, "0 is black, 65535 is white"),
        (grey().astype(np.int32) * 1000, STRETCHED, "90000 is black, 230000 is white"),
        (grey().astype(np.uint32) * 10**7 + 10**9, STRETCHED, "1.9e+09 is black, 3.3e+09 is white"),
        (grey().astype(np.uint16) * 257, GREY, "0 is black, 65535 is white"),
        (grey().astype(np.uint16) * 16, GREY, "0 is black, 4095 is white"),
        (grey().astype(np.uint16), GREY, "0 is black, 255 is white"),
        (THERMAL, STRETCHED, "7360 is black, 7920 is white"),
        ((grey().astype(np.int16) - 100) * 50, STRETCHED, "-500 is black, 6500 is white"),
        ((grey().astype(np.int16) - 128).astype(np.int8), STRETCHED, "-38 is black, 102 is white"),
        (scene().astype(np.uint16) * 257, COLOUR, "0 is black, 65535 is white"),
        (scene().astype(np.uint16) * 16, COLOUR, "0 is black, 4095 is white"),
        (scene().astype(np.float32) / 255, COLOUR, "0 is black, 1 is white"),
        (scene().astype(np.float32) / 230 * 3, ([100] * 3, [255, 22, 22]), "0 is black, 3 is white"),
        (
            np.dstack([scene(), scene()[:, :, :1] * 0 + 255]).astype(np.uint16) * 257,
            COLOUR,
            "0 is black, 65535 is white",
        ),
    ],
)
def test_values_of_a_tiff(tmp_path: Path, order: str, values: Any, expected: Any, levels: str) -> None:
    write_tiff(tmp_path / "0.tif", values, order=order)
    (image,), warnings = read(tmp_path)
    assert seen(image) == expected
    (scaled,) = [warning for warning in warnings if "is black" in warning]
    assert levels in scaled
    (alone,), _ = read(tmp_path / "0.tif")
    np.testing.assert_array_equal(alone, image)


@pytest.mark.parametrize(
    ("values", "tags", "words"),
    [
        (grey().astype(np.complex64), {}, "complex"),
        (grey().astype(np.float16), {}, "16 bits .floats"),
        (np.dstack([THERMAL, THERMAL]), {}, "2 channels of 16 bits"),
        (scene().astype(np.uint16), {284: 2}, "PlanarConfiguration 2"),
        (grey().astype(np.float32) * np.nan, {}, "every value is NaN or infinite"),
    ],
)
def test_what_is_refused(tmp_path: Path, values: Any, tags: dict[int, int], words: str) -> None:
    write_tiff(tmp_path / "0.tif", values, tags=tags)
    with pytest.raises(VideoOpenError, match=words) as caught:
        VideoReader(tmp_path)
    assert "0.tif" in str(caught.value)


def test_all_images_of_a_folder_are_scaled_alike(tmp_path: Path) -> None:
    for i in range(50):
        PilImage.fromarray(7000 + 20 * i + grey(i % 40).astype(np.uint16) * 4).save(tmp_path / f"{i}.png")
    images, (warning,) = read(tmp_path)
    ground = [int(image[2, 2, 0]) for image in images]
    assert ground == sorted(ground) and ground[0] == 0 and 150 < ground[-1] < 170  # none begins anew
    assert "7360 is black, 8900 is white" in warning
    (frame,) = read_frames(tmp_path, [30])  # not those that were read before decide
    np.testing.assert_array_equal(frame.image, images[30])


def test_single_pixels_decide_nothing(tmp_path: Path) -> None:
    hot = THERMAL.copy()
    hot[3, 3], hot[50, 90] = 65535, 0
    write_tiff(tmp_path / "0.tif", hot)
    (image,), _ = read(tmp_path)
    assert seen(image) == STRETCHED
    assert image[3, 3].tolist() == [255] * 3 and image[50, 90].tolist() == [0] * 3
    flat = np.full_like(THERMAL, 7000)
    flat[9, 9] = 7001  # nothing else is there
    write_tiff(tmp_path / "0.tif", flat)
    (image,), _ = read(tmp_path)
    assert image[9, 9].tolist() == [255] * 3 and image.sum() == 3 * 255


def test_values_that_come_later_are_clipped_and_told(tmp_path: Path) -> None:
    for i in range(200):  # the 34th is none of those that are looked at
        write_tiff(tmp_path / f"{i}.tif", THERMAL + (4000 if i == 34 else 0))
    images, warnings = read(tmp_path)
    assert seen(images[0]) == seen(images[35]) == STRETCHED
    assert images[34].min() == 255
    assert any("clipped: in 1 image, the first is 34.tif" in warning for warning in warnings)


def test_values_that_are_no_numbers(tmp_path: Path) -> None:
    values = grey().astype(np.float32) / 255
    values[:5], values[7, 7], values[8, 8], values[9, 9] = np.nan, np.inf, -np.inf, 3e38
    write_tiff(tmp_path / "0.tif", values)
    write_tiff(tmp_path / "1.tif", values * np.nan)
    images, warnings = read(tmp_path)
    assert images[0][12, 2].tolist() == [90] * 3
    assert [int(images[0][i, i, 0]) for i in (2, 7, 8, 9)] == [0, 255, 0, 255]
    assert images[1].max() == 0
    assert any("no numbers" in warning and "in 2 images" in warning for warning in warnings)


def test_white_may_be_zero(tmp_path: Path) -> None:
    inverse = {262: 0}
    write_tiff(tmp_path / "0.tif", 65535 - grey().astype(np.uint16) * 257, tags=inverse)
    assert seen(read(tmp_path)[0][0]) == GREY
    write_tiff(tmp_path / "0.tif", 1 - grey().astype(np.float32) / 255, tags=inverse)
    low, high = seen(read(tmp_path)[0][0])
    assert low < high


@pytest.mark.parametrize("turn", range(1, 9))
def test_deep_images_are_turned_as_others_are(tmp_path: Path, turn: int) -> None:
    exif = PilImage.Exif()
    exif[0x0112] = turn
    for name, image in (("8", grey()), ("16", grey().astype(np.uint16) * 257)):
        PilImage.fromarray(image).save(tmp_path / f"{name}.png", exif=exif)
        write_tiff(tmp_path / f"{name}.tif", image, tags={274: turn})
    shown = [read(tmp_path / name)[0][0] for name in ("8.png", "16.png", "8.tif", "16.tif")]
    for other in shown[1:]:
        np.testing.assert_array_equal(shown[0], other)


def test_deep_images_of_other_formats(tmp_path: Path) -> None:
    wide = scene().astype(np.uint16)
    cv2.imwrite(str(tmp_path / "rgb.png"), wide[:, :, ::-1] * 16)
    cv2.imwrite(str(tmp_path / "rgba.png"), np.dstack([wide[:, :, ::-1] * 16, wide[:, :, :1] * 0 + 40000]))
    (tmp_path / "rgb.ppm").write_bytes(b"P6 128 64 65535\n" + (wide * 16).astype(">u2").tobytes())
    (tmp_path / "grey.pgm").write_bytes(b"P5 128 64 65535\n" + THERMAL.astype(">u2").tobytes())
    for name in ("rgb.png", "rgba.png", "rgb.ppm"):
        (image,), warnings = read(tmp_path / name)
        assert seen(image) == COLOUR
        assert any("4095 is white" in warning for warning in warnings)
        assert any("transparency" in warning for warning in warnings) == (name == "rgba.png")
    assert seen(read(tmp_path / "grey.pgm")[0][0]) == STRETCHED


def test_images_of_8_bits_are_as_they_are(tmp_path: Path) -> None:
    opaque, colour = PilImage.fromarray(scene()), PilImage.fromarray(scene())
    opaque.convert("RGBA").save(tmp_path / "a.png")
    colour.convert("CMYK").save(tmp_path / "b.tif")
    colour.convert("YCbCr").save(tmp_path / "c.tif")
    PilImage.fromarray(grey()).convert("LA").save(tmp_path / "d.tif")
    PilImage.fromarray(grey() > 100).save(tmp_path / "e.png")
    colour.save(tmp_path / "f.bmp")
    images, warnings = read(tmp_path)
    assert warnings == ()
    for image in (*images[:3], images[5]):
        assert np.abs(image.astype(int) - scene()).max() <= 3
    assert seen(images[3]) == GREY and seen(images[4]) == STRETCHED
    clear = np.dstack([scene(), np.where(grey() > 100, 255, 0).astype(np.uint8)])
    PilImage.fromarray(clear).save(tmp_path / "a.png")
    assert read(tmp_path)[1] == ("left out: transparency: in 1 image, the first is a.png",)


class TestManyPictures:
    """In one file."""

    def test_every_page_of_a_tiff_is_a_frame(self, tmp_path: Path) -> None:
        stack = write_stack(tmp_path / "s.tif")
        for path in (stack, tmp_path):
            images, _ = read(path)
            for i, image in enumerate(images):
                np.testing.assert_array_equal(image, scene(i))
            assert len(images) == 10
        write_stack(tmp_path / "t.tiff", 3)
        PilImage.fromarray(scene(7)).save(tmp_path / "u.png")
        images, _ = read(tmp_path)
        np.testing.assert_array_equal(images, [scene(i) for i in (*range(10), 0, 1, 2, 7)])
        (frame,) = read_frames(tmp_path, [11])
        np.testing.assert_array_equal(frame.image, scene(1))

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_pages_of_deep_values(self, tmp_path: Path, order: str) -> None:
        pages = [7000 + grey(i).astype(np.uint16) * 4 + 300 * i for i in range(8)]
        images, _ = read(write_tiff(tmp_path / "0.tif", *pages, order=order))
        assert len(images) == 8
        ground = [int(image[2, 2, 0]) for image in images]
        assert ground == sorted(ground) and ground[0] == 0 and images[7].max() == 255
        assert read(write_tiff(tmp_path / "0.tif", *pages[:1]))[0][0].max() == 255

    def test_small_copies_and_masks_are_no_frames(self, tmp_path: Path) -> None:
        stack = write_tiff(tmp_path / "0.tif", grey(0), grey(1), grey(2), tags={254: 1})
        assert "no picture" in open_error(stack)
        data = bytearray(write_tiff(stack, grey(0), grey(1), tags={254: 4}).read_bytes())
        place = data.index(b"\xfe\0\4\0\1\0\0\0\4")
        data[place + 8] = 0  # the first is one
        stack.write_bytes(data)
        (image,), _ = read(stack)
        assert seen(image) == GREY

    def test_a_stack_that_is_cut_is_told(self, tmp_path: Path) -> None:
        data = write_stack(tmp_path / "s.tif").read_bytes()
        for length in range(6, len(data), 4999):
            (tmp_path / "s.tif").write_bytes(data[:length])
            with pytest.raises((VideoDecodeError, VideoOpenError)):
                read(tmp_path)

    def test_imagej_puts_many_behind_one_page(self, tmp_path: Path) -> None:
        image = PilImage.fromarray(grey())
        image.save(tmp_path / "s.tif", tiffinfo={270: "ImageJ=1.54f\nimages=30\nslices=30\n"})
        assert "states 30 pictures" in open_error(tmp_path / "s.tif")

    def test_animations_in_a_folder_are_refused(self, tmp_path: Path) -> None:
        for name in ("s.png", "s.webp"):
            path = write_stack(tmp_path / name)
            with pytest.raises(VideoOpenError, match="animation of 10 pictures"):
                VideoReader(tmp_path)
            if name == "s.png":  # alone, FFmpeg reads it
                assert len(read(path)[0]) == 10
            else:
                assert "animation of 10 pictures" in open_error(path)
            path.unlink()

    def test_of_a_photo_the_first_is_taken(self, tmp_path: Path) -> None:
        first, second = (PilImage.fromarray(scene(i)) for i in (0, 30))
        first.save(tmp_path / "0.jpg", "MPO", save_all=True, append_images=[second], quality=95)
        (image,), (warning,) = read(tmp_path)
        assert np.abs(image.astype(int) - scene()).mean() < 1
        assert "further pictures" in warning


class TestWhatLiesThere:
    def test_left_out_is_told(self, tmp_path: Path) -> None:
        PilImage.fromarray(scene()).save(tmp_path / "0.png")
        for name in ("._0.png", ".DS_Store", "Thumbs.db", "notes.txt", "0.json"):
            (tmp_path / name).write_bytes(b"x")
        (tmp_path / "@eaDir").mkdir()
        assert read(tmp_path) == ([pytest.approx(scene())], ())
        (tmp_path / "1.heic").touch()
        (tmp_path / "2.exr").touch()
        (tmp_path / "more.png").mkdir()
        assert read(tmp_path)[1] == ("left out of the folder: 2 files (1.heic, ...) and 1 folder (more.png)",)

    @pytest.mark.parametrize("kind", ["dangling", "circle", "pipe", "far too long"])
    def test_what_is_no_image(self, tmp_path: Path, kind: str) -> None:
        PilImage.fromarray(scene()).save(tmp_path / "0.png")
        odd = tmp_path / "1.png"
        target = {"dangling": "gone", "circle": "1.png", "far too long": "x" * 300}.get(kind)
        os.mkfifo(odd) if target is None else odd.symlink_to(target)
        with pytest.raises(VideoDecodeError, match=r"1\.png: the image cannot be read"):
            read(tmp_path)
