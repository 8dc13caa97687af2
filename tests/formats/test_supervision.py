"""Objects as detections of supervision."""

from __future__ import annotations

import numpy as np
import pytest
import supervision as sv
from exported import by_path, tracked
from samples import CONFIG

from trackkit.core.errors import ResultsError


@pytest.mark.parametrize("masks", [True, False])
def test_supervision_gets_every_frame(masks: bool) -> None:
    results = tracked(masks=masks)
    result = by_path(results)["d/my clip.mp4"]
    found = dict(results.to_supervision("d/my clip.mp4"))
    assert list(found) == [0, 2, 4, 6]
    for idx, detections in found.items():
        rows = result.tracks[result.tracks["frame_idx"] == idx]
        assert detections.tracker_id.tolist() == rows["obj_id"].tolist()
        assert detections.data["class_name"].tolist() == rows["label"].tolist()
        assert [CONFIG.classes[k] for k in detections.class_id] == rows["label"].tolist()
        assert np.array_equal(detections.confidence, rows["score"])
        assert np.array_equal(detections.area, rows["area_px"]) or not masks
        assert (detections.mask is not None) == masks
    assert len(sv.Detections.merge(list(found.values()))) == len(result.tracks)
    with pytest.raises(ResultsError, match=r"4 videos were tracked and none is named; .* of a/car"):
        results.to_supervision()
    with pytest.raises(ResultsError, match=r"^/e/gone\.mp4 failed .*; expected one .* of a/car"):
        results.to_supervision("/e/gone.mp4")
