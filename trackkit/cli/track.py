"""The command ``trackkit track``."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.table import Table

from trackkit.cli.exit_codes import OK, SOME_FAILED
from trackkit.cli.options import Commands, add_options, given
from trackkit.config import PRESETS, TrackConfig
from trackkit.core.clock import STAGES
from trackkit.core.errors import ConfigError, TrackkitError
from trackkit.core.options import option, values_of
from trackkit.core.tasks import Progress
from trackkit.core.words import plural
from trackkit.detectors import detector_names
from trackkit.monitor.displays import TerminalDisplay
from trackkit.monitor.run_state import RunState
from trackkit.results.jsonl import failures_path
from trackkit.run.cluster import tls_security
from trackkit.run.interrupts import Interrupted
from trackkit.run.job import Job
from trackkit.run.options import JobOptions, SessionOptions
from trackkit.run.session import Session
from trackkit.trackers import tracker_names
from trackkit.video.inputs import Videos


def add_command(commands: Commands) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("track", help="track videos", description="Track videos.")
    _add_options(parser)
    parser.set_defaults(command=_track)


@dataclass(frozen=True, kw_only=True)
class CommandOptions:
    """Options of the command line alone."""

    preset: str | None = option(
        None,
        "a set of the options below; those given beside it win",
        details=(
            "`color` needs no weights and no GPU; `mini` is GroundingDINO and SAM 2 with small models that "
            "ship with trackkit and know coloured shapes."
        ),
        choices=tuple(sorted(PRESETS)),
    )
    tls_ca_file: str | None = option(
        None,
        "TLS among all parts of the cluster: trusted certificates",
        metavar="PEM",
        details="Without TLS, whoever reaches a scheduler's port can run code there.",
    )
    tls_cert: str | None = option(None, "own certificate for TLS", metavar="PEM")
    tls_key: str | None = option(None, "key of that certificate", metavar="PEM")


#: Groups of flags: what they are about, and the class that they come from.
GROUPS: dict[str, type] = {
    "what is written": JobOptions,
    "presets and TLS": CommandOptions,
    "how objects are found and followed": TrackConfig,
    "where it runs": SessionOptions,
}


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("videos", nargs="*", metavar="VIDEO", help="videos, in place of --video-list")
    add(
        "--video-list",
        metavar="PATH",
        help="text file with one path a line; or a video, a folder, a quoted pattern such as 'clips/*.mp4'",
    )
    add("--text-prompt", required=True, metavar="TEXT", help="classes to find: 'person. red cup.'")
    names = {"detector": detector_names(), "tracker": tracker_names()}
    for title, cls in GROUPS.items():
        add_options(parser.add_argument_group(title), cls, names)


def config_of(options: argparse.Namespace) -> TrackConfig:
    """The options of the models, from those of the command line."""
    preset = CommandOptions(**given(options, CommandOptions)).preset
    return TrackConfig.from_preset(preset, options.text_prompt, **given(options, TrackConfig))


def _videos(options: argparse.Namespace) -> Videos:
    if options.video_list is None and not options.videos:
        msg = "no videos: give --video-list a list file, a video, a folder or a quoted pattern"
        raise ConfigError(msg)
    if options.video_list is not None and options.videos:
        msg = (
            f"{' '.join(options.videos)} is beside --video-list {options.video_list}: give videos in one of "
            "the two ways; write a pattern for --video-list in quotes, and a prompt of several words"
        )
        raise ConfigError(msg)
    if options.video_list is not None:
        return cast("str", options.video_list)
    words = [name for name in options.videos if not (Path(name).suffix or "/" in name or Path(name).exists())]
    if words:
        msg = (
            f"there is no video {words[0]!r}: give paths; a prompt of several words is written in quotes, "
            "--text-prompt 'red cup'"
        )
        raise ConfigError(msg)
    return cast("str", options.videos[0]) if len(options.videos) == 1 else cast("list[str]", options.videos)


def _track(options: argparse.Namespace, console: Console) -> int:
    videos = _videos(options)
    tls = CommandOptions(**given(options, CommandOptions))
    security = tls_security(tls.tls_ca_file, tls.tls_cert, tls.tls_key)
    where = SessionOptions(**given(options, SessionOptions), security=security)
    with Job(videos, config_of(options), **given(options, JobOptions)) as job:
        notes = [f"note: {note}" for note in job.notes]
        if job.output_jsonl is None and job.output_video_dir is None:
            notes.append(
                "note: nothing of this run will be kept; --output-jsonl tracks.jsonl keeps the results, "
                "--output-video-dir DIR annotated videos"
            )
        if job.done:
            done = plural(len(job.done), "video")
            notes.append(
                f"{done} {'is' if len(job.done) == 1 else 'are'} in {job.output_jsonl} already: skipped"
            )
        if job.failed:
            notes.append(f"{plural(len(job.failed), 'video')} failed before: skipped, too")
        for note in notes:
            console.print(note, markup=False, highlight=False)
        return run_job(job, where, console)


def run_job(job: Job, where: SessionOptions, console: Console) -> int:
    """Do a job and show it; returns the exit code."""
    if not job.tasks and not job.missing:
        console.print(f"nothing to do: every video is {'done or failed' if job.failed else 'done'}")
        _say_where(job, console)
        return SOME_FAILED if job.failed else OK
    with Session(job.config, **values_of(where, SessionOptions)) as session:
        if session.dashboard:
            console.print(f"dashboard: {session.dashboard}", markup=False)
            if session.dashboard.note:
                console.print(f"note: {session.dashboard.note}", markup=False)
        run = RunState(**job.counts)
        try:
            with TerminalDisplay(console, run) as display:
                for outcome in session.run(job, display.report):
                    display.finish(outcome)
        except TrackkitError as error:
            print(f"trackkit: {error}", file=sys.stderr)
            return SOME_FAILED
        except Interrupted:
            print("trackkit: stopping; a second signal ends it at once", file=sys.stderr, flush=True)
            for video in run.under_way():
                print(f"trackkit: {begins_anew(video)}", file=sys.stderr, flush=True)
            raise
        finally:
            console.print(summary_table(run))
            _say_where(job, console)
    return SOME_FAILED if run.failures or job.failed else OK


def begins_anew(video: Progress) -> str:
    """What is lost of a video that was cut off, and how long a run has to last that does it."""
    spent_s = sum(video.seconds.values())
    done = f"{video.frames} of {video.total or '?'} frames in {timedelta(seconds=round(spent_s))}"
    whole_s = spent_s / video.frames * video.total if video.frames else 0.0
    about = f"; all of them take about {timedelta(seconds=round(whole_s))}" if whole_s else ""
    return f"{video.video_path} was under way and begins anew next time: {done}{about}"


def _say_where(job: Job, console: Console) -> None:
    """Where everything lies, and how to look at it: a line each, for paths that can be copied whole."""
    lines = []
    if job.output_jsonl is not None:
        jsonl, failures = job.output_jsonl, failures_path(job.output_jsonl)
        lines += [f"results           {jsonl}"] if jsonl.exists() else []
        lines += [f"what failed       {failures}"] if failures.exists() else []
    if job.output_video_dir is not None:
        lines.append(f"annotated videos  {job.output_video_dir}")
    if job.output_jsonl is not None:
        name = shlex.quote(str(job.output_jsonl))
        lines.append(
            f"to look at them   trackkit status {name}; in Python trackkit.read_jsonl({str(jsonl)!r})"
        )
    for line in lines:
        console.print(line, markup=False, highlight=False)


def summary_table(run: RunState) -> Table:
    """What a run did: videos, frames, objects, rate, where the time went."""
    busy = run.seconds.total()
    table = Table(show_header=False, title="trackkit", title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    status = ", ".join(f"{run.status[name]} {name}" for name in ("ok", "truncated", "failed"))
    before = f", {run.skipped} done before" if run.skipped else ""
    over, total = run.so_far
    table.add_row("videos", f"{over} of {total}: {status}{before}")
    table.add_row("frames", f"{run.frames}")
    table.add_row("objects", f"{run.objects}")
    table.add_row("time", f"{run.elapsed_s:.1f} s, {run.frames / run.elapsed_s:.1f} frames/s")
    if busy:
        shares = ", ".join(f"{stage} {run.seconds[stage] / busy:.0%}" for stage in STAGES)
        table.add_row("stages", shares)
    return table
