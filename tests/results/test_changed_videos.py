"""A video that was replaced is told from one that was touched or copied."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from images import scene
from PIL import Image as PilImage
from samples import CONFIG, sample_result

from trackkit.results.journal import Journal
from trackkit.video.fingerprint import FileState, content_key
from trackkit.video.inputs import make_task

Change = Callable[[Path], None]


def write_images(folder: Path, shift: int = 0, size: tuple[int, int] = (128, 64), count: int = 4) -> None:
    for i in range(count):
        PilImage.fromarray(scene(i + shift, *size)).save(folder / f"{i:03d}.bmp")


def stat_times(folder: Path) -> dict[Path, tuple[int, int]]:
    places = [folder, *folder.iterdir()]
    return {place: (place.stat().st_atime_ns, place.stat().st_mtime_ns) for place in places}


def is_done_after(video: Path, change: Change, results: Path) -> bool:
    with Journal(results, CONFIG) as journal:
        journal.write(replace(sample_result(), task=make_task(video)))
    change(video)
    with Journal(results, CONFIG) as journal:
        return journal.is_done(journal.recognize(make_task(video)))


def rendered_anew(folder: Path) -> None:
    write_images(folder, shift=20)


def rendered_anew_with_old_times(folder: Path) -> None:
    times = stat_times(folder)
    write_images(folder, shift=20)
    for place, of_place in times.items():
        os.utime(place, ns=of_place)


def one_replaced_by_moving(folder: Path) -> None:
    other = folder / ".new.bmp"
    PilImage.fromarray(scene(30)).save(other)
    other.replace(folder / "002.bmp")


def two_swapped(folder: Path) -> None:
    (folder / "001.bmp").rename(folder / "x.bmp")
    (folder / "002.bmp").rename(folder / "001.bmp")
    (folder / "x.bmp").rename(folder / "002.bmp")


def one_added(folder: Path) -> None:
    PilImage.fromarray(scene(30)).save(folder / "999.bmp")


def touched(folder: Path) -> None:
    for place in folder.iterdir():
        os.utime(place, ns=(1, 1))


def copied_anew(folder: Path) -> None:
    kept = folder.rename(folder.with_name("kept"))
    shutil.copytree(kept, folder, copy_function=shutil.copyfile)


def seen_by_macos(folder: Path) -> None:
    (folder / ".DS_Store").write_bytes(b"x" * 100)


def rights_changed(folder: Path) -> None:
    folder.chmod(0o700)
    (folder / "000.bmp").chmod(0o600)


@pytest.mark.parametrize(
    "change", [rendered_anew, rendered_anew_with_old_times, one_replaced_by_moving, two_swapped, one_added]
)
def test_a_folder_of_other_images_is_not_done(tmp_path: Path, change: Change) -> None:
    (folder := tmp_path / "frames").mkdir()
    write_images(folder)
    assert not is_done_after(folder, change, tmp_path / "tracks.jsonl")


@pytest.mark.parametrize("change", [touched, copied_anew, seen_by_macos, rights_changed])
def test_a_folder_of_the_same_images_is_done(tmp_path: Path, change: Change) -> None:
    (folder := tmp_path / "frames").mkdir()
    write_images(folder)
    assert is_done_after(folder, change, tmp_path / "tracks.jsonl")


def test_large_images_are_looked_at_all_over(tmp_path: Path) -> None:
    (folder := tmp_path / "frames").mkdir()
    write_images(folder, size=(1920, 1080), count=1)
    first = content_key(make_task(folder))
    for top in (0, 333, 1040):
        image = np.full((1080, 1920, 3), 90, np.uint8)
        image[top : top + 20] = 200
        PilImage.fromarray(image).save(folder / "000.bmp")
        assert content_key(make_task(folder)) != first


def test_a_file_replaced_with_its_old_time_is_not_done(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"a" * 1000)

    def with_old_time(content: bytes) -> Change:
        def change(path: Path) -> None:
            times = path.stat()
            path.write_bytes(content)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

        return change

    results = tmp_path / "tracks.jsonl"
    assert is_done_after(video, with_old_time(b"a" * 1000), results)
    assert not is_done_after(video, with_old_time(b"b" * 1000), results)
    assert is_done_after(video, with_old_time(b"b" * 1000), results)  # the new line counts


def test_a_video_that_did_not_change_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"a" * 1000)

    def closed(path: Path) -> None:
        monkeypatch.setattr("trackkit.results.journal.content_key", lambda task: pytest.fail("opened"))

    assert is_done_after(video, closed, tmp_path / "tracks.jsonl")


def test_results_that_know_no_change_time_go_on(tmp_path: Path) -> None:
    results = tmp_path / "tracks.jsonl"
    (folder := tmp_path / "frames").mkdir()
    write_images(folder)
    (video := tmp_path / "a.mp4").write_bytes(b"a" * 1000)

    def written_before(path: Path) -> None:
        state, lines = FileState.of(str(path)), results.read_text()
        for known in (f',"changed_ns":{state.changed_ns}', f'"{content_key(make_task(folder))}"'):
            lines = lines.replace(known, "null" if "changed" not in known else "")
        results.write_text(lines)
        rights_changed(folder)

    assert is_done_after(folder, written_before, results)
    assert is_done_after(video, written_before, results)
