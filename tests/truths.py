"""A small ground truth, written as other tools write it, and compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image as PilImage

from trackkit.formats.truth import ROW_DTYPES, VideoTruth
from trackkit.synthetic.dataset import ground_truth
from trackkit.synthetic.scenes import make_scene

TRUTH_HEIGHT, TRUTH_WIDTH, FRAMES = 48, 64, 4


def true_rows() -> pd.DataFrame:
    """Ground truth of a small scene."""
    return ground_truth(make_scene(5, width=TRUTH_WIDTH, height=TRUTH_HEIGHT, num_frames=FRAMES))


def write_png(path: Path, image: np.ndarray, *, palette: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = PilImage.fromarray(image)
    if palette:
        picture.putpalette([(7 * k) % 256 for k in range(768)])
        assert picture.mode == "P"
    picture.save(path)


def assert_same(truth: VideoTruth, rows: pd.DataFrame, columns: list[str]) -> None:
    wanted = rows.sort_values(["frame_idx", "obj_id"])[columns].reset_index(drop=True)
    found = truth.rows.sort_values(["frame_idx", "obj_id"])[columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, wanted.astype({name: ROW_DTYPES[name] for name in columns}))
