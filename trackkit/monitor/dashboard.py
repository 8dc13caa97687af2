"""A page of trackkit's own on the Dask dashboard, added while the scheduler runs, and the way to it."""

from __future__ import annotations

import os
from html import escape
from typing import Any

import dask
from distributed import Client, Scheduler, SchedulerPlugin
from distributed.utils import get_ip

from trackkit.core.errors import ClusterError
from trackkit.monitor.events import PROGRESS_TOPIC, RUN_TOPIC, read_progress
from trackkit.monitor.html import run_html, thumbnails_html
from trackkit.monitor.run_state import RunState

PAGE = "trackkit"
UPDATE_INTERVAL_MS = 500
RUNS_SHOWN = 3
_DIRECT = "{scheme}://{host}:{port}/status"  # Dask's default of distributed.dashboard.link


class DashboardPage(SchedulerPlugin):
    """Follows the runs of every session on a scheduler, and shows them on a page of its dashboard.

    Attributes:
        runs: By id, the newest last.
    """

    name = "trackkit-page"
    idempotent = True  # sessions that share a scheduler share the page

    def __init__(self) -> None:
        self.runs: dict[str, RunState] = {}
        self._clients: dict[str, str] = {}

    async def start(self, scheduler: Scheduler) -> None:
        """Add the page, and a tab in the bar above every page.

        Raises:
            ClusterError: The scheduler has a dashboard, and bokeh cannot be used.
        """
        try:
            from distributed.dashboard.core import BokehApplication
            from distributed.dashboard.scheduler import template_variables
        except ImportError as error:
            msg = f"bokeh cannot be used where the scheduler runs ({error}): pip install bokeh there"
            raise ClusterError(msg) from None
        from tornado.ioloop import IOLoop

        variables = template_variables(scheduler)
        variables["pages"].append(PAGE)  # one list for all pages: each of them gets the tab
        pages = {f"/{PAGE}": self._page}
        app = BokehApplication(pages, scheduler, prefix=_prefixes(scheduler)[0], template_variables=variables)
        scheduler.http_application.add_application(app)
        app.initialize(IOLoop.current())
        app.start()

    def log_event(self, topic: str, msg: Any) -> None:
        """Take what workers and clients say."""
        if topic == PROGRESS_TOPIC and msg["run"] in self.runs:
            self.runs[msg["run"]].report(read_progress(msg["progress"]))
        elif topic == RUN_TOPIC:
            self._hear(**msg)

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """Runs of a client that is gone go on no more."""
        for run_id in [run_id for run_id, owner in self._clients.items() if owner == client]:
            self._hear(run_id, client, end="broke off")

    def _hear(
        self,
        run: str,
        client: str,
        begin: dict[str, Any] | None = None,
        row: dict[str, Any] | None = None,
        end: str | None = None,
    ) -> None:
        if begin is not None:
            over = [run_id for run_id, state in self.runs.items() if state.ended is not None]
            for run_id in over[: max(0, len(self.runs) + 1 - RUNS_SHOWN)]:
                del self.runs[run_id]
            self.runs[run], self._clients[run] = RunState(**begin), client
        if row is not None and run in self.runs:
            self.runs[run].finish(row)
        if end is not None and self._clients.pop(run, None) is not None:
            self.runs[run].end(end)

    def _page(self, scheduler: Scheduler, extra: dict[str, Any], doc: Any) -> None:
        """Fill a Bokeh document: one for every browser tab that is open."""
        from bokeh.models import Div
        from distributed.dashboard.components.scheduler import env

        counts, pictures = Div(sizing_mode="stretch_width"), Div(sizing_mode="stretch_width")

        def update() -> None:
            alive = {str(worker.name) for worker in scheduler.workers.values()}
            runs = list(reversed(self.runs.values()))
            texts = [run_html(run, alive if run.ended is None else None) for run in runs]
            # Bokeh sends a text only when it is another one.
            counts.text = "".join(texts) or "No run yet: this page follows the runs of trackkit sessions."
            pictures.text = "".join(thumbnails_html(run) for run in runs)

        update()
        doc.title = "trackkit"
        doc.add_root(counts)
        doc.add_root(pictures)
        doc.add_periodic_callback(update, UPDATE_INTERVAL_MS)
        doc.template = env.get_template("simple.html")
        doc.template_variables.update(extra)


def _prefixes(dask_scheduler: Scheduler) -> list[str]:
    """What the addresses of the dashboard's pages begin with, by page; none without a dashboard."""
    apps = dask_scheduler.http_application.applications
    return [app.prefix for app in apps if hasattr(app, "prefix")]


def add_page(client: Client) -> str | None:
    """Put the page on the dashboard of the client's scheduler, if it is not there yet.

    Returns:
        Why there is none, or None: nothing depends on the page, and a run goes on without it.
    """
    try:
        # A plugin that cannot start is an error with a traceback in what the scheduler logs.
        if not client.run_on_scheduler(_prefixes):
            return "no trackkit page on the dashboard: the scheduler was started without a dashboard"
        client.register_plugin(DashboardPage())
    except (ClusterError, ImportError, AttributeError) as error:  # not, or another, trackkit over there
        return f"no trackkit page on the dashboard: {error}"
    return None


class DashboardLink(str):
    """Address of the dashboard, a string; in a notebook a link to click on.

    Attributes:
        status: Address of Dask's own status page.
        note: Why there is no trackkit page; None where there is one.
    """

    status: str
    note: str | None

    def __new__(cls, status: str, note: str | None) -> DashboardLink:
        """Of the two pages the one to look at."""
        link = super().__new__(cls, status if note else status.removesuffix("status") + PAGE)
        link.status, link.note = status, note
        return link

    def _repr_html_(self) -> str:
        links = {"Dask status": self.status} if self.note else {PAGE: str(self), "Dask status": self.status}
        anchors = [f'<a href="{escape(url)}" target="_blank">{text}</a>' for text, url in links.items()]
        more = [escape(self.note)] if self.note else []
        return " · ".join([*anchors, f"<code>{escape(self)}</code>", *more])


def dashboard_link(client: Client, note: str | None) -> DashboardLink | None:
    """The way to the dashboard from where the user sits; None where there is none.

    ``distributed.dashboard.link`` of Dask's configuration is followed. Where it is not set, and the notebook
    runs under JupyterHub, the way goes through jupyter-server-proxy.

    Args:
        client: Connected to the scheduler.
        note: Why there is no trackkit page.
    """
    hub = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    link = dask.config.get("distributed.dashboard.link", _DIRECT)
    if hub and link == _DIRECT:
        host = client.scheduler.address.split("://")[-1].rsplit(":", 1)[0]
        here = host in ("127.0.0.1", "localhost", get_ip())
        link = "{JUPYTERHUB_SERVICE_PREFIX}proxy/" + ("{port}/status" if here else "{host}:{port}/status")
    try:
        with dask.config.set({"distributed.dashboard.link": link}):
            status = client.dashboard_link
    except KeyError:  # Dask's way of saying that the scheduler has no dashboard
        return None
    return DashboardLink(status, note) if status else None
