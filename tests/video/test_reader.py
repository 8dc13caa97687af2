"""What all readers share: which frames, when they are decoded, and the thread that does it."""

from __future__ import annotations

import gc
import itertools
import math
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import av
import pytest
from av.video.reformatter import VideoReformatter
from clips import decoders, make_video, number_of, open_error, picture, read_all
from PIL import Image as PilImage

from trackkit.core.errors import ConfigError, VideoDecodeError
from trackkit.video.reader import Ticks, VideoReader, read_frames


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for every frame of a file that is made RGB."""
    seen: list[int] = []

    class Counting:
        def __init__(self) -> None:
            self.counted = VideoReformatter()

        def reformat(self, *args: Any, **options: Any) -> av.VideoFrame:
            seen.append(len(seen))
            return self.counted.reformat(*args, **options)

    monkeypatch.setattr("trackkit.video.file.VideoReformatter", Counting)
    return seen


class TestNothingToRead:
    def test_missing(self, tmp_path: Path) -> None:
        assert "No such file" in open_error(tmp_path / "none.mp4")
        assert "null" in open_error("a\0b.mp4")

    def test_empty(self, tmp_path: Path) -> None:
        (tmp_path / "empty.mp4").touch()
        assert "is empty (0 bytes)" in open_error(tmp_path / "empty.mp4")

    def test_device(self) -> None:
        assert "device" in open_error("/dev/null")


class TestRate:
    def test_a_third_of_the_frames(self, tmp_path: Path) -> None:
        frames, reader = read_all(make_video(tmp_path / "clip.mp4"), fps=10)
        assert [frame.idx for frame in frames] == list(range(0, 40, 3))
        assert [number_of(frame.image) for frame in frames] == list(range(0, 40, 3))
        assert (reader.process_fps, reader.expected_frames) == (10, 14)
        assert reader.info.num_frames == 40

    @pytest.mark.parametrize("fps", [30, 31, 240])
    @pytest.mark.parametrize("ending", ["mp4", "mkv"])
    def test_never_above_the_source(self, tmp_path: Path, fps: float, ending: str) -> None:
        frames, reader = read_all(make_video(tmp_path / f"clip.{ending}"), fps=fps)
        assert [frame.idx for frame in frames] == list(range(40))
        assert reader.process_fps == pytest.approx(30)

    @pytest.mark.parametrize(
        "source", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(25), Fraction(60)]
    )
    @pytest.mark.parametrize("fps", [0.5, 1, 7, 10, 12.5, 15, 23.976])
    @pytest.mark.parametrize("rounded", [False, True])
    def test_no_drift(self, source: Fraction, fps: float, rounded: bool) -> None:
        times = [float(i / source) for i in range(10_000)]
        if rounded:  # as Matroska does
            times = [round(time, 3) for time in times]
        due = Ticks(fps)
        kept = [time for time in times if due(time)]
        early, late = 0.25 * float(1 / source) + 0.001, 0.75 * float(1 / source) + 0.001
        assert all(k / fps - early <= time <= k / fps + late for k, time in enumerate(kept))
        assert len(kept) == pytest.approx(times[-1] * fps, abs=2)

    @pytest.mark.parametrize(
        ("fps", "every"), [(100, 20), (500, 4), (1000, 2), (40, 50), (2000, 1), (5000, 1)]
    )
    def test_fast_sources_are_taken_to_the_tick(self, fps: float, every: int) -> None:
        due = Ticks(fps)
        assert [k for k in range(4000) if due(k / 2000)] == list(range(0, 4000, every))

    def test_the_first_frame_at_or_after_a_tick(self) -> None:
        due = Ticks(24)  # of 30: a quarter of an interval before is not yet "at"
        assert [k for k in range(16) if due(k / 30)] == [0, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 14, 15]

    @pytest.mark.parametrize("source", [24.0, 30000 / 1001, 59.94, 120.0, 240.0])
    @pytest.mark.parametrize("more", [1.0, 1.001, 1.5])
    def test_rounded_times_cost_no_frame(self, source: float, more: float) -> None:
        due = Ticks(source * more)
        assert all(due(round(k / source, 3)) for k in range(20_000))

    @pytest.mark.parametrize("rounded", [False, True])
    def test_the_source_rate_keeps_all(self, rounded: bool) -> None:
        for source in (24000 / 1001, 30000 / 1001, 25.0, 59.94):
            due = Ticks(source)
            assert all(due(round(i / source, 3) if rounded else i / source) for i in range(20_000))

    @pytest.mark.parametrize("ending", ["mp4", "mkv"])
    def test_variable_frame_rate(self, tmp_path: Path, ending: str) -> None:
        ms = [0, 10, 20, 100, 110, 500, 520, 540, 560, 900, 910, 1000, 1033, 1066, 2000, 2600, 2610, 2620]
        path = make_video(tmp_path / f"clip.{ending}", len(ms), ms=ms, options={"bf": "0"})
        frames, reader = read_all(path)
        assert [frame.time_s for frame in frames] == pytest.approx([each / 1000 for each in ms], abs=0.0006)
        assert (reader.truncated, reader.warnings) == (None, ())
        assert reader.info.fps == pytest.approx(len(ms) / 2.6, rel=0.1)
        kept, reader = read_all(path, fps=5)
        # Ticks at 0, 200, ... ms: the first frame from each on, and none twice.
        wanted = {next(i for i, each in enumerate(ms) if each >= tick) for tick in range(0, 2601, 200)}
        assert [frame.idx for frame in kept] == sorted(wanted)
        assert [number_of(frame.image) for frame in kept] == sorted(wanted)

    def test_skipped_frames_are_not_converted(self, tmp_path: Path, converted: list[int]) -> None:
        with VideoReader(make_video(tmp_path / "clip.mp4"), fps=3) as reader:
            assert len(list(reader)) == len(converted) == 4

    @pytest.mark.parametrize("fps", [0, -1, math.nan, math.inf])
    def test_impossible_rates(self, tmp_path: Path, fps: float) -> None:
        with pytest.raises(ConfigError, match="fps is"):
            VideoReader(make_video(tmp_path / "clip.mp4", 1), fps=fps)

    def test_a_real_clip_at_ten_frames_a_second(self, shared_dir: Path) -> None:
        with VideoReader(shared_dir / "videos" / "bedroom.mp4", fps=10) as reader:
            frames = list(reader)
        assert len(frames) == reader.expected_frames == 67
        assert [frame.idx for frame in frames] == list(range(0, 200, 3))
        assert [frame.time_s for frame in frames] == pytest.approx([k / 10 for k in range(67)])


class TestThread:
    def test_ends_with_the_loop(self, tmp_path: Path) -> None:
        path = make_video(tmp_path / "clip.mp4")
        for frame in VideoReader(path):
            assert len(decoders()) == 1
            if frame.idx == 3:
                break
        gc.collect()
        assert decoders() == []
        with VideoReader(path) as reader:
            list(reader)
            assert decoders() == []
        assert reader.decode_seconds > 0

    def test_ends_with_an_error_of_the_consumer(self, tmp_path: Path) -> None:
        with pytest.raises(ZeroDivisionError), VideoReader(make_video(tmp_path / "clip.mp4")) as reader:
            for frame in reader:
                _ = 1 / frame.idx
        assert decoders() == []

    def test_ends_when_closed_while_it_waits(self, tmp_path: Path, converted: list[int]) -> None:
        reader = VideoReader(make_video(tmp_path / "clip.mp4"), read_ahead=2)
        frames = iter(reader)
        assert next(frames).idx == 0
        deadline = monotonic() + 30
        while len(converted) < 4 and monotonic() < deadline:
            sleep(0.005)
        sleep(0.05)
        assert len(converted) == 4  # one is drawn, two lie ready, and with the next one the thread waits
        reader.close()
        reader.close()
        assert decoders() == []

    def test_does_not_start_before_it_is_needed(self, tmp_path: Path) -> None:
        reader = VideoReader(make_video(tmp_path / "clip.mp4", 2))
        unused = iter(reader)
        assert decoders() == []
        del unused
        reader.close()

    def test_its_errors_reach_the_consumer(self, tmp_path: Path) -> None:
        for i in range(30):
            PilImage.fromarray(picture(i)).save(tmp_path / f"{i}.png")
        (tmp_path / "20.png").write_bytes(b"no image")
        seen = []
        with pytest.raises(VideoDecodeError, match=r"20\.png"), VideoReader(tmp_path) as reader:
            seen.extend(frame.idx for frame in reader)
        assert decoders() == []

    def test_python_ends_quietly_while_frames_wait(self, tmp_path: Path) -> None:
        path = make_video(tmp_path / "clip.mp4")
        code = f"from trackkit.video.reader import VideoReader; i = iter(VideoReader({str(path)!r})); next(i)"
        root = Path(__file__).parents[2]
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, timeout=120, check=True, cwd=root
        )
        assert (done.stdout, done.stderr) == (b"", b"")

    def test_read_once(self, tmp_path: Path) -> None:
        reader = VideoReader(make_video(tmp_path / "clip.mp4", 2))
        assert len(list(reader)) == 2
        with pytest.raises(VideoDecodeError, match="open the video again"):
            list(reader)

    def test_many_readers_at_once(self, tmp_path: Path) -> None:
        path = make_video(tmp_path / "clip.mp4")
        readers = [VideoReader(path, read_ahead=1) for _ in range(6)]
        for row in itertools.zip_longest(*readers):
            assert len({number_of(frame.image) for frame in row}) == 1

    def test_read_ahead_must_be_positive(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="read_ahead"):
            VideoReader(tmp_path, read_ahead=0)


def test_some_frames_are_those_that_reading_all_gives(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", 40)
    everything, _ = read_all(path)
    some = list(read_frames(path, [31, 0, 7, 7]))
    assert [frame.idx for frame in some] == [0, 7, 31]
    for frame in some:
        assert frame.time_s == everything[frame.idx].time_s
        assert (frame.image == everything[frame.idx].image).all()
    assert list(read_frames(path, [])) == []
    with pytest.raises(VideoDecodeError, match="no frame 40; expected an index from 0 to 39"):
        list(read_frames(path, [3, 40]))
