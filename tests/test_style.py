"""Tests see what users see: none reads a private name of what it tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
#: Private names of others that tests may read.
ALLOWED = {
    "_repr_html_": "what a notebook calls",
    "_replace": "public in named tuples",
    "_exit": "public in os",
    "_dynamo": "of torch",
    "_load_raw_file": "how TrackEval reads one video",
    "_apply_non_overlapping_constraints": "of SAM 2",
    "_load_img_as_tensor": "of SAM 2",
}


def is_private(name: str) -> bool:
    """Whether it begins with one underscore, and is nobody's whom we allow."""
    return name.startswith("_") and not name.startswith("__") and name not in ALLOWED


def private_names(source: str) -> Iterator[str]:
    """Each private name that a test reads, imports or replaces, with its line; ``self`` may have some."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            is_own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            names = [] if is_own else [node.attr]
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("attr"):  # setattr, getattr, ...
            words = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            names = [str(word).rpartition(".")[2] for word in words]
        else:
            continue
        for name in filter(is_private, names):
            yield f"line {node.lineno}: {name}"


def test_no_test_reads_a_private_name() -> None:
    files = [path.relative_to(TESTS) for path in TESTS.rglob("*.py")]
    assert len(files) > 60
    assert not [
        f"{path}, {name}" for path in sorted(files) for name in private_names((TESTS / path).read_text())
    ]


@pytest.mark.parametrize(
    "planted",
    [
        "assert reader._queue.qsize() == 2",
        "session.runner._gpus = {}",
        "from trackkit.tracking.preview import _spread",
        "from small_models import words, _vocabulary",
        "monkeypatch.setattr(reader.source, '_image', None)",
        "monkeypatch.setattr('trackkit.video.reader._open', None)",
        "getattr(tracker, '_tracks')",
    ],
)  # fmt: skip
def test_a_planted_private_name_is_found(planted: str) -> None:
    assert len(list(private_names(f"def test(monkeypatch):\n    {planted}"))) == 1


@pytest.mark.parametrize(
    "fine",
    [
        "self._seen = cls._all",
        "page = preview._repr_html_()",
        "assert frames.__len__() == 2",
        "monkeypatch.setattr('trackkit.run.gpus.visible_gpus', list)",
        "for _ in range(3): pass",
    ],
)  # fmt: skip
def test_what_is_not_private_is_left_alone(fine: str) -> None:
    assert not list(private_names(fine))
