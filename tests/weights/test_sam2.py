from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from trackkit.config import TrackConfig
from trackkit.core.errors import CheckpointError, ConfigError
from trackkit.trackers.sam2.build import SAM2_CONFIGS, build_sam2_model
from trackkit.trackers.sam2.checkpoint import load_sam2
from trackkit.tracking.models import cpu_speed_warning, prepare_weights
from trackkit.tracking.verify import verify
from trackkit.weights.catalog import fetch_model, list_models
from trackkit.weights.files import read_weights
from trackkit.weights.grounding_dino import find_detector
from trackkit.weights.releases import SAM2_RELEASES, sam2_release
from trackkit.weights.sam2 import fetch_sam2, find_sam2

torch.set_num_threads(1)

TINY = "sam2.1_hiera_tiny"


@pytest.fixture(autouse=True)
def empty_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No weights anywhere and no network; gives the hub's cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACKKIT_MODELS", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def config(sam_type: str = TINY, **options: Any) -> TrackConfig:
    return TrackConfig("object", sam_type=sam_type, **options)


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def in_cache(hub: Path, repo_id: str, *names: str) -> Path:
    """Lay files out as the hub's cache does."""
    repository = hub / f"models--{repo_id.replace('/', '--')}"
    touch(repository / "refs" / "main").write_text("abc")
    for name in names:
        touch(repository / "snapshots" / "abc" / name)
    return repository / "snapshots" / "abc"


# ---------------------------------------------------------------- names


def test_the_releases_are_those_of_the_package() -> None:
    from sam2.build_sam import HF_MODEL_ID_TO_FILENAMES

    assert {r.repo_id: (SAM2_CONFIGS[r.name], r.file_name) for r in SAM2_RELEASES.values()} == (
        HF_MODEL_ID_TO_FILENAMES
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("large", "sam2.1_hiera_large"),
        ("l", "sam2.1_hiera_large"),
        ("b+", "sam2.1_hiera_base_plus"),
        ("sam2.1_hiera_b+", "sam2.1_hiera_base_plus"),
        ("facebook/sam2.1-hiera-base-plus", "sam2.1_hiera_base_plus"),
        ("sam2_hiera_s", "sam2_hiera_small"),
        ("SAM2.1_t.pt", "sam2.1_hiera_tiny"),
        ("sam2.0_l", "sam2_hiera_large"),
    ],
)
def test_short_names(name: str, expected: str) -> None:
    assert sam2_release(name).name == expected


@pytest.mark.parametrize("name", ["", "huge", "sam_vit_h", "sam2.1", "models/large"])
def test_an_unknown_name_lists_the_known(name: str) -> None:
    with pytest.raises(ConfigError, match=r"unknown: choose one of sam2\.1_hiera_tiny, .*sam2_hiera_large"):
        find_sam2(name)


# ---------------------------------------------------------------- where files are


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


def test_list_models(empty_machine: Path) -> None:
    in_cache(empty_machine, "facebook/sam2-hiera-small", "sam2_hiera_small.pt")
    files = ("config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json")
    folder = in_cache(empty_machine, "IDEA-Research/grounding-dino-tiny", *files)
    models = {model.name: model for model in list_models()}
    assert {name for name, model in models.items() if model.path} == {
        "sam2_hiera_small",
        "IDEA-Research/grounding-dino-tiny",
        *("sam2.1_hiera_mini", "grounding-dino-mini"),  # ship with trackkit
    }
    assert models["sam2_hiera_small"].size_bytes == 1
    assert models["IDEA-Research/grounding-dino-tiny"].path == folder
    assert models["sam2.1_hiera_large"].size_bytes is None
    assert models["sam2.1_hiera_large"].parameters == 224_446_642


@pytest.mark.parametrize("absent", ["model.safetensors", "preprocessor_config.json", "tokenizer.json"])
def test_a_detector_that_is_half_in_the_cache_is_not_there(empty_machine: Path, absent: str) -> None:
    files = {"config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"} - {absent}
    in_cache(empty_machine, "someone/model", *files)
    assert find_detector("someone/model") is None


# ---------------------------------------------------------------- fetching


def test_prepare_weights_needs_nothing_for_other_models(tmp_path: Path) -> None:
    prepare_weights(TrackConfig.from_preset("color", "red"))
    assert list(tmp_path.iterdir()) == []


def test_prepare_weights_is_content_with_what_is_here(tmp_path: Path, empty_machine: Path) -> None:
    tracker = touch(tmp_path / "models/sam2/checkpoints" / f"{TINY}.pt")
    files = ("config.json", "model.safetensors", "preprocessor_config.json", "vocab.txt")
    in_cache(empty_machine, TrackConfig.detector_model, *files)
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    prepare_weights(config())
    prepare_weights(config(detector_model="folder"))
    assert sorted(tmp_path.rglob("*")) == before
    tracker.unlink()  # it was this file, and no other, that was enough
    with pytest.raises(CheckpointError, match=TINY):
        prepare_weights(config())


def test_without_network_both_models_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"HF_HUB_OFFLINE is set.*trackkit models fetch sam2\.1_hiera_tiny"
    ):
        prepare_weights(config())
    touch(tmp_path / "models/sam2/checkpoints" / f"{TINY}.pt")
    with pytest.raises(
        CheckpointError, match=r"HF_HUB_OFFLINE is set.*hf download IDEA-Research/grounding-dino"
    ):
        prepare_weights(config())
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE is set"):
        fetch_model("IDEA-Research/grounding-dino-tiny")


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


# ---------------------------------------------------------------- loading


def save(release: str, path: Path) -> dict[str, Any]:
    torch.manual_seed(0)
    weights: dict[str, Any] = build_sam2_model(release).state_dict()
    torch.save({"model": weights}, path)
    return weights


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A file of random weights in the official format, and what is in it."""
    path = tmp_path_factory.mktemp("sam2") / f"{TINY}.pt"
    yield path, save(TINY, path)
    path.unlink()


def refused(path: Path, sam_type: str = TINY) -> str:
    with pytest.raises(CheckpointError) as error:
        load_sam2(sam_type, str(path))
    assert str(path) in str(error.value)
    return str(error.value)


def test_a_file_of_the_official_format_loads(tiny: Any) -> None:
    path, weights = tiny
    model = load_sam2(TINY, str(path))
    loaded = model.state_dict()
    assert list(loaded) == list(weights)
    assert all(torch.equal(loaded[key], value) for key, value in weights.items())
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name.endswith("large") else [])
        for name in SAM2_RELEASES
        if name != TINY
    ],
)
def test_every_release_loads_strictly(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.pt"
    # Each tensor has its true shape, and one number in the file, which would be up to 900 MB otherwise.
    weights = {
        key: value.flatten()[0].clone().expand(value.shape)
        for key, value in build_sam2_model(name).state_dict().items()
    }
    torch.save({"model": weights}, path)
    try:
        model = load_sam2(name, str(path))
        assert torch.equal(model.state_dict()["maskmem_tpos_enc"], weights["maskmem_tpos_enc"])
        assert sum(p.numel() for p in model.parameters()) == SAM2_RELEASES[name].parameters
        other = "sam2.1_hiera_tiny" if name.startswith("sam2_") else "sam2_hiera_tiny"
        assert f"This looks like {name}: pass --sam-type {name}" in refused(path, other)
    finally:
        path.unlink()


def test_the_other_size_and_family_are_recognised(tiny: Any) -> None:
    message = refused(tiny[0], "sam2.1_hiera_small")
    assert "is not sam2.1_hiera_small: 50 weights missing (image_encoder.trunk.blocks." in message
    assert "of another shape" in message
    assert "This looks like sam2.1_hiera_tiny: pass --sam-type sam2.1_hiera_tiny" in message
    message = refused(tiny[0], "sam2_hiera_tiny")
    assert (
        "3 weights unknown (no_obj_embed_spatial, obj_ptr_tpos_proj.weight, obj_ptr_tpos_proj.bias)"
        in message
    )
    assert "This looks like sam2.1_hiera_tiny" in message


def test_a_changed_file_names_the_weights(tiny: Any, tmp_path: Path) -> None:
    path = tmp_path / "changed.pt"
    weights = {key: value for key, value in tiny[1].items() if key != "no_mem_embed"}
    weights |= {"adapter": torch.ones(1), "no_obj_ptr": torch.ones(1, 3)}
    torch.save({"model": weights}, path)
    message = refused(path)
    path.unlink()
    assert "1 weights missing (no_mem_embed)" in message
    assert "1 weights unknown (adapter)" in message
    assert "1 weights of another shape (no_obj_ptr (1, 3) instead of (1, 256))" in message
    assert "changed or is damaged" in message


def test_another_size_and_another_model(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save({"model": {"image_encoder.trunk.patch_embed.proj.weight": torch.ones(16, 3, 7, 7)}}, path)
    assert "of a size that was not released" in refused(path)
    torch.save({"model": {"image_encoder.pos_embed": torch.ones(1)}}, path)
    assert "no SAM 2 checkpoint (its weights are image_encoder.pos_embed)" in refused(path)


def test_a_bare_state_dict_is_read(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "bare.pt")
    assert torch.equal(read_weights(tmp_path / "bare.pt")["a"], torch.ones(2))
    torch.save({"model": {"a": torch.ones(2)}}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(read_weights(tmp_path / "old.pt")["a"], torch.ones(2))


# ---------------------------------------------------------------- files that are none


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:26\nsize 9\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>Sign in</html>", "a web page"),
        (b"\n <?xml version='1.0'?><Error>AccessDenied</Error>", "a web page"),
        (b'{"error": "not found"}', "JSON text"),
        (bytes(100_000), "nothing but zeros"),
        (b"\x10\0\0\0\0\0\0\0" + b'{"a":{}}        ', "a safetensors file"),
        (b"\x1f\x8b" + bytes(100), "gzip"),
        (b"anything else", "is no PyTorch file"),
        (b"\x80\x02broken", "is cut or damaged"),
        (b"\x80", "is cut or damaged"),
    ],
)
def test_what_a_file_is_instead(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    assert re.search(reason, refused(path))


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9999])
def test_a_cut_file(tiny: Any, tmp_path: Path, part: float) -> None:
    path = tmp_path / "cut.pt"
    content = tiny[0].read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    assert "is cut: its end is missing after" in refused(path)
    path.unlink()


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], {"model": {}}, {"model": {"a": 1}}])
def test_a_file_without_weights(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "weights.pt")
    assert "holds no weights under 'model'" in refused(tmp_path / "weights.pt")


class Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("new_format", [True, False])
def test_code_in_a_file_does_not_run(tmp_path: Path, new_format: bool) -> None:
    target, path = tmp_path / "owned", tmp_path / "weights.pt"
    content = {"model": {"a": torch.ones(1)}, "config": Attack(target)}
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    message = refused(path)
    assert "holds more than weights, and is not opened since that could run code" in message
    assert "weights_only=False" not in message
    path.write_bytes(pickle.dumps(Attack(target), protocol=2))
    refused(path)
    assert not target.exists()
    pickle.loads(path.read_bytes())  # the attack is real
    assert target.exists()


# ---------------------------------------------------------------- verify


def test_verify(tiny: Any, tmp_path: Path) -> None:
    path, weights = tiny
    found = verify(str(path))
    assert (found.model, found.keys, found.dtypes) == (TINY, len(weights), ("float32",))
    assert found.size_bytes == path.stat().st_size
    assert found.released is False  # random weights are not those of Meta
    with pytest.raises(CheckpointError, match=r"trackkit models fetch sam2\.1_hiera_small"):
        verify("sam2.1_hiera_small")
    with pytest.raises(CheckpointError, match="is not here"):
        verify("nobody/nothing")


def test_verify_sees_a_flipped_byte(tiny: Any, tmp_path: Path) -> None:
    path = tmp_path / "flipped.pt"
    content = bytearray(tiny[0].read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    load_sam2(TINY, str(path))  # loading does not compare checksums
    with pytest.raises(CheckpointError, match=r"the checksum of .* is wrong"):
        verify(str(path))
    path.unlink()
    assert zipfile.is_zipfile(tiny[0])


def test_verify_sees_nan(tiny: Any, tmp_path: Path) -> None:
    path = tmp_path / "nan.pt"
    torch.save({"model": {**tiny[1], "no_obj_ptr": torch.full((1, 256), torch.nan)}}, path)
    with pytest.raises(CheckpointError, match="1 weights are not finite, the first is no_obj_ptr"):
        verify(str(path))
    path.unlink()


# ---------------------------------------------------------------- speed


def test_cpu_speed_warning() -> None:
    message = cpu_speed_warning(config("large"), 7.2)
    assert message
    for part in ("sam2.1_hiera_large takes 7.2 s a frame", "2.0 hours for 1000 frames", "17% of its weights"):
        assert part in message
    assert "--preset color" in message
    assert "of its weights" not in (cpu_speed_warning(config("tiny"), 7.2) or "of its weights")
    assert cpu_speed_warning(config("large"), 0.1) is None
    assert cpu_speed_warning(TrackConfig.from_preset("color", "red"), 9.0) is None
