from __future__ import annotations

import inspect
import pickle

import pytest

from trackkit.core import errors

TREE = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("kind", TREE)
def test_errors_cross_processes(kind: type[errors.TrackkitError]) -> None:
    error = pickle.loads(pickle.dumps(kind("what happened")))
    assert type(error) is kind
    assert str(error) == "what happened"
    assert isinstance(error, errors.TrackkitError)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    assert errors.__doc__ is not None
    assert all(kind.__name__ in errors.__doc__ for kind in TREE)
    assert issubclass(errors.ConfigError, ValueError)
    assert issubclass(errors.PromptError, errors.ConfigError)
