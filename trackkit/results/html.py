"""One video as HTML: a strip of annotated frames, and what the user should know of it.

Whatever comes from a path, a prompt or an error is escaped before it becomes HTML.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from html import escape

from PIL import Image as PillowImage

from trackkit.core.arrays import Image
from trackkit.core.errors import ResultsError, VideoError
from trackkit.results.pictures import THUMBNAIL, TrackedVideo, annotated_frames, headline, spread
from trackkit.video.draw import fit

STRIP_FRAMES = 5


def video_html(result: TrackedVideo) -> str:
    """One video: a strip of annotated frames, and what the user should know of it."""
    lines = [f"<b>{escape(headline(result))}</b>"]
    try:
        frames = list(annotated_frames(result, spread(result, STRIP_FRAMES)))
    except (ResultsError, VideoError) as error:
        lines.append(f"no pictures: {escape(str(error))}")
    else:
        lines.append(
            picture_strip((f"{frame.time_s:.2f} s", fit(frame.image, THUMBNAIL)) for frame in frames)
        )
    if result.truncated:
        lines.append(f"truncated: {escape(result.truncated)}")
    lines += [f"warning: {escape(warning)}" for warning in result.warnings]
    return "".join(f"<div>{line}</div>" for line in lines)


def picture_strip(pictures: Iterable[tuple[str, Image]]) -> str:
    """Small images side by side, with captions."""
    cells = [
        f"<figure style='margin: 0'><img src='{data_url(image)}'>"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, image in pictures
    ]
    return f"<div style='display: flex; flex-wrap: wrap; gap: 4px'>{''.join(cells)}</div>"


def data_url(image: Image) -> str:
    """The image as a JPEG in the text of a page."""
    buffer = io.BytesIO()
    PillowImage.fromarray(image).save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
