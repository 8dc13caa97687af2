"""Reads every video that is named on stdin, and says of each what came: a JSON line on stdout.

A file that takes too long, or too much memory, ends the process: whoever started it sees at which one.
"""

from __future__ import annotations

import json
import resource
import signal
import sys

import numpy as np

from trackkit.core.errors import VideoError
from trackkit.video.reader import VideoReader

SECONDS, BYTES, FRAMES = 30, 8 << 30, 200


def read(path: str) -> dict[str, object]:
    last = -1.0
    count = 0
    try:
        with VideoReader(path) as reader:
            for count, frame in enumerate(reader, start=1):
                assert frame.image.shape == (reader.info.height, reader.info.width, 3)
                assert frame.image.dtype == np.uint8
                assert frame.time_s > last
                last = frame.time_s
                if count == FRAMES:
                    break
            return {"frames": count, "truncated": reader.truncated}
    except VideoError as error:
        return {"frames": count, "error": str(error)}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    for line in sys.stdin:
        signal.alarm(SECONDS)
        print(json.dumps({"path": line.rstrip("\n"), **read(line.rstrip("\n"))}), flush=True)
        signal.alarm(0)
