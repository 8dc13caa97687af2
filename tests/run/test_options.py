from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import trackkit as tk
from trackkit.core.errors import ConfigError
from trackkit.core.options import options_of
from trackkit.run.options import JobOptions, RunOptions, SessionOptions


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"schedule": "random"}, "schedule is 'random': choose one of dynamic, round-robin"),
        ({"timeout_per_video_s": 0}, "timeout_per_video_s is 0: expected a number above 0, or None"),
        ({"timeout_per_video_s": float("inf")}, "timeout_per_video_s is inf"),
        ({"num_workers": -1}, "num_workers is -1: expected a whole number from 0 up"),
        ({"worker_timeout_s": 0}, "worker_timeout_s is 0"),
        ({"scheduler": "tcp://a:1", "cluster": object()}, "give one"),
    ],
)
def test_where_a_run_goes_is_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        SessionOptions(**options)
    assert words in str(error.value)


def test_what_is_written_is_checked() -> None:
    with pytest.raises(ConfigError, match="layout is 'rows': choose one of frames, objects"):
        JobOptions(layout="rows")
    with pytest.raises(ConfigError, match="resume is 'no': expected True or False"):
        RunOptions(resume="no")  # type: ignore[arg-type]


def test_track_takes_what_session_track_takes() -> None:
    of_session = dict(inspect.signature(tk.Session.track).parameters)
    of_track = inspect.signature(tk.track).parameters
    assert of_session.pop("self")
    assert of_session.items() <= of_track.items()
    assert set(of_track) - set(of_session) == {"text_prompt", "preset", "session", "options"}
    assert inspect.signature(tk.Session.iter_results).parameters.keys() == {"self", *of_session}
    assert inspect.signature(tk.Job).parameters.keys() == {"videos", "config", *options_of(JobOptions)}
    assert inspect.signature(tk.Session).parameters.keys() == {"config", *options_of(SessionOptions)}


def test_a_misspelled_option_is_told_with_those_that_there_are() -> None:
    told = r"track\(\) has no option box_treshold \(did you mean box_threshold\?\): it has .*tracker"
    with pytest.raises(TypeError, match=told):
        tk.track("x.mp4", "car", box_treshold=0.3)
    with pytest.raises(TypeError, match=r"preview\(\) has no option framess"):
        tk.preview("a.mp4", "red", framess=3)


@pytest.mark.parametrize(
    ("make", "near"),
    [
        (lambda: tk.TrackConfig("car", box_treshold=0.3), "box_threshold"),  # type: ignore[call-arg]
        (lambda: tk.TrackConfig("car").replace(detection_freq=3), "detection_frequency"),
        (lambda: tk.TrackConfig.from_preset("color", "car", max_frame=3), "max_frames"),
        (lambda: tk.track("x.mp4", "car", output_json="x"), "output_jsonl"),
        (lambda: SessionOptions(num_worker=2), "num_workers"),  # type: ignore[call-arg]
        (lambda: tk.Session(tk.TrackConfig("car"), gpu_id=[0]), "gpu_ids"),  # type: ignore[call-arg]
    ],
)
def test_a_mistyped_name_is_told_the_near_one(make: Callable[[], object], near: str) -> None:
    with pytest.raises(TypeError, match=rf"did you mean {near}\?"):
        make()


def test_a_mistyped_choice_is_told_the_near_one() -> None:
    with pytest.raises(ConfigError, match=r"preset 'colour' is unknown: .*; did you mean color\?"):
        tk.TrackConfig.from_preset("colour", "car")
    with pytest.raises(ConfigError, match=r"memory is 'samura': .*; did you mean samurai\?"):
        tk.TrackConfig("car", memory="samura")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"did you mean sam2\.1_hiera_large\?"):
        tk.TrackConfig("car", sam_type="sam2.1_hierra_large")
