"""The command line: ``trackkit track``, ``status``, ``eval``, ``export``, ``demo``, ``models``, ``doctor``.

Exit codes: 0 all videos are done, 1 some failed or the run broke off, 2 the command cannot work as given,
130 Ctrl-C, 143 SIGTERM.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from trackkit import __version__
from trackkit.checkpoints import fetch_model, list_models
from trackkit.cli_export import add_export
from trackkit.cluster import tls_security
from trackkit.config import DTYPES, MEMORIES, PRESETS, TrackConfig
from trackkit.detectors import detector_names
from trackkit.endings import Interrupted, orderly_end
from trackkit.errors import TrackkitError
from trackkit.evaluation import SIMILARITIES, evaluate
from trackkit.ground_truth import FORMATS
from trackkit.job import Job
from trackkit.jsonl import read_jsonl
from trackkit.jsonl_codec import LAYOUTS
from trackkit.progress import TerminalDisplay, status_table, summary_table
from trackkit.run_state import RunState
from trackkit.schedule import SCHEDULES
from trackkit.session import Session
from trackkit.shipped import is_shipped
from trackkit.status import read_status
from trackkit.trackers import tracker_names

OK, SOME_FAILED, USAGE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = [_kebab(word) for word in (sys.argv[1:] if argv is None else argv)]
    options = _parser().parse_args(arguments)
    console = Console(soft_wrap=True)
    try:
        with orderly_end():
            code: int = options.command(options, console)
    except TrackkitError as error:
        print(f"trackkit: {error}", file=sys.stderr)
        return USAGE
    except Interrupted as interrupted:
        kept = getattr(options, "output_jsonl", None) is not None
        advice = "the same command goes on from here" if kept else "no --output-jsonl was given to go on from"
        print(f"trackkit: interrupted; {advice}", file=sys.stderr)
        return interrupted.exit_code
    return code


def _kebab(word: str) -> str:
    """``--video_list=a_b`` -> ``--video-list=a_b``: both spellings of every flag are understood."""
    if not word.startswith("--"):
        return word
    flag, equals, value = word.partition("=")
    return flag.replace("_", "-") + equals + value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trackkit",
        description="Track what a text prompt names through many videos, on every GPU you have.",
        epilog="Flags may be spelled with - or _ between words.",
    )
    parser.add_argument("--version", action="version", version=f"trackkit {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    track = commands.add_parser("track", help="track videos", description="Track videos.")
    _add_track_options(track)
    track.set_defaults(command=_track)
    evaluation = commands.add_parser(
        "eval",
        help="compare results with ground truth",
        description="Compare results with ground truth: HOTA, IDF1, MOTA, precision, recall, J and F.",
    )
    _add_eval_options(evaluation)
    evaluation.set_defaults(command=_eval)
    add_export(commands)
    about = "say what is done, failed and left, and how fast it goes"
    status = commands.add_parser("status", help=about, description=f"{about.capitalize()}.")
    status.add_argument("output_jsonl", metavar="FILE", help="the --output-jsonl of the run")
    status.add_argument("--video-list", metavar="PATH", help="of the run, to count what is left")
    status.set_defaults(command=_status)
    demo = commands.add_parser(
        "demo",
        help="see it work: no weights, no GPU, no network",
        description="Make three videos, track them on a cluster of this machine, leave results to look at.",
    )
    demo.add_argument(
        "--output-dir", default="demo_output", help="where everything goes (default: %(default)s)"
    )
    demo.add_argument("--num-workers", type=int, default=2, help="workers (default: %(default)s)")
    demo.set_defaults(command=_demo)
    models = commands.add_parser("models", help="list, fetch and verify weights").add_subparsers(
        required=True, metavar="ACTION"
    )
    listing = models.add_parser("list", help="models, and which of them are here")
    listing.set_defaults(command=_models_list)
    for action, text, command in (
        ("fetch", "download what is not here yet", _models_fetch),
        ("verify", "load strictly, on the CPU, and compare checksums", _models_verify),
    ):
        parser_of_action = models.add_parser(action, help=text, description=f"{text.capitalize()}.")
        parser_of_action.add_argument(
            "name", help="sam2.1_hiera_large, a GroundingDINO hub name, a file, a folder"
        )
        parser_of_action.set_defaults(command=command)
    doctor = commands.add_parser(
        "doctor", help="what works on this machine", description="Say what works here, and what to do."
    )
    doctor.set_defaults(command=_doctor)
    return parser


def _add_track_options(parser: argparse.ArgumentParser) -> None:
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


def _add_eval_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("predictions", metavar="JSONL", help="results of trackkit track")
    add(
        "--ground-truth",
        required=True,
        metavar="PATH",
        help="trackkit JSONL, MOTChallenge text, DAVIS masks, YouTube-VIS JSON; or a folder of one kind",
    )
    add("--format", choices=FORMATS, help="of the ground truth (default: what PATH looks like)")
    add(
        "--by",
        choices=SIMILARITIES,
        help="compare masks or boxes (default: masks where both sides have them)",
    )
    add("--ignore-labels", action="store_true", help="match objects whatever their labels are")
    add(
        "--min-visibility",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="ignore ground truth of which less than this share is visible (default: %(default)s)",
    )
    add("--json", metavar="FILE", help="write the numbers to this file, too")


def _config(options: argparse.Namespace) -> TrackConfig:
    given = {name: value for name, value in vars(options).items() if name in TrackConfig.__dataclass_fields__}
    if options.preset is None:
        return TrackConfig(**given)
    return TrackConfig.from_preset(options.preset, **given)


def _track(options: argparse.Namespace, console: Console) -> int:
    with Job(
        options.video_list,
        _config(options),
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
        return _run(job, session, console)


def _run(job: Job, session_options: dict[str, object], console: Console) -> int:
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


def _status(options: argparse.Namespace, console: Console) -> int:
    console.print(status_table(read_status(options.output_jsonl, options.video_list)))
    return OK


def _eval(options: argparse.Namespace, console: Console) -> int:
    evaluation = evaluate(
        options.predictions,
        options.ground_truth,
        format=options.format,
        by=options.by,
        ignore_labels=options.ignore_labels,
        min_visibility=options.min_visibility,
    )
    console.print(str(evaluation), markup=False, highlight=False)
    if options.json:
        evaluation.to_json(options.json)
    return OK


def _demo(options: argparse.Namespace, console: Console) -> int:
    from trackkit.demo import DemoFiles, demo_config, make_demo_videos
    from trackkit.display import contact_sheet

    files = DemoFiles.under(Path(options.output_dir))
    console.print("making three videos ...")
    videos = make_demo_videos(files.videos)
    shutil.rmtree(files.annotated, ignore_errors=True)
    files.jsonl.unlink(missing_ok=True)
    with Job(videos, demo_config(), output_jsonl=files.jsonl, output_video_dir=files.annotated) as job:
        code = _run(job, {"device": "cpu", "num_workers": options.num_workers}, console)
    contact_sheet(read_jsonl(files.jsonl)).save(files.contact_sheet)
    console.print("\nLook at them:")
    for path, what in (
        (files.contact_sheet, "frames of every video"),
        (files.annotated, "annotated videos"),
        (files.jsonl, "the results, one line per video"),
    ):
        console.print(f"  {path}  {what}", markup=False, highlight=False)
    return code


def _models_list(options: argparse.Namespace, console: Console) -> int:
    table = Table(
        "model", "kind", "parameters", "size", "where", title="trackkit models", title_justify="left"
    )
    for model in list_models():
        size = "" if model.size_bytes is None else f"{model.size_bytes / 2**20:.0f} MiB"
        place = "not here" if model.path is None else str(model.path)
        millions = model.parameters / 1e6
        table.add_row(model.name, model.kind, f"{millions:.{int(millions < 10)}f} M", size, place)
    console.print(table)
    return OK


def _models_fetch(options: argparse.Namespace, console: Console) -> int:
    path = fetch_model(options.name)
    note = " ships with trackkit: nothing to fetch" if is_shipped(path) else ""
    console.print(f"{path}{note}", markup=False, highlight=False)
    return OK


def _models_verify(options: argparse.Namespace, console: Console) -> int:
    from trackkit.verify import verify

    found = verify(options.name)
    released = {True: "bit for bit a released file", False: "no released file", None: "no checksum known"}
    console.print(f"{found.path} loads strictly as {found.model}", markup=False, highlight=False)
    console.print(f"{found.keys} tensors, {found.parameters:,} weights ({', '.join(found.dtypes)})")
    origin = "ships with trackkit" if is_shipped(found.path) else released[found.released]
    console.print(f"sha256 {found.sha256}: {origin}", highlight=False)
    return OK


def _doctor(options: argparse.Namespace, console: Console) -> int:
    from trackkit.doctor import examine

    table = Table("", "what", "found", "what to do", title="trackkit doctor", title_justify="left")
    signs = {True: "[green]ok[/]", False: "[red]no[/]", None: "[yellow]-[/]"}
    broken = False
    for check in examine():
        broken = broken or check.ok is False
        table.add_row(signs[check.ok], check.name, check.found, check.advice)
    console.print(table)
    return SOME_FAILED if broken else OK
