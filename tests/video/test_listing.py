"""Endings of videos, against those that FFmpeg knows."""

from __future__ import annotations

from pathlib import Path

import av
from av.format import ContainerFormat

from trackkit.video.listing import IMAGE_SUFFIXES, VIDEO_SUFFIXES, Listing, is_resource_fork

# Of FFmpeg's endings of formats that are read and hold video:
STILL_PICTURES = {"avif", "heic", "heif", "jxl", "mpo", "j2k"}
SOUND = {"m4a", "m4b", "mka", "mks", "ogg", "isma"}
WITHOUT_SIZE = {"cif", "qcif", "rgb", "yuv", "v210", "yuv10", "bitpacked"}  # raw pixels
TEXT_OR_MANIFEST = {"ism", "mpd", "m3u8"}


def test_every_ending_that_ffmpeg_writes_video_to_is_taken() -> None:
    missing = set()
    for name in av.formats_available:
        try:
            written = ContainerFormat(name, "w")
            read = ContainerFormat(name.split(",")[0], "r")
        except ValueError:
            continue
        if "video" in written.long_name.lower() or name in (
            "asf",
            "matroska",
            "mov",
            "mp4",
            "avi",
            "nut",
            "mxf",
        ):
            missing |= written.extensions | (read.extensions if name == "mov" else set())
    missing -= STILL_PICTURES | SOUND | WITHOUT_SIZE | TEXT_OR_MANIFEST | {"wma", "avs"}  # avs: scripts
    assert {f".{each}" for each in missing} <= VIDEO_SUFFIXES


def test_usual_endings_in_either_case(tmp_path: Path) -> None:
    suffixes = (
        "3g2 3gp asf avi divx dv f4v flv gif h264 hevc ivf m2ts m2v m4v mjpeg mkv mov mp4 mpeg mpg mts mxf "
        "nut obu ogv rm rmvb ts vob webm wmv wtv y4m"
    )
    for suffix in suffixes.split():
        (tmp_path / f"a.{suffix}").touch()
        (tmp_path / f"B.{suffix.upper()}").touch()
    assert len(Listing.of(tmp_path).videos) == 2 * len(suffixes.split())


def test_no_ending_is_of_two_kinds() -> None:
    assert not VIDEO_SUFFIXES & IMAGE_SUFFIXES
    assert not VIDEO_SUFFIXES & {f".{each}" for each in STILL_PICTURES | SOUND | {"srt", "txt", "wav", "mp3"}}


def test_resource_forks(tmp_path: Path) -> None:
    (tmp_path / "._a.mkv").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")
    (tmp_path / "._b.mkv").write_bytes(b"\x1a\x45\xdf\xa3")
    assert [is_resource_fork(str(tmp_path / f"._{name}.mkv")) for name in "abc"] == [True, False, False]
