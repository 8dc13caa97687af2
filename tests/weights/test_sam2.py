"""Where the weights of SAM 2 are, and how they get there."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from weight_files import TINY, in_cache, touch

from trackkit.core.errors import CheckpointError
from trackkit.weights.sam2 import fetch_sam2, find_sam2


def test_the_order_of_places(tmp_path: Path, empty_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"{TINY}.pt"
    monkeypatch.setenv("TRACKKIT_MODELS", str(tmp_path / "store"))
    cached = in_cache(empty_machine, "facebook/sam2.1-hiera-tiny", name) / name
    assert find_sam2(TINY) == cached
    for better in ("store/" + name, "store/sam2/checkpoints/" + name, "models/sam2/checkpoints/" + name):
        expected = touch(tmp_path / better)
        assert find_sam2(TINY) == fetch_sam2(TINY) == expected
    assert find_sam2(TINY, "store/" + name) == Path("store") / name


def test_nothing_found_says_where_and_what_to_run() -> None:
    with pytest.raises(CheckpointError) as error:
        find_sam2("large")
    message = str(error.value)
    for part in (
        str(Path.cwd() / "models/sam2/checkpoints/sam2.1_hiera_large.pt"),
        "facebook/sam2.1-hiera-large in",
        "$TRACKKIT_MODELS is not set",
        "trackkit models fetch sam2.1_hiera_large",
        "hf download facebook/sam2.1-hiera-large sam2.1_hiera_large.pt --local-dir models/sam2/checkpoints",
        "898 MB",
        "--model-path",
        "--preset color",
        "--preset mini",
    ):
        assert part in message
    assert str(pickle.loads(pickle.dumps(error.value))) == message


def test_a_model_path_is_not_replaced_by_another_file(tmp_path: Path) -> None:
    touch(tmp_path / "models/sam2/checkpoints" / f"{TINY}.pt")
    for get in (find_sam2, fetch_sam2):
        with pytest.raises(CheckpointError, match=r"'absent\.pt' does not exist"):
            get(TINY, "absent.pt")
        with pytest.raises(CheckpointError, match="is a folder"):
            get(TINY, "models")


HUB = """
import http.server, json, sys, threading

DATA = bytes(range(256)) * 8192
requests = []

class Hub(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.answer(b"")
    def do_GET(self):
        self.answer(DATA)
    def answer(self, body):
        requests.append((self.command, self.path))
        known = self.path == "/facebook/sam2.1-hiera-tiny/resolve/main/sam2.1_hiera_tiny.pt"
        self.send_response(200 if known else 404)
        self.send_header("ETag", '"0123"')
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
import os
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"

from trackkit.weights.sam2 import fetch_sam2, find_sam2
from trackkit.config import TrackConfig
from trackkit.core.errors import CheckpointError

heard = []
path = fetch_sam2("tiny", None, lambda *report: heard.append(report))
asked = len(requests)
again = fetch_sam2("tiny")
print(json.dumps({
    "right": path.read_bytes() == DATA, "same": path == again == find_sam2("tiny"),
    "no more requests": len(requests) == asked,
    "last": heard[-1], "rising": [n for _, n, _ in heard] == sorted(n for _, n, _ in heard),
}))
try:
    fetch_sam2("large")
except CheckpointError as error:
    print(error)
"""


def test_fetching_from_a_hub(tmp_path: Path) -> None:
    """A server on this machine that speaks as much of the hub's protocol as one file needs."""
    unwanted = ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "TRACKKIT_MODELS")
    env = {key: value for key, value in os.environ.items() if key not in unwanted}
    env |= {"HF_HOME": str(tmp_path / "home"), "PYTHONPATH": str(Path(__file__).parents[2]), "NO_PROXY": "*"}
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(HUB)], env=env, cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    first, error = run.stdout.strip().split("\n")
    size = 256 * 8192
    assert first == (
        f'{{"right": true, "same": true, "no more requests": true, "last": ["{TINY}.pt", {size}, {size}], '
        '"rising": true}'
    )
    assert "fetching failed (" in error
    assert "trackkit models fetch sam2.1_hiera_large" in error
    assert not run.stderr  # the callback replaces the bar
