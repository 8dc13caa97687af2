"""Colours: what was coded for another screen is shown as an SDR screen would show it.

The expected colours are worked out here, from the standards, by other formulas than trackkit's tables.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.video.reformatter import VideoReformatter
from clips import read_all
from hypothesis import given, settings
from hypothesis import strategies as st

from trackkit.core.arrays import Image
from trackkit.video.reader import read_frames

Floats = npt.NDArray[np.float64]

PQ, HLG, LINEAR, LOG, LOG_SQRT, SRGB, BT2020_10 = 16, 18, 8, 9, 10, 13, 14
BT709, BT2020, DCI_P3, DISPLAY_P3 = 1, 9, 11, 12
RGB, UNSTATED, YCGCO, BT2020_NCL, BY_PRIMARIES, ICTCP = 0, 2, 8, 9, 12, 14

# From linear BT.709 (Rep. ITU-R BT.2407; CSS Color 4).
FROM_BT709 = {
    BT709: np.eye(3),
    BT2020: np.array(
        [
            [0.627403896, 0.329283038, 0.043313066],
            [0.069097289, 0.919540395, 0.011362316],
            [0.016391439, 0.088013308, 0.895595253],
        ]
    ),
    DISPLAY_P3: np.array(
        [
            [0.8224619687, 0.1775380313, 0],
            [0.0331941989, 0.9668058011, 0],
            [0.0170826307, 0.0723974407, 0.9105199286],
        ]
    ),
}
WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}
SIDE = 16  # of a patch, pixels


def light_of(srgb: npt.ArrayLike) -> Floats:
    v = np.asarray(srgb) / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def srgb_of(light: Floats) -> Floats:
    light = light.clip(0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def pq_of(light: Floats) -> Floats:
    """BT.2100: the signal of light, 1.0 being 203 cd/m2."""
    y = (light.clip(0) * 203 / 10000) ** (2610 / 16384)
    return ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)


def of_pq(signal: Floats) -> Floats:
    e = signal.clip(0, 1) ** (32 / 2523)
    y = ((e - 3424 / 4096).clip(0) / (2413 / 128 - 2392 / 128 * e)) ** (16384 / 2610)
    return y * 10000 / 203


def hlg_of(light: Floats) -> Floats:
    """BT.2100 for a display of 1000 cd/m2, its system gamma applied to each component."""
    e = (light.clip(0) * 203 / 1000) ** (1 / 1.2)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(e <= 1 / 12, np.sqrt(3 * e), a * np.log(np.maximum(12 * e - b, 1e-9)) + c)


def of_hlg(signal: Floats) -> Floats:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    v = signal.clip(0, 1)
    return np.where(v <= 0.5, v**2 / 3, (np.exp((v - c) / a) + b) / 12) ** 1.2 * 1000 / 203


CURVES = {
    PQ: (pq_of, of_pq),
    HLG: (hlg_of, of_hlg),
    1: (lambda light: light.clip(0) ** (1 / 2.4), lambda v: v.clip(0, 1) ** 2.4),
    BT2020_10: (lambda light: light.clip(0) ** (1 / 2.4), lambda v: v.clip(0, 1) ** 2.4),
    SRGB: (lambda light: srgb_of(light) / 255, lambda v: light_of(v.clip(0, 1) * 255)),
}


def expected(light: Floats, curve: int) -> Floats:
    """SDR of linear BT.709 light: HDR keeps what is below 0.9 of white, and a shoulder takes the rest."""
    if curve in (PQ, HLG):
        top = np.maximum(light.max(-1, keepdims=True), 1e-9)
        light = light * np.where(top > 0.9, 1 - 0.01 / (top - 0.8), top) / top
    encode, _ = CURVES[1 if curve == BT2020_10 else curve]
    return srgb_of(light) if curve in (PQ, HLG) else 255 * encode(light.clip(0, 1))


class Written:
    """Patches in one row of a video, and the signal that they have after rounding."""

    def __init__(
        self,
        path: Path,
        signal: Floats,
        pix_fmt: str,
        *,
        curve: int,
        primaries: int,
        matrix: int = BT2020_NCL,
        full: bool = False,
        codec: str = "ffv1",
        options: dict[str, str] | None = None,
        count: int = 1,
    ) -> None:
        self.path = path
        layout = av.VideoFormat(pix_fmt)
        bits = layout.components[0].bits
        if layout.is_rgb:
            codes = np.round(signal.clip(0, 1) * (2**bits - 1))
            self.signal = codes / (2**bits - 1)
            codes = codes[:, [1, 2, 0]]
        else:
            red, blue = WEIGHTS[matrix]
            rows = np.array([[red, 1 - red - blue, blue]] * 3) * [[1], [-1], [-1]]
            rows[1, 2] += 1
            rows[2, 0] += 1
            rows /= [[1], [2 * (1 - blue)], [2 * (1 - red)]]
            unit = 2 ** (bits - 8)
            scale = np.array([2**bits - 1] * 3 if full else [219 * unit, 224 * unit, 224 * unit])
            zero = np.array([0 if full else 16 * unit, 128 * unit, 128 * unit])
            codes = np.round(signal @ rows.T * scale + zero).clip(0, 2**bits - 1)
            self.signal = (codes - zero) / scale @ np.linalg.inv(rows).T
        tags = {"colorspace": RGB if layout.is_rgb else matrix, "color_range": 2 if full else 1}
        tags |= {"color_primaries": primaries, "color_trc": curve}
        write(path, codes, pix_fmt, tags, codec=codec, options=options, count=count)


def write(
    path: Path,
    codes: Floats,
    pix_fmt: str,
    tags: dict[str, int],
    *,
    codec: str = "ffv1",
    options: dict[str, str] | None = None,
    count: int = 1,
) -> None:
    """A video of patches, given the codes of each in the order of the planes (N, 3)."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25, options=options or {})
        frame = av.VideoFrame(SIDE * len(codes), SIDE, pix_fmt)
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, pix_fmt
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
            setattr(frame, name, value)
        for i, plane in enumerate(frame.planes):
            kind = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
            values = codes[:, i] if i < 3 else np.full(len(codes), 2 ** frame.format.components[3].bits - 1)
            row = np.repeat(values, plane.width // len(codes)).astype(kind)
            padded = np.zeros((plane.height, plane.line_size // row.itemsize), kind)
            padded[:, : len(row)] = row
            plane.update(padded)
        for i in range(count):
            frame.pts, frame.time_base = i, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def shown(path: Path) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """RGB in the middle of every patch of the first frame, and what the reader noted."""
    frames, reader = read_all(path)
    assert reader.truncated is None
    return frames[0].image[SIDE // 2, SIDE // 2 :: SIDE].astype(np.int64), reader.warnings


COLORS = st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=4, max_size=4).map(np.array)
DEEP = ["yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv444p12le", "yuv420p12le", "yuv420p16le"]
DEEP_RGB = ["gbrp10le", "gbrp12le", "gbrp16le", "gbrap12le"]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


class TestHdr:
    @settings(max_examples=60, deadline=None)
    @given(
        colors=COLORS,
        curve=st.sampled_from([PQ, HLG]),
        primaries=st.sampled_from([BT2020, DISPLAY_P3, BT709]),
        pix_fmt=st.sampled_from([*DEEP, *DEEP_RGB, "yuva444p10le"]),
        full=st.booleans(),
        ending=st.sampled_from(["mkv", "mp4"]),
        brightness=st.sampled_from([0.2, 1.0, 1.0, 3.0]),
    )
    def test_any_colour_comes_back(
        self,
        folder: Path,
        colors: npt.NDArray[np.int64],
        curve: int,
        primaries: int,
        pix_fmt: str,
        full: bool,
        ending: str,
        brightness: float,
    ) -> None:
        encode, decode = CURVES[curve]
        light = light_of(colors) * brightness
        path = folder / f"clip.{ending}"
        signal = encode(light @ FROM_BT709[primaries].T)
        made = Written(path, signal, pix_fmt, curve=curve, primaries=primaries, full=full)
        seen, (note,) = shown(path)
        assert note.startswith(f"HDR frames ({'PQ' if curve == PQ else 'HLG'}, ")
        # What the rounded codes stand for: the mapping is exact. But swscale misses deep RGB by up to 35 of
        # 65535, as it goes by way of Y'CbCr.
        there = decode(made.signal) @ np.linalg.inv(FROM_BT709[primaries]).T
        assert seen == pytest.approx(expected(there, curve), abs=5 if pix_fmt in DEEP_RGB else 3)
        # What was meant: codes of HDR are coarse, most of all for the weakest component of a vivid colour.
        error = np.abs(seen - expected(light, curve))
        assert error.mean() <= 6
        if brightness == 1 and light.max() <= 0.9:
            assert error == pytest.approx(np.abs(seen - colors), abs=1)

    def test_greys_keep_their_order_and_are_grey(self, tmp_path: Path) -> None:
        for curve, (_, decode) in ((PQ, CURVES[PQ]), (HLG, CURVES[HLG])):
            ramp = np.repeat(np.linspace(0, 1, 128)[:, None], 3, axis=1)
            made = Written(tmp_path / "ramp.mkv", ramp, "gbrp16le", curve=curve, primaries=BT2020)
            seen, _ = shown(made.path)
            assert (np.ptp(seen, axis=1) <= 1).all()
            assert (np.diff(seen[:, 0]) >= 0).all()
            light = decode(made.signal[:, 0])
            assert seen[light < 0.9, 0] == pytest.approx(srgb_of(light[light < 0.9]), abs=1.5)
            assert seen[light.searchsorted(1.0), 0] in range(248, 252)  # the white of SDR, and room above
            assert len(set(seen[light >= 1, 0].tolist())) >= 5
            assert seen[light > 2, 0].min() >= 253

    def test_bright_light_keeps_its_hue(self, tmp_path: Path) -> None:
        light = np.array([[8, 4, 0.2], [0.1, 2, 2], [4, 0.5, 4], [1.5, 1.2, 1.2]])
        made = Written(
            tmp_path / "a.mkv", pq_of(light @ FROM_BT709[BT2020].T), "gbrp16le", curve=PQ, primaries=BT2020
        )
        seen, _ = shown(made.path)
        back = light_of(seen)
        assert back / back.max(1, keepdims=True) == pytest.approx(
            light / light.max(1, keepdims=True), abs=0.01
        )

    @pytest.mark.parametrize(
        ("ending", "codec", "pix_fmt", "options"),
        [
            ("mp4", "libx265", "yuv420p10le", {"x265-params": "log-level=none"}),
            ("mkv", "libx265", "yuv420p12le", {"x265-params": "log-level=none"}),
            ("ts", "libx265", "yuv420p10le", {"x265-params": "log-level=none"}),
            ("webm", "libvpx-vp9", "yuv444p", {"crf": "4"}),
            ("mkv", "libx264", "yuv420p", {"qp": "4"}),
            ("mov", "prores_ks", "yuv422p10le", {}),
        ],
    )
    @pytest.mark.parametrize("curve", [PQ, HLG])
    def test_codecs(
        self,
        tmp_path: Path,
        curve: int,
        ending: str,
        codec: str,
        pix_fmt: str,
        options: dict[str, str],
    ) -> None:
        colors = np.array(
            [[230, 20, 20], [40, 160, 60], [30, 60, 200], [90, 90, 90], [220, 200, 60], [10] * 3]
        )
        signal = CURVES[curve][0](light_of(colors) @ FROM_BT709[BT2020].T)
        path = tmp_path / f"clip.{ending}"
        Written(path, signal, pix_fmt, curve=curve, primaries=BT2020, codec=codec, options=options, count=3)
        seen, (note,) = shown(path)
        assert "shown as SDR (BT.709): 3" in note
        assert np.abs(seen - colors).mean() <= 4
        assert np.abs(seen[0] - colors[0]).max() <= 20

    @pytest.mark.parametrize(("primaries", "matrix"), [(2, BT2020_NCL), (BT2020, UNSTATED), (2, UNSTATED)])
    def test_what_is_not_stated_is_of_bt2020(self, tmp_path: Path, primaries: int, matrix: int) -> None:
        colors = np.array([[230, 20, 20], [20, 180, 20], [20, 20, 180], [90, 90, 90]])
        path = tmp_path / "clip.mkv"
        made = Written(
            path, pq_of(light_of(colors) @ FROM_BT709[BT2020].T), "yuv444p12le", curve=PQ, primaries=BT2020
        )
        codes = codes_of(made.path)
        tags = {"colorspace": matrix, "color_range": 1, "color_primaries": primaries, "color_trc": PQ}
        write(path, codes, "yuv444p12le", tags)
        seen, (note,) = shown(path)
        assert note.startswith("HDR frames (PQ, BT.2020), shown as SDR (BT.709): 1, the first near")
        assert seen == pytest.approx(colors, abs=4)

    @pytest.mark.parametrize("curve", [PQ, HLG])
    def test_ictcp(self, tmp_path: Path, curve: int) -> None:
        colors = np.array([[230, 20, 20], [20, 180, 20], [20, 20, 180], [90, 90, 90]])
        lms = np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]) / 4096
        rest = [[6610, -13613, 7003], [17933, -17390, -543]]
        if curve == HLG:
            rest = [[3625, -7465, 3840], [9500, -9212, -288]]
        signal = CURVES[curve][0](light_of(colors) @ FROM_BT709[BT2020].T @ lms.T)
        codes = signal @ (np.array([[2048, 2048, 0], *rest]) / 4096).T * [3504, 3584, 3584] + [
            256,
            2048,
            2048,
        ]
        tags = {"colorspace": ICTCP, "color_range": 1, "color_primaries": BT2020, "color_trc": curve}
        write(tmp_path / "a.mkv", np.round(codes), "yuv444p12le", tags)
        assert shown(tmp_path / "a.mkv")[0] == pytest.approx(colors, abs=3)

    def test_all_readers_give_the_same(self, tmp_path: Path) -> None:
        path = tmp_path / "clip.mkv"
        Written(path, np.full((2, 3), 0.5), "yuv420p10le", curve=PQ, primaries=BT2020, count=3)
        frames, _ = read_all(path)
        for frame in read_frames(path, [0, 2]):
            np.testing.assert_array_equal(frame.image, frames[frame.idx].image)

    @pytest.mark.parametrize("size", [(1, 1), (3, 5), (131, 67), (4000, 2), (2, 4000)])
    @pytest.mark.parametrize(("codec", "pix_fmt"), [("png", "rgb48be"), ("jpeg2000", "yuv444p10le")])
    def test_sizes(self, tmp_path: Path, size: tuple[int, int], codec: str, pix_fmt: str) -> None:
        path = tmp_path / "clip.mov"
        with av.open(str(path), "w") as output:
            stream = output.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
            stream.codec_context.color_trc = PQ
            frame = av.VideoFrame(*size, pix_fmt)
            for plane in frame.planes:  # 0x0202 is grey in 10 bits
                plane.update((b"\x80" if codec == "png" else b"\x02") * plane.buffer_size)
            frame.color_trc = PQ
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        frames, _ = read_all(path)
        assert frames[0].image.shape == (size[1], size[0], 3)
        assert np.ptp(frames[0].image) <= 2


def codes_of(path: Path) -> Floats:
    """The codes of the patches as they lie in the file."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        planes = [np.frombuffer(memoryview(p), np.uint16).reshape(p.height, -1) for p in frame.planes]
        return np.stack([p[0, : frame.width : SIDE] for p in planes], axis=1).astype(float)


class TestWideGamut:
    @settings(max_examples=30, deadline=None)
    @given(
        colors=COLORS,
        curve=st.sampled_from([1, BT2020_10, SRGB]),
        primaries=st.sampled_from([BT2020, DISPLAY_P3]),
        pix_fmt=st.sampled_from([*DEEP, "gbrp12le", "gbrp16le"]),
        full=st.booleans(),
    )
    def test_any_colour_comes_back(
        self,
        folder: Path,
        colors: npt.NDArray[np.int64],
        curve: int,
        primaries: int,
        pix_fmt: str,
        full: bool,
    ) -> None:
        encode, decode = CURVES[curve]
        light = CURVES[curve][1](colors / 255)
        path = folder / "wide.mkv"
        signal = encode(light @ FROM_BT709[primaries].T)
        made = Written(path, signal, pix_fmt, curve=curve, primaries=primaries, full=full)
        seen, (note,) = shown(path)
        assert note.startswith(
            f"frames with a wide gamut ({'BT.2020' if primaries == BT2020 else 'Display P3'})"
        )
        there = decode(made.signal) @ np.linalg.inv(FROM_BT709[primaries]).T
        # Near black, BT.1886 is so steep that the last bit of a vivid colour's weakest component shows.
        assert there == pytest.approx(light, abs=0.02)
        shown_light = decode(seen / 255)
        assert shown_light == pytest.approx(there.clip(0, 1), abs=0.012)

    @pytest.mark.parametrize("primaries", [BT2020, DCI_P3, DISPLAY_P3])
    def test_greys_stay(self, tmp_path: Path, primaries: int) -> None:
        greys = np.repeat(np.arange(0, 256, 5)[:, None], 3, axis=1)
        made = Written(
            tmp_path / "a.mkv", greys / 255, "yuv444p", curve=1, primaries=primaries, matrix=1, full=True
        )
        assert shown(made.path)[0] == pytest.approx(greys, abs=1)

    def test_beyond_bt709_is_its_border(self, tmp_path: Path) -> None:
        vivid = Written(tmp_path / "a.mkv", np.eye(3), "gbrp12le", curve=BT2020_10, primaries=BT2020)
        assert shown(vivid.path)[0].tolist() == (np.eye(3) * 255).tolist()

    def test_the_matrix_alone_is_stated(self, tmp_path: Path) -> None:
        colors = np.array([[230, 20, 20], [90, 90, 90]])
        signal = ((colors / 255) ** 2.4 @ FROM_BT709[BT2020].T) ** (1 / 2.4)
        made = Written(tmp_path / "a.mkv", signal, "yuv444p12le", curve=2, primaries=2)
        seen, (note,) = shown(made.path)
        assert note.startswith("frames with a wide gamut (BT.2020)")
        assert seen == pytest.approx(colors, abs=3)


class TestSdr:
    @pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv444p10le", "gray", "gbrp12le", "bgr0"])
    def test_is_what_swscale_gives(self, tmp_path: Path, pix_fmt: str) -> None:
        still = np.random.default_rng(0).integers(0, 256, (36, 52, 3)).astype(np.uint8)
        every = list(itertools.product([1, 2, 5, 6, 7, 4], [1, 2, 5, 6, 7, 4], [1, 2, 4, 5, 6, 7, 11, 13, 0]))
        for matrix, primaries, curve in every[:: 11 if pix_fmt == "yuv420p" else 47]:
            path = tmp_path / "clip.mkv"
            matrix = RGB if pix_fmt in ("gbrp12le", "bgr0") else matrix
            write_image(path, still, pix_fmt, matrix=matrix, primaries=primaries, curve=curve)
            frames, reader = read_all(path)
            with av.open(str(path)) as container:
                frame = next(container.decode(video=0))
                assert frame.color_trc in (curve, 2)
                plain = VideoReformatter().reformat(frame, format="rgb24", threads=1).to_ndarray()
            np.testing.assert_array_equal(frames[0].image, plain)
            assert reader.warnings == ()

    @pytest.mark.parametrize("matrix", [YCGCO, BY_PRIMARIES])
    @pytest.mark.parametrize("full", [False, True])
    def test_matrices_that_swscale_does_not_know(self, tmp_path: Path, matrix: int, full: bool) -> None:
        colors = np.array([[230, 20, 20], [20, 180, 20], [20, 20, 180], [90, 90, 90]])
        r, g, b = colors.T / 255
        planes = [r / 4 + g / 2 + b / 4, g / 2 - r / 4 - b / 4, r / 2 - b / 2]
        if matrix == BY_PRIMARIES:
            y = 0.2126 * r + 0.7152 * g + 0.0722 * b
            planes = [y, (b - y) / 1.8556, (r - y) / 1.5748]
        scale, zero = ([255] * 3, 0) if full else ([219, 224, 224], 16)
        codes = np.round(np.array(planes).T * scale + [zero, 128, 128])
        tags = {"colorspace": matrix, "color_range": 1 + full, "color_primaries": 1, "color_trc": 1}
        write(tmp_path / "a.mkv", codes, "yuv444p", tags)
        assert shown(tmp_path / "a.mkv") == (pytest.approx(colors, abs=3), ())

    @pytest.mark.parametrize("curve", [LINEAR, LOG, LOG_SQRT])
    def test_curves_that_are_not_for_screens(self, tmp_path: Path, curve: int) -> None:
        colors = np.array([[230, 60, 60], [60, 180, 60], [90, 90, 90], [255, 255, 255]])
        light = light_of(colors)
        decades = {LOG: 2, LOG_SQRT: 2.5}.get(curve)
        signal = 1 + np.log10(light) / decades if decades else light
        made = Written(tmp_path / "a.mkv", signal, "gbrp12le", curve=curve, primaries=1)
        seen, (note,) = shown(made.path)
        assert "curve, shown as SDR" in note
        assert seen == pytest.approx(colors, abs=2)

    @pytest.mark.parametrize("matrix", range(1, 18))
    def test_every_matrix_is_read_or_spoken_of(self, tmp_path: Path, matrix: int) -> None:
        tags = {"color_range": 1, "color_primaries": 1, "color_trc": 1}
        codes = np.array([[120, 128, 128]])
        write(tmp_path / "yuv.mkv", codes, "yuv444p", {"colorspace": matrix, **tags})
        seen, notes = shown(tmp_path / "yuv.mkv")
        known = matrix in {1, 2, 3, 4, 5, 6, 7, YCGCO, BT2020_NCL, BY_PRIMARIES, ICTCP}
        assert any("colours are off" in note for note in notes) != known
        assert np.ptp(seen) <= 2

    @pytest.mark.parametrize("matrix", range(18))
    def test_a_matrix_says_nothing_of_rgb(self, tmp_path: Path, matrix: int) -> None:
        path, colors = tmp_path / "rgb.mkv", np.array([[200, 100, 50]])
        made = Written(path, colors / 255, "gbrp12le", curve=1, primaries=1)
        stated = b"\x55\xb1\x81"  # Matroska's MatrixCoefficients
        data = made.path.read_bytes()
        assert data.count(stated + b"\x00") == 1
        path.write_bytes(data.replace(stated + b"\x00", stated + bytes([matrix])))
        assert shown(path) == (pytest.approx(colors, abs=1), ())


def write_image(path: Path, image: Image, pix_fmt: str, *, matrix: int, primaries: int, curve: int) -> None:
    codec = "mjpeg" if pix_fmt.startswith("yuvj") else "ffv1"
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=25)
        frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format=pix_fmt)
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, pix_fmt
        for name, value in (("colorspace", matrix), ("color_primaries", primaries), ("color_trc", curve)):
            setattr(stream.codec_context, name, value)
            setattr(frame, name, value)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
