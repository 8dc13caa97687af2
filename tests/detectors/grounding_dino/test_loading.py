"""Weights load whole, from a folder or the cache, or the message says what is wrong."""

from __future__ import annotations

import errno
import json
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dino_detectors import load
from safetensors.torch import load_file, save_file

from trackkit.config import TrackConfig
from trackkit.core.arrays import Image
from trackkit.core.errors import CheckpointError, ConfigError
from trackkit.detectors import load_detector
from trackkit.detectors.grounding_dino.loading import load_model
from trackkit.weights.files import read_weights

torch.set_num_threads(1)


@pytest.fixture
def broken(folder: Path, tmp_path: Path) -> Path:
    """A copy to be broken."""
    return shutil.copytree(folder, tmp_path / "broken")


def test_no_such_folder_or_name(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no folder, nor a hub name such as 'IDEA-Research/"):
        load(tmp_path / "absent", "dog")


def test_a_hub_name_without_network_says_what_to_run() -> None:
    with pytest.raises(CheckpointError) as error:
        load("IDEA-Research/grounding-dino-base", "dog")
    message = str(error.value)
    assert (
        "run `hf download IDEA-Research/grounding-dino-base --exclude '*.bin' --local-dir ground" in message
    )
    assert "HF_HUB_OFFLINE is set" in message
    assert "--preset color" in message
    assert "--preset mini" in message
    assert pickle.loads(pickle.dumps(error.value)).args == error.value.args


def test_a_hub_name_in_the_cache_needs_no_network(folder: Path, offline: Path, images: list[Image]) -> None:
    repository = offline / "models--someone--model"
    shutil.copytree(folder, repository / "snapshots" / "abc")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert len(load("someone/model", "dog").detect(images[:1])[0]) > 0


def test_a_home_folder_is_expanded(
    folder: Path, images: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    (found,) = load(f"~/{folder.name}", "dog").detect(images[:1])
    (expected,) = load(folder, "dog").detect(images[:1])
    assert len(found) > 0
    np.testing.assert_array_equal(found.xyxy, expected.xyxy)


def test_the_registry_loads_it(folder: Path, images: list[Image]) -> None:
    detector = load_detector(TrackConfig("dog", detector_model=str(folder)), "cpu")
    assert len(detector.detect(images[:1])) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("model.safetensors", "no file named model.safetensors"),
        ("config.json", "Unrecognized model"),
        ("processor_config.json", "image processor"),
        ("tokenizer.json", "its tokenizer files are missing"),
    ],
)
def test_a_missing_file(broken: Path, name: str, reason: str) -> None:
    (broken / name).unlink()
    with pytest.raises(CheckpointError, match=reason) as error:
        load_model(str(broken))
    assert "fetch the whole folder again" in str(error.value)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "processor_config.json", "tokenizer.json"]
)
@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_a_cut_file(broken: Path, name: str, part: float) -> None:
    data = (broken / name).read_bytes()
    (broken / name).write_bytes(data[: int(len(data) * part)])
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load_model(str(broken))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "bert"}, "it holds a 'bert' model"),
        ({"model_type": "owlvit"}, "it holds a 'owlvit' model"),
        ({"model_type": "of-tomorrow"}, "of-tomorrow"),
        ({"model_type": "odd", "auto_map": {"AutoConfig": "evil.Evil"}}, "custom code"),
        ({"d_model": "many"}, "d_model"),
        ({"num_queries": 21}, "weights are missing or of another size"),
    ],
)
def test_another_architecture(broken: Path, changes: dict[str, Any], reason: str) -> None:
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(CheckpointError, match=reason):
        load_model(str(broken))


def test_weights_that_are_missing(broken: Path) -> None:
    weights = load_file(broken / "model.safetensors")
    del weights["model.level_embed"]
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"1 weights are missing .* model\.level_embed"):
        load_model(str(broken))


def test_weights_that_are_not_numbers(broken: Path, images: list[Image]) -> None:
    weights = load_file(broken / "model.safetensors")
    weights["model.level_embed"][:] = torch.nan
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match="gave NaN"):
        load(broken, "dog").detect(images)


def test_pickled_weights_are_refused_unopened(broken: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    (broken / "model.safetensors").unlink()
    (broken / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CheckpointError, match="pickled"):
        load_model(str(broken))
    assert not (tmp_path / "sprung").exists()


def test_loads_at_the_same_time_disturb_neither_each_other_nor_later_ones(folder: Path) -> None:
    config = TrackConfig("dog", detector_model=str(folder))
    load_twice = [lambda: load_detector(config, "cpu"), lambda: load_model(str(folder))] * 2
    with ThreadPoolExecutor(len(load_twice)) as pool:
        assert None not in pool.map(lambda each: each(), load_twice)
    assert load_detector(config, "cpu")


def test_files_are_not_blamed_for_what_other_code_did(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is left of two loads that other code ran at the same time.
    monkeypatch.setattr("transformers.PreTrainedModel.tie_weights", lambda *args, **kwargs: None)
    with pytest.raises(CheckpointError, match=r"though its files are whole: .* begin the process anew"):
        load(folder, "dog")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: ..."),
        RuntimeError("unable to mmap 5 bytes from file <a.pt>: Cannot allocate memory (12)"),
        OSError(errno.EMFILE, "Too many open files"),
        PermissionError(errno.EACCES, "Permission denied"),
    ],
)
def test_files_are_not_blamed_for_what_the_machine_lacks(
    folder: Path, tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    path = tmp_path / "a.pt"
    torch.save({"a": torch.zeros(1)}, path)
    monkeypatch.setattr("transformers.AutoModelForZeroShotObjectDetection.from_pretrained", fail)
    monkeypatch.setattr("torch.load", fail)
    for read in (lambda: load(folder, "dog"), lambda: read_weights(path)):
        with pytest.raises(CheckpointError, match="cannot be read on this machine just now") as told:
            read()
        assert "fetch" not in str(told.value)
        assert "damaged" not in str(told.value)
