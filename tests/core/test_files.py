"""Files that are whole or absent."""

from __future__ import annotations

import os
from pathlib import Path

from trackkit.core.files import remove_abandoned


def test_what_a_killed_process_has_left_is_removed_a_day_later(tmp_path: Path) -> None:
    for name in (".trackkit-1.part", ".trackkit-2.part"):
        (tmp_path / name / "video").mkdir(parents=True)
    os.utime(tmp_path / ".trackkit-1.part", (0, 0))
    assert remove_abandoned(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == [".trackkit-2.part"]
