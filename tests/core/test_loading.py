"""Models are loaded one at a time, whatever thread or process asks for them."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from trackkit.core.errors import CheckpointError
from trackkit.core.loading import check_tied, one_at_a_time
from trackkit.core.registry import Entry


class Shared:
    """What a load changes for its time, as transformers does with its classes."""

    changed = False


def load(config: object, device: str) -> str:
    assert not Shared.changed
    Shared.changed = True
    time.sleep(0.02)
    Shared.changed = False
    return device


def test_whatever_is_loaded_in_a_process_is_loaded_alone() -> None:
    entries = [Entry(load), Entry(lambda config, device: load(config, device))]
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(entries[k % 2].load, None, str(k)) for k in range(8)]
        calls += [pool.submit(one_at_a_time(load), None, "8")]
        assert [call.result() for call in calls] == [*map(str, range(9))]


def test_a_loader_may_use_another_one_and_may_fail() -> None:
    inner = Entry(load)
    assert Entry(lambda config, device: inner.load(config, device)).load(None, "cpu") == "cpu"

    def fail(config: object, device: str) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Entry(fail).load(None, "cpu")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(inner.load, None, "cpu").result(timeout=10) == "cpu"


def test_a_process_that_is_forked_in_the_middle_of_a_load_can_load() -> None:
    begun = threading.Event()

    def slow(config: object, device: str) -> str:
        begun.set()
        return load(config, device)

    loading = threading.Thread(target=Entry(slow).load, args=(None, "cpu"))
    loading.start()
    begun.wait()
    child = os.fork()
    if child == 0:  # nothing of pytest may run here
        status = 1
        try:
            status = 0 if Entry(load).load(None, "cpu") == "cpu" else 2
        finally:
            os._exit(status)
    loading.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert Entry(load).load(None, "cpu") == "cpu"


def test_weights_that_are_missing_in_no_file_are_told_apart() -> None:
    check_tied("it", missing=["a", "b"], tied=["b"])
    with pytest.raises(CheckpointError, match=r"its files are whole: .* begin the process anew"):
        check_tied("it", missing=["b"], tied=["b", "c"])
