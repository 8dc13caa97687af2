"""Ground truth in the formats it comes in, read into one table per video.

:func:`trackkit.synthetic.dataset.write_ground_truth` writes trackkit's own.

===============  ============================  ==========================================================
format           path                          what it is
===============  ============================  ==========================================================
``jsonl``        ``*.jsonl``                   trackkit's own lines, either layout; an object may have
                                               a ``visibility`` (its visible share, 0 to 1) in a frame
``mot``          ``<video>.txt`` or            MOTChallenge (Dendorfer et al. 2020, arXiv 2003.09003):
                 ``<video>/gt/gt.txt``,        ``frame,id,x,y,w,h[,flag[,class,visibility]]``
                 or a folder of them
``davis``        ``<video>/00000.png``, or a   DAVIS 2017 (Pont-Tuset et al., arXiv 1704.00675) and
                 folder of such folders        YouTube-VOS: the pixel value is the object's id
``youtube-vis``  ``*.json``                    YouTube-VIS (Yang et al. 2019, arXiv 1905.04804)
===============  ============================  ==========================================================
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from trackkit.core.errors import ConfigError, ResultsError
from trackkit.core.words import choose_one
from trackkit.formats.davis import mask_folders, read_davis
from trackkit.formats.mot import mot_files, read_mot
from trackkit.formats.truth import VideoTruth, truth_table, video_names
from trackkit.formats.youtube_vis import read_youtube_vis
from trackkit.results.jsonl import iter_jsonl

TRUTH_FORMATS = ("jsonl", "mot", "davis", "youtube-vis")


def read_ground_truth(path: str | os.PathLike[str], format: str | None = None) -> list[VideoTruth]:
    """Read the ground truth of one or of many videos.

    ``mot``: frames count from 1 and become 0-based; boxes are taken as they are. The 7th column is a flag, 0
    makes a row ignored; the 9th, of files with exactly nine, is the visibility; an empty file has no objects.
    ``davis``: the number of an image is that of its frame (but see :meth:`VideoTruth.in_video`); 0 is
    background and 255 void, except that gray images of a video with no values but these show one object, as
    in DAVIS 2016. ``youtube-vis``: what is ``iscrowd`` is ignored.

    Args:
        path: A file or a folder.
        format: One of ``TRUTH_FORMATS``; None recognises it from what the path is.

    Raises:
        ConfigError: The path is missing, or of no format or of several.
        ResultsError: A file is damaged; the message names it.
    """
    path = Path(path)
    if not path.exists():
        msg = f"ground truth {path} is not there: check the path"
        raise ConfigError(msg)
    if format is None:
        format = _recognise(path)
    if format not in TRUTH_FORMATS:
        msg = f"ground-truth format {format!r} is unknown: {choose_one(format, TRUTH_FORMATS)}"
        raise ConfigError(msg)
    if path.is_dir() != (format == "davis") and format != "mot":
        msg = f"ground truth {path} is a {'folder' if path.is_dir() else 'file'}: {format} is the other"
        raise ConfigError(msg)
    if format == "davis":
        truths = [read_davis(folder) for folder in mask_folders(path)]
    elif format == "mot":
        truths = [read_mot(name, file) for name, file in mot_files(path)]
    else:
        truths = list(_read_jsonl(path) if format == "jsonl" else read_youtube_vis(path))
    if not truths:
        msg = f"ground truth {path} holds no videos of the format {format}"
        raise ResultsError(msg)
    for truth in truths:
        twice = truth.rows[truth.rows.duplicated(["frame_idx", "obj_id"])]
        if len(twice):
            frame, obj = twice.iloc[0][["frame_idx", "obj_id"]]
            msg = f"ground truth {path}, {truth.name}: object {obj} is twice in frame {frame}: keep one"
            raise ResultsError(msg)
    return truths


def _recognise(path: Path) -> str:
    if path.is_dir():
        found = [name for name, files in (("davis", mask_folders(path)), ("mot", mot_files(path))) if files]
    else:
        of_suffix = {".jsonl": "jsonl", ".json": "youtube-vis", ".txt": "mot"}
        found = [of_suffix[path.suffix.lower()]] if path.suffix.lower() in of_suffix else []
    if len(found) != 1:
        what = " and ".join(found) or "none that is known"
        msg = (
            f"the format of the ground truth {path} is {what}: expected a .jsonl, .json or .txt file, a "
            f"folder of PNG masks, or of .txt files; say which with --format {{{','.join(TRUTH_FORMATS)}}}"
        )
        raise ConfigError(msg)
    return found[0]


def _read_jsonl(path: Path) -> Iterator[VideoTruth]:
    for result, _ in iter_jsonl(path):
        yield VideoTruth(
            name=result.task.video_path,
            rows=truth_table(result.tracks),
            size=(result.info.height, result.info.width),
            frames=result.frames[0],
            names=video_names(result.task),
        )
