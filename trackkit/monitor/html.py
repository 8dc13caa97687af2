"""A ``RunState`` as HTML: the same in a notebook and on the dashboard. What comes from outside is escaped."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection
from html import escape
from typing import Any

from trackkit.core.clock import STAGES
from trackkit.core.words import plural
from trackkit.monitor.run_state import RunState, WorkerState

_COLORS = dict(zip(STAGES, ("#8d99ae", "#3d7eff", "#12b886", "#ffa94d", "#c855e8"), strict=True))
_NUMBERS = ("frames", "objects", "frames/s")
_NOW = ("video", "frame", "frames/s", "objects")
_DONE = ("done last", "frames", "objects", "frames/s", "worker")
_STYLE = """<style>
.tk-run { font: 13px/1.5 system-ui, sans-serif; margin: 4px 0 16px; }
.tk-run .head { display: flex; flex-wrap: wrap; gap: 0 16px; }
.tk-run .bar { display: flex; height: 8px; border-radius: 4px; overflow: hidden; background: #8883; }
.tk-run .total { height: 12px; border-radius: 6px; margin: 4px 0 8px; }
.tk-run .bar i { display: block; background: #12b886; }
.tk-run .bar .truncated { background: #ffa94d; }
.tk-run .bar .failed { background: #e03131; }
.tk-run table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin-bottom: 8px; }
/* JupyterLab has rules of its own for tables. */
.tk-run th, .tk-run td { padding: 2px 12px 2px 0 !important; border: 0; vertical-align: middle; }
.tk-run th, .tk-run td { text-align: left !important; white-space: nowrap; }
.tk-run th { font-weight: 600; border-bottom: 1px solid #8886; }
.tk-run .number { text-align: right !important; }
.tk-run td .bar { display: inline-flex; width: 120px; margin-right: 8px; }
.tk-run .gone { opacity: 0.65; }
.tk-run .key { display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin: 0 4px 0 10px; }
.tk-run .note { max-width: 70em; overflow-wrap: anywhere; }
.tk-run .error { color: #e03131; max-width: 70em; overflow-wrap: anywhere; }
.tk-run .pictures { display: flex; flex-wrap: wrap; gap: 12px; }
.tk-run figure { margin: 0; }
.tk-run img { display: block; max-width: 320px; border-radius: 4px; }
</style>"""


def run_html(run: RunState, alive: Collection[str] | None = None) -> str:
    """The counts of a run, a row per worker, what was done last, and what failed.

    Args:
        run: What to show.
        alive: Names of the workers that are there; None where that is not known.
    """
    columns = ["worker"]
    if run.ended is None:
        columns += _NOW
    columns.append("time")
    if any(worker.peak_gpu_mb for worker in run.workers.values()):
        columns.append("GPU memory")
    columns.append("done")
    here = run.workers.keys() if alive is None else alive
    rows = "".join(
        _worker_row(run.workers.get(name, WorkerState(name)), columns, gone=name not in here)
        for name in sorted({*run.workers, *here}, key=_natural)
    )
    keys = "".join(
        f'<span class="key" style="background: {color}"></span>{stage}' for stage, color in _COLORS.items()
    )
    workers = f"{_table_html(columns, rows)}<div>time:{keys}</div>" if rows else ""
    notes = "".join(f'<div class="note">{escape(note)}</div>' for note in run.notes)
    return _box(f"{_head(run)}{notes}{workers}{_recent(run)}{_failures(run)}")


def thumbnails_html(run: RunState) -> str:
    """The newest annotated frame of each worker; empty where there is none."""
    figures = [
        f'<figure data-worker="{escape(worker.name)}">'
        f'<img alt="" src="data:image/jpeg;base64,{b64encode(worker.thumbnail[0]).decode()}">'
        f"<figcaption>{escape(worker.name)}: {_path(worker.thumbnail[1])}</figcaption></figure>"
        for worker in sorted(run.workers.values(), key=lambda worker: _natural(worker.name))
        if worker.thumbnail is not None
    ]
    return _box(f'<div class="pictures">{"".join(figures)}</div>') if figures else ""


def short(path: str, width: int = 40) -> str:
    """The end of a path."""
    return path if len(path) <= width else "…" + path[1 - width :]


def clock_time(seconds: float) -> str:
    """``1:02:03``, or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _head(run: RunState) -> str:
    over, total = run.so_far
    counts = [f"{over} of {plural(total, 'video')}"]
    counts += [f"{run.status[name]} {name}" for name in ("ok", "truncated", "failed") if run.status[name]]
    if run.over < run.total:
        counts.append(f"{run.total - run.over} left")
    if run.skipped:
        counts.append(f"{run.skipped} done before")
    counts += [f"{plural(run.frames, 'frame')}, {plural(run.objects, 'object')}", f"{run.rate:.1f} frames/s"]
    left = "" if run.left_s is None else f", {clock_time(run.left_s)} to go"
    counts.append(f"{clock_time(run.elapsed_s)}{left}")
    if run.ended:
        counts.append(escape(run.ended))
    shares = [
        f'<i class="{name}" style="width: {run.status[name] / run.total:.2%}"></i>'
        for name in ("ok", "truncated", "failed")
        if run.status[name]
    ]
    head = "".join(f"<span>{each}</span>" for each in (f"<b>{escape(run.prompt)}</b>", *counts))
    return f'<div class="head">{head}</div><div class="bar total">{"".join(shares)}</div>'


def _natural(name: str) -> tuple[int, str]:
    return len(name), name  # 2 before 10


def _worker_row(worker: WorkerState, columns: Collection[str], gone: bool) -> str:
    now, shares = worker.now, worker.shares()
    gpu = "" if worker.gpu is None else f" (GPU {escape(worker.gpu)})"
    counts = {"video": worker.videos, "frame": worker.frames, "object": worker.objects}
    done = [plural(count, noun) for noun, count in counts.items()]
    if worker.failed:
        done.append(f"{worker.failed} failed")
    stages = "".join(
        f'<i style="width: {share:.1%}; background: {_COLORS[stage]}"></i>' for stage, share in shares.items()
    )
    told = ", ".join(f"{stage} {share:.0%}" for stage, share in shares.items())
    cells = {
        "worker": f"{escape(worker.name)}{gpu}{' gone' if gone else ''}",
        "video": "" if now is None else _path(now.video_path),
        "frame": "" if now is None else _frame_bar(now.frames, now.total),
        "frames/s": "" if now is None else f"{worker.rate:.1f}",
        "objects": "" if now is None else f"{now.objects}",
        "time": f'<div class="bar" title="{told}">{stages}</div>' if stages else "",
        "GPU memory": "" if worker.peak_gpu_mb is None else f"{worker.peak_gpu_mb / 1024:.1f} GiB",
        "done": ", ".join(done),
    }
    row = "".join(_cell(name, cells[name]) for name in columns)
    return f'<tr data-worker="{escape(worker.name)}"{" class=gone" if gone else ""}>{row}</tr>'


def _frame_bar(frames: int, total: int) -> str:
    if not total:  # the container does not say
        return f"{frames}"
    share = min(frames / total, 1.0)
    return f'<div class="bar"><i style="width: {share:.1%}"></i></div>{frames} of {total}'


def _recent(run: RunState) -> str:
    done = [row for row in run.recent if row["status"] != "failed"]
    if not done:
        return ""
    rows = "".join(
        f"<tr>{_cell('video', _path(row['video_path']))}"
        f"{_cell('frames', row['frames'])}{_cell('objects', row['objects'])}"
        f"{_cell('frames/s', '' if row['fps'] is None else format(row['fps'], '.1f'))}"
        f"{_cell('worker', escape(row['worker']))}</tr>"
        for row in done
    )
    return _table_html(_DONE, rows)


def _failures(run: RunState) -> str:
    return "".join(
        f'<div class="error"><b>{escape(row["status"])}</b> {escape(row["video_path"])}: '
        f"{escape(str(row['message']))}</div>"
        for row in run.failures
    )


def _path(path: str) -> str:
    return f'<span title="{escape(path)}">{escape(short(path))}</span>'


def _cell(name: str, text: Any) -> str:
    return f'<td{_number(name)} data-column="{name}">{text}</td>'


def _number(column: str) -> str:
    return " class=number" if column in _NUMBERS else ""


def _table_html(columns: Collection[str], rows: str) -> str:
    head = "".join(f"<th{_number(name)}>{name}</th>" for name in columns)
    return f"<table><tr>{head}</tr>{rows}</table>"


def _box(content: str) -> str:
    return f'{_STYLE}<div class="tk-run">{content}</div>'
