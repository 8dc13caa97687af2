"""The command ``trackkit track``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from trackkit.cli.exit_codes import OK, SOME_FAILED
from trackkit.config import DTYPES, MEMORIES, PRESETS, TrackConfig
from trackkit.core.clock import STAGES
from trackkit.core.errors import TrackkitError
from trackkit.detectors import detector_names
from trackkit.monitor.displays import TerminalDisplay
from trackkit.monitor.run_state import RunState
from trackkit.results.jsonl_line import LAYOUTS
from trackkit.run.cluster import tls_security
from trackkit.run.interrupts import Interrupted
from trackkit.run.job import Job
from trackkit.run.schedule import SCHEDULES
from trackkit.run.session import Session
from trackkit.trackers import tracker_names

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    Commands = _SubParsersAction[argparse.ArgumentParser]


def add_command(commands: Commands) -> None:
    """Add the command and its options."""
    parser = commands.add_parser("track", help="track videos", description="Track videos.")
    _add_options(parser)
    parser.set_defaults(command=_track)


def _add_options(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what")
    add = what.add_argument
    add(
        "--video-list",
        required=True,
        metavar="PATH",
        help="text file with one path a line; or a video, a folder, a quoted pattern such as 'clips/*.mp4'",
    )
    add("--text-prompt", required=True, metavar="TEXT", help="classes to find: 'person. red cup.'")
    add("--output-jsonl", metavar="FILE", help="one line per video is appended to this file")
    add("--output-video-dir", metavar="DIR", help="write an annotated video per video to this folder")
    add("--layout", choices=LAYOUTS, default="frames", help="of the JSONL lines (default: %(default)s)")
    resume = what.add_mutually_exclusive_group()
    resume.add_argument(
        "--resume", action="store_true", default=True, help="skip videos that the JSONL file has (default)"
    )
    resume.add_argument(
        "--no-resume", dest="resume", action="store_false", help="begin anew; the old file is kept beside it"
    )
    add("--skip-missing", action="store_true", help="record missing videos as failures, do not stop for them")
    add("--skip-failed", action="store_true", help="do not try again what failed before")

    # No defaults here: what is not given is left to the preset, then to TrackConfig.
    add = parser.add_argument_group("how").add_argument
    defaults = TrackConfig("object")
    for flag, kind, text in (
        ("--detector", detector_names(), "what finds objects"),
        ("--tracker", tracker_names(), "what follows them"),
        (
            "--detector-model",
            str,
            "hub name or local folder of the detector's weights; mini ships with trackkit",
        ),
        (
            "--sam-type",
            str,
            "SAM 2 model: sam2.1_hiera_{tiny,small,base_plus,large}; mini ships with trackkit",
        ),
        ("--model-path", str, "SAM 2 checkpoint file"),
        ("--detection-frequency", int, "detect on every Nth processed frame; 1 for bytetrack"),
        ("--max-frames", int, "frames kept in memory per video, not a cut"),
        ("--fps", float, "rate at which frames are processed, by time"),
        ("--box-threshold", float, "lowest score of a detection, 0 to 1"),
        ("--text-threshold", float, "lowest score of a word of the prompt, 0 to 1"),
        ("--dtype", DTYPES, "precision of the models"),
        ("--batch-size", int, "frames the models take at once"),
        ("--memory", MEMORIES, "what SAM 2 remembers of an object"),
        ("--min-region", float, "drop regions of a mask below this share of its largest one, 0 to 1"),
        ("--min-pred-iou", float, "an object is out of sight where SAM 2 predicts a lower IoU for its mask"),
        ("--patience-s", float, "seconds for which SAM 2 remembers an object that is out of sight"),
        ("--max-objects", int, "objects that SAM 2 follows at once"),
        ("--compile", bool, "compile SAM 2: slow to start, then faster"),
        ("--reanchor", bool, "prompt SAM 2 anew where a mask has drifted off the detections"),
        ("--scene-cuts", bool, "end all objects where a new scene begins"),
    ):
        default = getattr(defaults, flag[2:].replace("-", "_"))
        text = text if default is None else f"{text} (default: {default})"
        if isinstance(kind, tuple):
            add(flag, choices=kind, default=argparse.SUPPRESS, help=text)
        elif kind is bool:
            add(flag, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS, help=text)
        else:
            add(flag, type=kind, metavar=kind.__name__.upper(), default=argparse.SUPPRESS, help=text)
    add(
        "--preset",
        choices=sorted(PRESETS),
        help="a set of these options; color needs no weights and no GPU, "
        "mini is GroundingDINO and SAM 2 with small models that ship with trackkit and know coloured shapes",
    )

    add = parser.add_argument_group("where").add_argument
    add("--device", metavar="cpu|cuda|cuda:N", help="default: every GPU, the CPU where there is none")
    add("--gpu-ids", type=int, nargs="+", metavar="N", help="GPUs to use; one named twice gets two workers")
    add(
        "--num-workers",
        type=int,
        metavar="N",
        help="default: one per GPU, or one per two cores; above the number of GPUs they go round them; "
        "0 works in this process, without Dask",
    )
    add("--scheduler", metavar="ADDRESS", help="use a Dask cluster that is already there: tcp://host:port")
    for name, text in (("ca-file", "trusted certificates"), ("cert", "own certificate"), ("key", "its key")):
        add(f"--tls-{name}", metavar="PEM", help=f"TLS among all parts of the cluster: {text}")
    add(
        "--schedule",
        choices=SCHEDULES,
        default="dynamic",
        help="how videos are spread (default: %(default)s)",
    )
    add(
        "--timeout-per-video",
        type=float,
        metavar="SECONDS",
        dest="timeout_per_video_s",
        help="a video that takes longer fails; one that hangs costs its worker process (default: no limit)",
    )
    add("--host", default="127.0.0.1", help="address the workers listen on (default: %(default)s)")
    add(
        "--dashboard-address",
        default="127.0.0.1:0",
        metavar="HOST:PORT",
        help="of the Dask dashboard; port 0 takes a free one (default: %(default)s)",
    )


def config_of(options: argparse.Namespace) -> TrackConfig:
    """The options of the models, from those of the command line."""
    given = {name: value for name, value in vars(options).items() if name in TrackConfig.__dataclass_fields__}
    if options.preset is None:
        return TrackConfig(**given)
    return TrackConfig.from_preset(options.preset, **given)


def _track(options: argparse.Namespace, console: Console) -> int:
    with Job(
        options.video_list,
        config_of(options),
        output_jsonl=options.output_jsonl,
        output_video_dir=options.output_video_dir,
        layout=options.layout,
        resume=options.resume,
        skip_missing=options.skip_missing,
        skip_failed=options.skip_failed,
    ) as job:
        for note in job.notes:
            console.print(f"note: {note}", markup=False, highlight=False)
        if job.done:
            console.print(f"{len(job.done)} videos are in {options.output_jsonl} already: skipped")
        if job.failed:
            console.print(f"{len(job.failed)} videos failed before: skipped, too")
        session = {
            name: getattr(options, name)
            for name in (
                *("device", "gpu_ids", "num_workers", "scheduler", "schedule"),
                *("timeout_per_video_s", "host", "dashboard_address"),
            )
        }
        session["security"] = tls_security(options.tls_ca_file, options.tls_cert, options.tls_key)
        return run_job(job, session, console)


def run_job(job: Job, session_options: dict[str, object], console: Console) -> int:
    """Do a job and show it; returns the exit code."""
    if not job.tasks and not job.missing:
        console.print(f"nothing to do: every video is {'done or failed' if job.failed else 'done'}")
        return SOME_FAILED if job.failed else OK
    with Session(job.config, **session_options) as session:  # type: ignore[arg-type]
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
            raise
        finally:
            console.print(summary_table(run))
    return SOME_FAILED if run.failures or job.failed else OK


def summary_table(run: RunState) -> Table:
    """What a run did: videos, frames, objects, rate, where the time went."""
    busy = run.seconds.total()
    table = Table(show_header=False, title="trackkit", title_justify="left")
    table.add_column(style="bold")
    table.add_column()
    status = ", ".join(f"{run.status[name]} {name}" for name in ("ok", "truncated", "failed"))
    table.add_row("videos", f"{run.over} of {run.total}: {status}")
    table.add_row("frames", f"{run.frames}")
    table.add_row("objects", f"{run.objects}")
    table.add_row("time", f"{run.elapsed_s:.1f} s, {run.frames / run.elapsed_s:.1f} frames/s")
    if busy:
        shares = ", ".join(f"{stage} {run.seconds[stage] / busy:.0%}" for stage in STAGES)
        table.add_row("stages", shares)
    return table
