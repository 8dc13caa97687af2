"""A decoded frame as RGB for an SDR screen: HDR, wide gamut and rare codings become BT.709.

Nearly every video is coded for such a screen, and swscale's RGB is what a person sees. The tags of the others
(Rec. ITU-T H.273) say how their light is coded. It is worked out in floating point; 1.0 is the white of SDR.

- **PQ and HLG** (Rec. ITU-R BT.2100): the light of the reference display. 203 cd/m2 is white (Rep. ITU-R
  BT.2408), so SDR that was put into HDR comes back as it was. Brighter light goes into a shoulder, the idea
  of Rep. ITU-R BT.2390, that has no upper end: nothing clips, and the order of greys stays. One factor
  scales all three components, so the hue stays. The system gamma of HLG applies to each component, as an SDR
  camera's does and as in FFmpeg's zscale; BT.2100 has it for luminance, which shows vivid colours paler.
- **Wide gamut in SDR** (BT.2020, P3): greys stay; colours outside BT.709 go to its border (Rec. ITU-R
  BT.2087).
- **Linear and logarithmic curves**: the light that they state.
- **Matrices that swscale does not know**: ICtCp, YCgCo, and the one that follows from the primaries.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

from trackkit.core.arrays import Image

_Floats: TypeAlias = npt.NDArray[np.float64]
_Light: TypeAlias = npt.NDArray[np.float32]
_Signal: TypeAlias = npt.NDArray[np.uint16]

_WHITE = 203.0  # cd/m2, reference white of HDR in BT.2408
_PQ_PEAK, _HLG_PEAK, _HLG_GAMMA = 10_000.0, 1000.0, 1.2  # cd/m2 and the system gamma of BT.2100
_KNEE = 0.9  # of white: where the shoulder begins
_TOP = 65535
_PIXELS = 1 << 16  # worked on at a time: they stay in the processor's cache

# Chromaticities in H.273: red, green, blue, white.
_D65, _C = (0.3127, 0.3290), (0.310, 0.316)
_PRIMARIES: dict[int, tuple[tuple[float, float], ...]] = {
    ColorPrimaries.BT709: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65),
    ColorPrimaries.BT470M: ((0.670, 0.330), (0.210, 0.710), (0.140, 0.080), _C),
    ColorPrimaries.BT470BG: ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060), _D65),
    ColorPrimaries.SMPTE170M: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    ColorPrimaries.SMPTE240M: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    ColorPrimaries.FILM: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    ColorPrimaries.BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    ColorPrimaries.SMPTE431: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    ColorPrimaries.SMPTE432: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
    ColorPrimaries.EBU3213: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
_WIDE: dict[int, str] = {
    ColorPrimaries.BT2020: "BT.2020",
    ColorPrimaries.SMPTE431: "DCI-P3",
    ColorPrimaries.SMPTE432: "Display P3",
}
_HDR: dict[int, str] = {ColorTrc.SMPTE2084: "PQ", ColorTrc.ARIB_STD_B67: "HLG"}
_NOT_FOR_SCREENS: dict[int, str] = {
    ColorTrc.LINEAR: "linear",
    ColorTrc.LOG: "logarithmic (100:1)",
    ColorTrc.LOG_SQRT: "logarithmic (316:1)",
}
_CURVES_OF_BT2020 = frozenset({*_HDR, ColorTrc.BT2020_10, ColorTrc.BT2020_12})

# Matrices in H.273. Swscale makes RGB by some; the weights of red and blue in luma make up most.
_NONE, _UNSTATED, _YCGCO, _BT2020, _BT2020_CL = 0, 2, 8, 9, 10
_OF_PRIMARIES, _OF_PRIMARIES_CL, _ICTCP = 12, 13, 14
_OF_SWSCALE = frozenset({_NONE, 1, _UNSTATED, 4, 5, 6, 7, _BT2020})
_OF_BT2020 = frozenset({_BT2020, _BT2020_CL, _ICTCP})
_BT601 = (0.299, 0.114)
_LUMA = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
_UNKNOWN = {11: "SMPTE ST 2085", 15: "IPT-C2 of Dolby Vision", 16: "YCgCo-Re", 17: "YCgCo-Ro"}

# BT.2100: from RGB to L M S, and from their signal to I Ct Cp.
_LMS = np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]) / 4096
_ICTCP_OF_PQ = np.array([[2048, 2048, 0], [6610, -13613, 7003], [17933, -17390, -543]]) / 4096
_ICTCP_OF_HLG = np.array([[2048, 2048, 0], [3625, -7465, 3840], [9500, -9212, -288]]) / 4096
_YCGCO_OF_RGB = np.array([[1, 2, 1], [-1, 2, -1], [2, 0, -2]]) / 4

_EIGHT_BITS = np.round(np.arange(_TOP + 1) / 257).astype(np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """From the signal to light, and from light to what is shown."""

    light: _Light  # of each signal of 16 bits
    shown: Image  # of each square root of light in 16 bits: finer in the dark, as the eye is
    above_white: bool  # whether there is more light than an SDR screen has


@dataclass(frozen=True, slots=True, eq=False)
class Coding:
    """How frames with the same tags become RGB of BT.709.

    Attributes:
        notes: What the user should know of it; each is to be followed by a number of frames.
    """

    notes: tuple[str, ...] = ()
    _read_as: Colorspace | None = None  # for swscale; None: the matrix that the frame states
    _planes: str = ""  # a pixel format of 16 bits, for the matrix
    _matrix: _Floats | None = None  # (3, 4), from the planes to the signal; None: swscale's RGB is shown
    _curve: _Curve | None = None  # None: the signal is what is shown
    _to_bt709: _Floats | None = None  # (3, 3), of light; with a curve

    def image(self, frame: av.VideoFrame, reformatter: VideoReformatter) -> Image:
        """RGB ``uint8 (H, W, 3)``, the caller's own."""
        if self._matrix is None:
            rgb = reformatter.reformat(
                frame, format="rgb24", src_colorspace=self._read_as, dst_colorspace=self._read_as, threads=1
            )
            image = np.asarray(rgb.to_ndarray(), np.uint8)
            # Else it is the decoder's own memory, or has rows with padding.
            return image if rgb is not frame and image.flags.c_contiguous else image.copy()
        deep = reformatter.reformat(
            frame,
            format=self._planes,
            src_colorspace=self._read_as,
            dst_colorspace=self._read_as,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        height, width = frame.height, frame.width
        planes = [
            np.frombuffer(memoryview(plane), np.uint16).reshape(height, -1)[:, :width]
            for plane in deep.planes
        ]
        image = np.empty((height, width, 3), np.uint8)
        step = max(1, _PIXELS // width)
        for top in range(0, height, step):
            rows = slice(top, top + step)
            image[rows] = self._shown(cv2.merge([plane[rows] for plane in planes]))
        return image

    def _shown(self, codes: _Signal) -> Image:
        signal = cv2.transform(codes, self._matrix)
        if self._curve is None:
            return np.asarray(_EIGHT_BITS.take(signal))
        light = cv2.transform(self._curve.light.take(signal), self._to_bt709)
        if self._curve.above_white:
            light = cv2.multiply(light, cv2.merge([_shoulder(light)] * 3))
        root = np.sqrt(light.clip(0, 1, out=light), out=light)
        return np.asarray(self._curve.shown.take((root * _TOP + 0.5).astype(np.uint16)))


def coding_of(frame: av.VideoFrame) -> Coding:
    """How the frame is to be shown, by its tags."""
    layout = frame.format
    full = frame.color_range == ColorRange.JPEG or layout.name.startswith(("yuvj", "gray"))
    bits = layout.components[0].bits if full or layout.is_rgb else 16
    return _coding(layout.is_rgb, bits, frame.colorspace, frame.color_primaries, frame.color_trc)


@lru_cache(maxsize=16)
def _coding(is_rgb: bool, bits: int, matrix: int, primaries: int, trc: int) -> Coding:
    """``bits`` are those of a code of full range: swscale shifts it up to 16 bits, so it ends lower."""
    # Swscale refuses an unknown matrix even if none is needed.
    read_as = None if matrix in _OF_SWSCALE else Colorspace.ITU601
    if is_rgb:
        matrix = _NONE
    if matrix == _ICTCP and trc not in _HDR:
        trc = ColorTrc.SMPTE2084  # it is of HDR alone
    if primaries not in _PRIMARIES:
        of_bt2020 = matrix in _OF_BT2020 or trc in _CURVES_OF_BT2020
        primaries = ColorPrimaries.BT2020 if of_bt2020 else ColorPrimaries.BT709
    notes = _notes(matrix, primaries, trc)
    mapped = primaries in _WIDE or trc in _HDR or trc in _NOT_FOR_SCREENS
    if not mapped and matrix in _OF_SWSCALE:
        return Coding(notes, read_as)
    if is_rgb:
        planes, own = "gbrp16le", np.eye(3, 4)[[2, 0, 1]]
    else:
        planes, own = "yuv444p16le", _own_matrix(matrix, primaries, trc)
    if bits < 16:
        own = own * _TOP / ((2**bits - 1) << (16 - bits))
    if not mapped:
        return Coding(notes, Colorspace.ITU601, planes, own)
    to_bt709 = np.linalg.inv(_to_xyz(ColorPrimaries.BT709)) @ _to_xyz(primaries)
    if matrix == _ICTCP:
        to_bt709 = to_bt709 @ np.linalg.inv(_LMS)
    return Coding(notes, Colorspace.ITU601, planes, own, _curve(trc), to_bt709)


def _notes(matrix: int, primaries: int, trc: int) -> tuple[str, ...]:
    notes = []
    if matrix in {_BT2020_CL, _OF_PRIMARIES_CL}:
        notes.append("frames with constant luminance, read as without it: colours are off")
    elif matrix in _UNKNOWN or matrix > max(_UNKNOWN):
        name = _UNKNOWN.get(matrix, f"number {matrix}")
        notes.append(f"frames with an unknown colour matrix ({name}), read as BT.601: colours are off")
    if trc in _HDR:
        notes.append(f"HDR frames ({_HDR[trc]}, {_WIDE.get(primaries, 'BT.709')}), shown as SDR (BT.709)")
    elif trc in _NOT_FOR_SCREENS:
        notes.append(f"frames with a {_NOT_FOR_SCREENS[trc]} curve, shown as SDR (BT.709)")
    elif primaries in _WIDE:
        notes.append(f"frames with a wide gamut ({_WIDE[primaries]}), shown as BT.709")
    elif trc > max(ColorTrc):
        notes.append(f"frames with an unknown transfer curve (number {trc}), shown as they are")
    return tuple(notes)


def _own_matrix(matrix: int, primaries: int, trc: int) -> _Floats:
    """From Y'CbCr of limited range in 16 bits to the signal, (3, 4)."""
    if matrix == _ICTCP:
        from_signal = _ICTCP_OF_HLG if trc == ColorTrc.ARIB_STD_B67 else _ICTCP_OF_PQ
    elif matrix == _YCGCO:
        from_signal = _YCGCO_OF_RGB
    else:
        if matrix in {_OF_PRIMARIES, _OF_PRIMARIES_CL}:
            of_red, _, of_blue = _to_xyz(primaries)[1]
        elif matrix == _UNSTATED and primaries == ColorPrimaries.BT2020:
            of_red, of_blue = _LUMA[_BT2020]
        else:
            of_red, of_blue = _LUMA.get(matrix, _BT601)
        luma = np.array([of_red, 1 - of_red - of_blue, of_blue])
        blue, red = np.array([0, 0, 1]) - luma, np.array([1, 0, 0]) - luma
        from_signal = np.array([luma, blue / (2 * blue[2]), red / (2 * red[0])])
    to_signal = np.linalg.inv(from_signal) * (_TOP / 256 / np.array([219, 224, 224]))
    zero = np.array([16, 128, 128]) * 256
    return np.column_stack([to_signal, to_signal @ -zero])


def _to_xyz(primaries: int) -> _Floats:
    """From linear RGB to CIE XYZ, (3, 3), so that RGB white is D65 (adapted by Bradford)."""
    x, y = np.array([*_PRIMARIES[primaries], _D65]).T
    xyz = np.array([x / y, np.ones(5), (1 - x - y) / y])
    rgb, white, d65 = xyz[:, :3], xyz[:, 3], xyz[:, 4]
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    adapt = np.linalg.inv(bradford) @ np.diag((bradford @ d65) / (bradford @ white)) @ bradford
    to_xyz: _Floats = adapt @ rgb @ np.diag(np.linalg.solve(rgb, white))
    return to_xyz


@lru_cache(maxsize=8)
def _curve(trc: int) -> _Curve:
    signal = light = np.linspace(0, 1, _TOP + 1)
    code = np.where(signal**2 <= 0.0031308, 12.92 * signal**2, 1.055 * signal ** (2 / 2.4) - 0.055)  # sRGB
    if trc == ColorTrc.SMPTE2084:
        power = signal ** (32 / 2523)
        light = np.maximum(power - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * power)
        light = light ** (16384 / 2610) * _PQ_PEAK / _WHITE
    elif trc == ColorTrc.ARIB_STD_B67:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
        light = scene**_HLG_GAMMA * _HLG_PEAK / _WHITE
    elif trc in {ColorTrc.LOG, ColorTrc.LOG_SQRT}:
        decades = 2 if trc == ColorTrc.LOG else 2.5
        light = np.where(signal > 0, 10 ** (decades * (signal - 1)), 0)
    elif trc == ColorTrc.IEC61966_2_1:
        light = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    elif trc != ColorTrc.LINEAR:
        # BT.1886, if no other screen is stated. The same curve leads back, so that greys stay.
        gamma = 2.2 if trc == ColorTrc.GAMMA22 else 2.8 if trc == ColorTrc.GAMMA28 else 2.4
        light, code = signal**gamma, signal ** (2 / gamma)
    return _Curve(light.astype(np.float32), np.round(255 * code).astype(np.uint8), trc in _HDR)


def _shoulder(light: _Light) -> _Light:
    """The factor (H, W) that brings the largest component, if it is above the knee, smoothly below white."""
    red, green, blue = cv2.split(light)
    largest = np.maximum(np.maximum(red, green), blue)
    factor = np.ones(largest.shape, np.float32)
    above = largest > _KNEE
    bright = largest[above]
    factor[above] = (1 - (1 - _KNEE) ** 2 / (bright + 1 - 2 * _KNEE)) / bright
    return factor
