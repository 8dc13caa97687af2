"""Reading files of weights safely: nothing in them runs, and a file that is none says what it is."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor

from trackkit.core.errors import CheckpointError

# What people have instead of a PyTorch file, by its first bytes.
_STRANGERS = {
    b"version https://git-lfs": "a Git LFS pointer, not the weights: run `git lfs pull` there",
    b"<": "a web page (HTML or XML), not weights: a download was answered by an error or a login page",
    b"{": "JSON text, not weights",
    b"\x1f\x8b": "a gzip archive, not weights: unpack it first",
    b"\x00" * 64: "nothing but zeros at its beginning: a download that was broken off",
}
_HEAD_BYTES = 512
_ZIP, _PICKLE = b"PK", b"\x80"

# What torch was seen to raise over files that are cut or overwritten somewhere.
_DAMAGE = (
    RuntimeError,
    EOFError,
    OSError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a PyTorch checkpoint, ``{"model": state_dict}`` or a bare state dict, on the CPU.

    The file is memory-mapped where its format allows, so several workers on one machine share its pages.
    Nothing but tensors is unpickled (``weights_only``): a file that holds code is refused, not run.

    Args:
        path: A ``.pt`` or ``.pth`` file.

    Returns:
        Name to tensor.

    Raises:
        CheckpointError: The file is missing, cut, no checkpoint, or holds more than weights.
    """
    problem = _what_is_wrong(path)
    if problem:
        raise _refusal(path, problem)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise _refusal(path, _unpickling_problem(str(error))) from error
    except _DAMAGE as error:
        if is_of_the_machine(error):
            what = f"checkpoint {str(path)!r}"
            raise machine_error(what, error) from error
        raise _refusal(path, f"is cut or damaged ({_first_line(error)})") from error
    weights = content.get("model", content) if isinstance(content, Mapping) else None
    if not _is_state_dict(weights):
        found = first(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        raise _refusal(path, f"holds no weights under 'model' (found: {found or 'nothing'})")
    return dict(weights)


def is_of_the_machine(error: BaseException) -> bool:
    """Whether a file could not be read for want of memory, handles or rights: it may well be whole."""
    numbers = (errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE)
    if isinstance(error, OSError) and error.errno in numbers:
        return True
    return any(words in str(error) for words in ("allocate memory", *map(os.strerror, numbers)))


def machine_error(what: str, error: BaseException) -> CheckpointError:
    """What to say of such an error."""
    msg = (
        f"{what} cannot be read on this machine just now ({_first_line(error)}), which says nothing of the "
        "file: where memory is short, use fewer workers or smaller models"
    )
    return CheckpointError(msg)


def _is_state_dict(weights: Any) -> TypeGuard[Mapping[str, Tensor]]:
    if not isinstance(weights, Mapping) or not weights:
        return False
    return all(isinstance(key, str) and isinstance(value, Tensor) for key, value in weights.items())


def _what_is_wrong(path: Path) -> str | None:
    """What the file is, where its bytes tell that it is no PyTorch checkpoint."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        return f"cannot be opened ({error.strerror})"
    if not size:
        return "is empty (0 bytes)"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for beginning, kind in _STRANGERS.items():
        if start.startswith(beginning):
            return f"is {kind}"
    if head[8:10] == b'{"':
        return (
            "is a safetensors file, perhaps of transformers; expected the .pt or .pth of the original release"
        )
    if head.startswith(_ZIP) and not zipfile.is_zipfile(path):
        return f"is cut: its end is missing after {size / 1e6:.1f} MB"
    return None if head.startswith((_ZIP, _PICKLE)) else "is no PyTorch file"


def _unpickling_problem(message: str) -> str:
    # torch explains at length how to run the file anyway, which is the wrong advice here.
    if "Unsupported" not in message and "GLOBAL" not in message:
        return "is cut or damaged"
    return (
        "holds more than weights, and is not opened since that could run code: where you trust it, save its "
        "weights alone with `torch.save({'model': state_dict}, ...)`"
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _refusal(path: Path, problem: str) -> CheckpointError:
    msg = f"checkpoint {str(path)!r} {problem}"
    return CheckpointError(msg)


def differences(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str | None:
    """How two state dicts differ in names and shapes, in words; None where they do not.

    Names the first few of each kind and counts them all.
    """
    shapes = [
        f"{key} {tuple(found[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if key in found and found[key].shape != value.shape
    ]
    kinds = {
        "missing": [key for key in expected if key not in found],
        "unknown": [key for key in found if key not in expected],
        "of another shape": shapes,
    }
    return (
        "; ".join(f"{len(some)} weights {kind} ({first(some)})" for kind, some in kinds.items() if some)
        or None
    )


def first(names: Iterable[str], count: int = 3) -> str:
    """The first few, and an ellipsis where there are more."""
    names = list(names)
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
