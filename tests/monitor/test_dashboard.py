"""trackkit's page on the Dask dashboard: a real run, looked at in a real browser; and the way to it."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import pytest
from distributed import LocalCluster

import trackkit as tk
from trackkit.core.clock import STAGES
from trackkit.monitor.dashboard import DashboardLink, dashboard_link
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")


@pytest.fixture
def page() -> Any:
    """A page of a headless browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def test_the_page_shows_a_run_as_it_is(page: Any, tmp_path: Path) -> None:
    options: dict[str, Any] = {"num_objects": 2, "colors": ("red", "blue"), "occlusion": False}
    options |= {"entries_and_exits": False}
    large = [write_video(make_scene(s, num_frames=12, **options), tmp_path / f"{s}.mp4") for s in range(2)]
    small = [
        write_video(make_scene(s, num_frames=12, width=64, height=48, **options), tmp_path / f"{s}.mp4")
        for s in (2, 3)
    ]
    broken = tmp_path / "<b>broken.mp4"
    broken.write_bytes(b"no video")
    gate = tmp_path / "gate"
    config = tk.TrackConfig("red. blue.", detector="patient", detector_model=str(gate), tracker="bytetrack")
    workers: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": 0}
    with (
        dask.config.set({"distributed.worker.preload": ["faults"]}),
        LocalCluster(**workers, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        tk.Session(config, cluster=cluster, device="cpu") as session,
    ):
        assert session.dashboard is not None
        page.set_default_timeout(60_000)
        page.goto(session.dashboard.status)
        page.locator("text=Trackkit").dispatch_event("click")
        page.wait_for_selector("text=No run yet")
        outcomes = session.iter_results([*large, *small, broken])
        first = [next(outcomes), next(outcomes)]  # the small ones wait for the gate
        for path in small:
            page.wait_for_selector(f'td span[title="{path}"]')
        page.wait_for_selector("text=3 left")
        frames = page.locator('td[data-column="frame"]').all_inner_texts()
        assert len([text for text in frames if re.fullmatch(r"\s*\d of 12", text)]) == 2
        for name in ("0", "1"):
            picture = page.locator(f'figure[data-worker="{name}"] img')
            assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 320
        gate.touch()
        results = tk.TrackingResults([*first, *outcomes], config)
        page.wait_for_selector("text=5 of 5 videos")
        videos = results.videos
        assert videos["status"].value_counts().to_dict() == {"ok": 4, "failed": 1}
        head = page.locator(".tk-run .head").inner_text()
        for text in ("5 of 5 videos", "4 ok", "1 failed", "48 frames", f"{videos['objects'].sum()} objects"):
            assert text in head
        for name, rows in videos.groupby("worker"):
            shown = page.locator(f'tr[data-worker="{name}"] td[data-column="done"]').inner_text()
            ok = rows[rows["status"] == "ok"]
            wanted = f"{len(ok)} videos, {ok['frames'].sum()} frames, {ok['objects'].sum()} objects"
            failed = len(rows) - len(ok)
            assert shown == wanted + (f", {failed} failed" if failed else "")
            stages = ok[[f"seconds_{stage}" for stage in STAGES]].sum()
            told = page.locator(f'tr[data-worker="{name}"] td .bar').get_attribute("title")
            assert f"detect {stages['seconds_detect'] / stages.sum():.0%}" in told
        assert str(broken) in page.locator(".tk-run .error").inner_text()
        assert "No run yet" not in page.content()


def test_without_bokeh_the_run_goes_on_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_video(make_scene(0, num_frames=4, colors=("red",)), tmp_path / "clip.mp4")
    workers: dict[str, Any] = {"n_workers": 1, "threads_per_worker": 1, "processes": False}
    config = tk.TrackConfig.from_preset("color", "red")
    with LocalCluster(**workers, dashboard_address="127.0.0.1:0") as cluster:
        monkeypatch.setitem(sys.modules, "distributed.dashboard.core", None)  # cannot be imported
        with tk.Session(config, cluster=cluster, device="cpu") as session:
            assert (session.track([clip]).videos["status"] == "ok").all()
            assert session.dashboard is not None
            assert session.dashboard.endswith("/status")
            assert "bokeh cannot be used where the scheduler runs" in str(session.dashboard.note)


def test_the_link_leads_to_where_the_user_sits(monkeypatch: pytest.MonkeyPatch) -> None:
    def link(address: str = "tcp://127.0.0.1:8786", note: str | None = None) -> DashboardLink | None:
        class Client:  # as distributed.Client does it
            scheduler = SimpleNamespace(address=address)

            @property
            def dashboard_link(self) -> str:
                from distributed.utils import format_dashboard_link

                return format_dashboard_link(address.split("//")[1].split(":")[0], 8787)

        return dashboard_link(Client(), note)  # type: ignore[arg-type]

    direct = link()
    assert direct == "http://127.0.0.1:8787/trackkit"
    assert 'href="http://127.0.0.1:8787/trackkit"' in direct._repr_html_()
    assert 'href="http://127.0.0.1:8787/status"' in direct._repr_html_()
    without = link(note="no <bokeh>")
    assert without == "http://127.0.0.1:8787/status"
    assert "no &lt;bokeh&gt;" in without._repr_html_()
    with dask.config.set({"distributed.dashboard.link": "/proxy/{port}/status"}):
        assert link() == "/proxy/8787/trackkit"
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
    assert link() == "/user/ada/proxy/8787/trackkit"
    assert link("tcp://192.0.2.7:8786") == "/user/ada/proxy/192.0.2.7:8787/trackkit"
    with dask.config.set({"distributed.dashboard.link": "https://example.org/status"}):
        assert link() == "https://example.org/trackkit"
