"""Times and lengths of files in which they are wrong, against what is known and what other readers count."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from clips import make_video, number_of, picture, read_all
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retimed import drop_chunks, drop_samples, edit, retime

from trackkit.core.frames import Frame
from trackkit.video.reader import VideoReader, probe, read_frames, survey

COUNT = 40
Make = Callable[..., Path]

quickly = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
containers = pytest.mark.parametrize("ending", ["mp4", "mkv", "webm", "ts"])


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small clips, one of each kind, in which frame k shows k."""
    folder = tmp_path_factory.mktemp("clips")
    made = {"count": COUNT, "size": (64, 32), "image": lambda k: picture(k, 64, 32)}
    for ending in ("mp4", "mkv", "ts"):
        make_video(folder / f"plain.{ending}", options={"bf": "0", "g": "10"}, **made)
        make_video(folder / f"reordered.{ending}", options={"bf": "2", "b_strategy": "0", "g": "10"}, **made)
    make_video(folder / "plain.webm", codec="libvpx", options={"auto-alt-ref": "0"}, **made)
    make_video(folder / "plain.avi", codec="mjpeg", pix_fmt="yuvj420p", **made)
    make_video(folder / "images.mp4", codec="mjpeg", pix_fmt="yuvj420p", **made)
    return folder


def counted(path: Path) -> int:
    """Frames that another reader finds: ffprobe, where it is installed, else PyAV as it comes."""
    if shutil.which("ffprobe") is None:
        with av.open(str(path)) as container:
            return sum(1 for _ in container.decode(video=0))
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-count_frames"]
    command += ["-show_entries", "stream=nb_read_frames", "-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    return int(json.loads(done.stdout)["streams"][0]["nb_read_frames"])


def read_whole(path: Path, numbers: Sequence[int] = range(COUNT)) -> tuple[list[Frame], VideoReader]:
    """All frames of a file that is whole, in order."""
    frames, reader = read_all(path)
    assert [number_of(frame.image) for frame in frames] == list(numbers)
    assert [frame.idx for frame in frames] == list(range(len(numbers)))
    assert frames[0].time_s == 0
    assert all(a.time_s < b.time_s for a, b in pairwise(frames))
    assert reader.truncated is None
    assert reader.info.num_frames == len(numbers)
    assert reader.info.duration_s > frames[-1].time_s
    assert reader.process_fps == reader.info.fps
    return frames, reader


def assert_times(frames: Sequence[Frame], times: Sequence[float], odd: Sequence[int] = ()) -> None:
    """All but the odd ones have their time, seen from the first that has; millisecond clocks round it."""
    right = [k for k in range(len(times)) if k not in odd]
    zero = frames[right[0]].time_s - times[right[0]]
    found = [frames[k].time_s - zero for k in right]
    assert found == pytest.approx([times[k] for k in right], abs=0.0011, rel=1e-12)


def noted(reader: VideoReader, what: str) -> int:
    """How often a warning says it."""
    return sum(int(line.split(": ")[1].split(",")[0]) for line in reader.warnings if line.startswith(what))


class TestAnyTimes:
    """Random faults in every container that states times."""

    @containers
    @quickly
    @given(data=st.data(), rate=st.sampled_from([5, 15, 24000 / 1001, 30, 60]))
    def test_spikes(self, clips: Path, tmp_path: Path, ending: str, data: st.DataObject, rate: float) -> None:
        length = data.draw(st.integers(1, 3), "length")
        first = int(ending == "mp4")  # its edit list begins with the first frame
        at = data.draw(st.integers(first, COUNT - length), "at")
        shift = data.draw(st.floats(1, 30_000), "shift")
        if ending != "mp4" and at >= 4 and data.draw(st.booleans(), "back"):
            shift = -shift
        right = [(30_000 if ending == "ts" else 1) + k / rate for k in range(COUNT)]
        stated = [each + shift * (at <= k < at + length) for k, each in enumerate(right)]
        kind = data.draw(st.sampled_from(["plain", "reordered"] if ending != "webm" else ["plain"]), "kind")
        path = retime(clips / f"{kind}.{ending}", tmp_path / f"clip.{ending}", stated)
        frames, reader = read_whole(path)
        assert_times(frames, right, range(at, at + length))
        if at + length < COUNT or shift > 10:  # else the last one is late by no more than a pause may be
            assert (reader.info.fps, reader.process_fps) == pytest.approx((rate, rate), rel=0.03)
        (kept,) = read_frames(path, [COUNT // 2])
        assert kept.time_s == frames[COUNT // 2].time_s
        assert survey(path)[1] == COUNT

    @containers
    @quickly
    @given(at=st.integers(1, COUNT - 1), length=st.integers(1, 8), rate=st.sampled_from([10, 29.97, 60]))
    def test_duplicates(
        self, clips: Path, tmp_path: Path, ending: str, at: int, length: int, rate: float
    ) -> None:
        right = [k / rate for k in range(COUNT)]
        copies = range(at, min(at + length, COUNT))
        stated = [right[at - 1] if k in copies else each for k, each in enumerate(right)]
        if ending == "ts":  # its clock has room for two decoding times at one presentation time, no more
            stated = [each + 1 for each in stated]
        frames, reader = read_whole(retime(clips / f"plain.{ending}", tmp_path / f"clip.{ending}", stated))
        assert_times(frames, right, copies)
        assert noted(reader, "frames whose time was out of order") == len(copies)

    @containers
    @quickly
    @given(at=st.integers(1, COUNT - 1), pause=st.floats(0.5, 40_000), rate=st.sampled_from([10, 25, 60]))
    def test_pauses(
        self, clips: Path, tmp_path: Path, ending: str, at: int, pause: float, rate: float
    ) -> None:
        right = [k / rate + pause * (k >= at) for k in range(COUNT)]
        frames, reader = read_whole(retime(clips / f"plain.{ending}", tmp_path / f"clip.{ending}", right))
        assert_times(frames, right)
        assert reader.warnings == ()
        if pause > 10:
            assert reader.process_fps == pytest.approx(rate, rel=0.05)

    @pytest.mark.parametrize("ending", ["mkv", "webm", "ts"])
    @quickly
    @given(
        at=st.integers(8, COUNT - 5),
        rates=st.tuples(st.sampled_from([10, 25, 50]), st.sampled_from([10, 25, 50])),
        begins=st.floats(0, 0.05),
    )
    def test_joined(
        self, clips: Path, tmp_path: Path, ending: str, at: int, rates: tuple[int, int], begins: float
    ) -> None:
        first = [2 + k / rates[0] for k in range(at)]
        second = [1 + begins + k / rates[1] for k in range(COUNT - at)]
        frames, reader = read_whole(
            retime(clips / f"plain.{ending}", tmp_path / f"clip.{ending}", first + second)
        )
        assert_times(frames, first + [2 + at / rates[0] + k / rates[1] for k in range(COUNT - at)])
        assert noted(reader, "times that the clock starts anew") == 1

    @quickly
    @given(steps=st.lists(st.integers(1, 3000), min_size=COUNT - 1, max_size=COUNT - 1))
    def test_variable_rates_are_kept_to_the_bit(self, clips: Path, tmp_path: Path, steps: list[int]) -> None:
        ms = np.cumsum([0, *steps]).tolist()
        frames, reader = read_whole(
            retime(clips / "reordered.mkv", tmp_path / "a.mkv", [each / 1000 for each in ms])
        )
        assert [frame.time_s for frame in frames] == [each * 0.001 for each in ms]
        assert reader.warnings == ()


class TestWholeFiles:
    """What is left out on purpose is no damage."""

    @quickly
    @given(
        data=st.data(),
        edits=st.lists(st.tuples(st.integers(100, 900), st.integers(0, COUNT - 8)), min_size=1, max_size=2),
    )
    def test_edit_lists(
        self, clips: Path, tmp_path: Path, data: st.DataObject, edits: list[tuple[int, int]]
    ) -> None:
        kind = data.draw(st.sampled_from(["plain", "reordered"]))
        with av.open(str(clips / f"{kind}.mp4")) as container:
            stream = container.streams.video[0]
            assert stream.time_base is not None
            ticks = round(1 / 30 / stream.time_base)
        entries = [(ms, ticks * k) for ms, k in edits]
        if data.draw(st.booleans(), "begins empty"):
            entries.insert(0, (data.draw(st.integers(1, 2000)), -1))
        path = edit(clips / f"{kind}.mp4", tmp_path / "clip.mp4", entries)
        frames, reader = read_all(path)
        assert len(frames) == counted(path)
        assert reader.truncated is None
        if len(edits) == 1:  # FFmpeg gives frames of two edits one time where they meet in reordered frames
            assert reader.warnings == ()

    @quickly
    @given(dropped=st.sets(st.integers(1, COUNT - 1), max_size=30))
    def test_dropped_frames(self, clips: Path, tmp_path: Path, dropped: set[int]) -> None:
        left = [k for k in range(COUNT) if k not in dropped]
        for path in (
            drop_chunks(clips / "plain.avi", tmp_path / "clip.avi", dropped),
            drop_samples(clips / "images.mp4", tmp_path / "clip.mp4", dropped),
        ):
            frames, reader = read_whole(path, left)
            assert_times(frames, [k / 30 for k in left])
            assert reader.warnings == ()

    def test_another_reader_counts_the_same(self, clips: Path, tmp_path: Path) -> None:
        tail = set(range(30, COUNT))
        for path in (
            drop_chunks(clips / "plain.avi", tmp_path / "clip.avi", tail),
            drop_samples(clips / "images.mp4", tmp_path / "clip.mp4", tail),
        ):
            assert counted(path) == probe(path).num_frames - 10 == len(read_whole(path, range(30))[0])

    def test_a_cut_among_dropped_frames_is_told(self, clips: Path, tmp_path: Path) -> None:
        path = drop_chunks(clips / "plain.avi", tmp_path / "clip.avi", range(36, COUNT))
        data = path.read_bytes()
        path.write_bytes(data[: data.index(b"idx1") * 3 // 4])
        _, reader = read_all(path)
        assert (reader.truncated or "").startswith("the file")

    @pytest.mark.parametrize("ending", ["mkv", "webm"])
    @pytest.mark.parametrize("share", [0.55, 0.75])
    @pytest.mark.parametrize("fault", ["none", "spike", "pause", "late start"])
    def test_a_cut_is_told_whatever_the_times(
        self, clips: Path, tmp_path: Path, ending: str, share: float, fault: str
    ) -> None:
        late = {"none": [], "spike": [5], "pause": range(5, COUNT), "late start": range(COUNT)}[fault]
        times = [k / 30 + 7200 * (k in late) for k in range(COUNT)]
        path = retime(clips / f"plain.{ending}", tmp_path / f"clip.{ending}", times)
        read_whole(path)
        data = path.read_bytes()
        if fault != "spike":  # else no time tells where the frames should end
            path.write_bytes(data[:-10])  # of the index, behind the last frame
            read_whole(path)
        path.write_bytes(data[: int(len(data) * share)])
        frames, reader = read_all(path)
        assert 5 < len(frames) < COUNT
        assert (reader.truncated or "").startswith("the file")

    @pytest.mark.parametrize("from_s", [95_443.0, 95_300.0])  # the 33 bits of its clock end at 95443.7 s
    def test_a_clock_that_wraps(self, clips: Path, tmp_path: Path, from_s: float) -> None:
        times = [from_s + 4 * k for k in range(COUNT)]
        frames, reader = read_whole(retime(clips / "reordered.ts", tmp_path / "clip.ts", times))
        assert_times(frames, times)
        assert reader.warnings == ()

    def test_a_clock_that_wraps_twice(self, clips: Path, tmp_path: Path) -> None:
        times = [5400.0 * k for k in range(COUNT)]
        frames, _ = read_whole(retime(clips / "plain.ts", tmp_path / "clip.ts", times))
        assert_times(frames, times)


def test_a_spike_in_two_hundred_thousand_seconds(clips: Path, tmp_path: Path) -> None:
    times = [k / 30 for k in range(COUNT)]
    times[20] = 95_443.718
    path = retime(clips / "plain.mkv", tmp_path / "clip.mkv", times)
    frames, reader = read_whole(path)
    assert frames[20].time_s == pytest.approx(20 / 30, abs=0.001)
    assert reader.info.fps == 30
    assert reader.warnings == ("frames whose time was out of order: 1, the first near 0.67 s",)


def test_joined_files(clips: Path, tmp_path: Path) -> None:
    slow = retime(clips / "reordered.ts", tmp_path / "slow.ts", [k / 25 for k in range(COUNT)])
    fast = retime(clips / "reordered.ts", tmp_path / "fast.ts", [k / 50 for k in range(COUNT)])
    path = tmp_path / "joined.ts"
    path.write_bytes(slow.read_bytes() + fast.read_bytes())
    frames, reader = read_whole(path, [*range(COUNT), *range(COUNT)])
    assert_times(frames, [k / 25 for k in range(COUNT)] + [1.6 + k / 50 for k in range(COUNT)])
    assert reader.info.duration_s == pytest.approx(2.4, abs=0.02)
    assert reader.warnings == ("times that the clock starts anew: 1, the first near 1.60 s",)


class TestRates:
    @pytest.mark.parametrize(
        ("ending", "rate"), [("mp4", 1000), ("mp4", 2000), ("mkv", 1000), ("mkv", 2000), ("avi", 1000)]
    )
    def test_above_a_thousand(self, tmp_path: Path, ending: str, rate: int) -> None:
        kind = {"codec": "mjpeg", "pix_fmt": "yuvj420p"} if ending == "avi" else {"options": {"bf": "0"}}
        path = make_video(tmp_path / f"clip.{ending}", 100, rate=rate, size=(64, 32), **kind)
        every, reader = read_all(path)
        assert len(every) == 100
        assert (reader.info.fps, reader.process_fps) == pytest.approx((rate, rate), rel=0.02)
        kept, reader = read_all(path, fps=100)
        wanted = list(range(0, 100, rate // 100))
        coarse = ending == "mkv" and rate > 1000  # two frames a millisecond, its unit of time
        assert [frame.idx for frame in kept][: len(wanted)] == pytest.approx(wanted, abs=coarse)
        assert reader.process_fps == pytest.approx(100)

    @pytest.mark.parametrize("rate", [5, 15, 60])
    def test_a_recording_of_a_browser(self, clips: Path, tmp_path: Path, rate: int) -> None:
        path = tmp_path / "clip.webm"
        made = {"codec": "libvpx", "rate": 1000, "container": {"live": "1"}}
        make_video(path, 45, ms=[round(k * 1000 / rate) for k in range(45)], **made)
        with av.open(str(path)) as container:
            assert (container.duration, container.streams.video[0].average_rate) == (None, 1000)
        every, reader = read_all(path)
        assert reader.process_fps == reader.info.fps == pytest.approx(rate, rel=0.01)
        assert reader.info.duration_s == pytest.approx(45 / rate, abs=0.002)
        for fps in (2, 7, 100):
            _, reader = read_all(path, fps=fps)
            assert reader.process_fps == pytest.approx(min(fps, rate), rel=0.02)
        assert survey(path, fps=2) == (every and reader.info, len(read_all(path, fps=2)[0]))

    def test_gif(self, tmp_path: Path) -> None:
        path = make_video(tmp_path / "clip.gif", 30, rate=20, codec="gif", pix_fmt="rgb8")
        _, reader = read_all(path, fps=10)
        assert reader.process_fps == 10
        _, reader = read_all(path)
        assert reader.process_fps == reader.info.fps == pytest.approx(20, rel=0.05)

    def test_of_the_frames_kept_where_they_come_unevenly(self, clips: Path, tmp_path: Path) -> None:
        times = [k / 30 if k < 20 else k - 20 + 2 / 3 for k in range(COUNT)]  # 30 a second, then 1
        path = retime(clips / "plain.mkv", tmp_path / "clip.mkv", times)
        kept, reader = read_all(path, fps=5)
        span = kept[-1].time_s - kept[0].time_s
        assert reader.process_fps == pytest.approx((len(kept) - 1) / span)
