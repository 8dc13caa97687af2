"""What lies in a folder: videos, images, and what is neither."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from trackkit.core.words import plural
from trackkit.video.names import natural_sorted

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def _with_points(names: str) -> frozenset[str]:
    return frozenset(f".{name}" for name in names.split())


#: Endings of what FFmpeg reads as a video, but for those of what is mostly sound, text or a still picture.
VIDEO_SUFFIXES = _with_points(
    "3g2 3gp amv apng asf avi bik cine dav divx dv dvr-ms evo f4v flc fli flv gif gxf insv ismv ivf "
    "ivr kux lxf m1v m2p m2t m2ts m2v m4v mj2 mjpeg mjpg mk3d mkv mlv mod moflex mov mp4 mp4v mpe "
    "mpeg mpg mpv mts mxf mxg nsv nut nuv obu ogm ogv ogx psp qt rm rmvb roq ser smk swf tod tp trp "
    "ts usm viv vob vro webm wm wmv wtv xmv y4m "
    "264 265 266 avc avs2 avs3 cavs evc h261 h263 h264 h265 h266 h26l hevc vc1 vvc"  # without a container
)
#: Endings of what lies beside videos and images, and is plainly neither: nobody misses it.
_BESIDE = _with_points(
    "aac ac3 aiff ass flac idx m4a mka mp2 mp3 oga ogg opus srt ssa sub vtt wav wma "
    "cfg csv doc docx html ini ipynb json jsonl list log lst m3u m3u8 md md5 mpd nfo npy npz parquet "
    "pdf py rst sh sha1 sha256 toml tsv txt xlsx xml xmp yaml yml"
)

#: What computers put into folders by themselves, beside names that begin with a point.
_OF_SYSTEMS = frozenset(
    {"$recycle.bin", "@eadir", "__macosx", "desktop.ini", "lost+found", "thumbs.db"}
    | {"system volume information"}
)


@dataclass(frozen=True, slots=True)
class Listing:
    """Names in a folder, in natural order; hidden ones are left out.

    Attributes:
        videos: By their ending. What cannot be opened is among them: its reader says why.
        images: Likewise.
        folders: Of any name.
        others: Files of other endings, but for those that plainly lie beside videos and images.
    """

    videos: list[str]
    images: list[str]
    folders: list[str]
    others: list[str]

    @classmethod
    def of(cls, folder: str | os.PathLike[str]) -> Listing:
        """List a folder.

        Raises:
            OSError: It cannot be listed.
        """
        found: dict[str, list[str]] = {"videos": [], "images": [], "folders": [], "others": []}
        with os.scandir(folder) as entries:
            for entry in entries:
                suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - 10,000 images are soon listed
                if is_hidden(entry.name):
                    continue
                if is_folder(entry):
                    found["folders"].append(entry.name)
                elif suffix in VIDEO_SUFFIXES:
                    found["videos"].append(entry.name)
                elif suffix in IMAGE_SUFFIXES:
                    found["images"].append(entry.name)
                elif suffix not in _BESIDE:
                    found["others"].append(entry.name)
        return cls(**{kind: natural_sorted(names) for kind, names in found.items()})

    def left_out(self, *kinds: str) -> str:
        """How many there are of these kinds (names of fields), with an example of each; empty for none."""
        return " and ".join(_count(kind, getattr(self, kind)) for kind in kinds if getattr(self, kind))


def _count(kind: str, names: list[str]) -> str:
    noun = {"others": "file", "folders": "folder", "images": "image", "videos": "video"}[kind]
    return f"{plural(len(names), noun)} ({names[0]}{', ...' if len(names) > 1 else ''})"


def is_hidden(name: str) -> bool:
    """Whether a file or folder was put there by the computer, or is not to be seen."""
    return name.startswith(".") or name.casefold() in _OF_SYSTEMS


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or a link to one; a link in a circle is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_resource_fork(path: str) -> bool:
    """Whether a file ``._name`` is what macOS puts beside ``name`` on other file systems (AppleDouble)."""
    if not os.path.basename(path).startswith("._"):  # noqa: PTH119 - lists have 100,000 lines
        return False
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read(4) == b"\x00\x05\x16\x07"
    except (OSError, ValueError):
        return False


def endings(suffixes: Iterable[str]) -> str:
    """Endings, as they are shown in a message."""
    return " ".join(sorted(suffixes))
