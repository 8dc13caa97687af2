"""Files of weights, and what they may be instead."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from weight_files import TINY, refused, save

from trackkit.weights.files import read_weights

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A file of random weights in the official format, and what is in it."""
    path = tmp_path_factory.mktemp("sam2") / f"{TINY}.pt"
    yield path, save(TINY, path)
    path.unlink()


def test_a_bare_state_dict_is_read(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "bare.pt")
    assert torch.equal(read_weights(tmp_path / "bare.pt")["a"], torch.ones(2))
    torch.save({"model": {"a": torch.ones(2)}}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert torch.equal(read_weights(tmp_path / "old.pt")["a"], torch.ones(2))


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
