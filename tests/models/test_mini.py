"""The models that ship with trackkit: found anywhere, loaded by the functions that load the released ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from weight_files import hide_all_weights

from trackkit.cli.doctor import examine
from trackkit.cli.main import main
from trackkit.config import TrackConfig
from trackkit.core.errors import CheckpointError
from trackkit.core.masks import decode_rle
from trackkit.detectors.grounding_dino.loading import load_model
from trackkit.synthetic.dataset import write_video
from trackkit.synthetic.scenes import make_scene
from trackkit.trackers.sam2.build import build_sam2_model
from trackkit.trackers.sam2.checkpoint import identify, load_sam2
from trackkit.tracking.reporter import cpu_speed_warning
from trackkit.tracking.track_video import track_video
from trackkit.tracking.verify import verify
from trackkit.weights import shipped
from trackkit.weights.catalog import fetch_model, list_models
from trackkit.weights.files import read_weights
from trackkit.weights.releases import sam2_release
from trackkit.weights.sam2 import fetch_sam2, find_sam2

torch.set_num_threads(1)

NAMES = ("sam2.1_hiera_mini", "grounding-dino-mini")


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with nothing in it, no network, no cache."""
    hide_all_weights(monkeypatch, tmp_path)
    return tmp_path


def mini(text_prompt: str = "red circle. blue square.", **options: Any) -> TrackConfig:
    return TrackConfig.from_preset("mini", text_prompt, **options)


@pytest.fixture
def not_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An installation without the weights."""
    monkeypatch.setattr(shipped, "shipped_folder", lambda: tmp_path / "gone")


# ---------------------------------------------------------------- files


def test_they_are_small() -> None:
    files = [shipped.shipped_sam2(), shipped.shipped_sam2_config(), *shipped.shipped_detector().iterdir()]
    assert sum(path.stat().st_size for path in files) <= 10e6


def test_the_files_hold_halves_and_the_models_floats() -> None:
    assert {weight.dtype for weight in read_weights(shipped.shipped_sam2()).values()} == {torch.float16}
    with safe_open(shipped.shipped_detector() / "model.safetensors", framework="pt") as weights:
        stored = {weights.get_slice(key).get_dtype() for key in weights.keys()}  # noqa: SIM118
    assert "F16" in stored
    assert "F32" not in stored
    for model in (load_sam2("mini"), load_model("mini")[0]):
        assert {weight.dtype for weight in model.state_dict().values()} <= {torch.float32, torch.int64}
        assert all(weight.isfinite().all() for weight in model.state_dict().values())


def test_they_are_found_from_any_folder(elsewhere: Path) -> None:
    code = (
        "from trackkit.tracking.models import prepare_weights\n"
        "from trackkit.weights.sam2 import fetch_sam2\n"
        "from trackkit.config import TrackConfig\n"
        "config = TrackConfig.from_preset('mini', 'red circle')\n"
        "prepare_weights(config)\n"
        "print(fetch_sam2(config.sam_type))"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=elsewhere, env=env, capture_output=True, text=True, check=True
    )
    assert Path(run.stdout.strip()) == shipped.shipped_sam2()


# ---------------------------------------------------------------- names


def test_short_and_long_names_are_one_model() -> None:
    assert sam2_release("mini") is sam2_release("sam2.1_hiera_mini") is sam2_release("sam2.1_mini")
    long = mini(detector_model="grounding-dino-mini", sam_type="sam2.1_hiera_mini")
    assert (mini().sam_type, mini().detector_model) == NAMES
    assert mini().hash == long.hash


def test_a_folder_of_that_name_is_not_in_the_way(elsewhere: Path) -> None:
    (elsewhere / "mini").mkdir()
    assert fetch_model("grounding-dino-mini") == shipped.shipped_detector()
    assert load_model("mini")[0].config.d_model == 64
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load_model("./mini")


def test_a_file_of_the_user_comes_first(elsewhere: Path) -> None:
    assert find_sam2("mini") == fetch_sam2("mini") == shipped.shipped_sam2()
    own = elsewhere / "models/sam2/checkpoints/sam2.1_hiera_mini.pt"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"x")
    assert find_sam2("mini") == own


def test_the_weights_say_what_they_are() -> None:
    assert identify(read_weights(shipped.shipped_sam2())) == sam2_release("mini")
    with pytest.raises(CheckpointError, match=r"looks like sam2\.1_hiera_mini: pass --sam-type sam2\.1_h"):
        load_sam2("tiny", str(shipped.shipped_sam2()))


def test_the_config_is_that_of_the_weights() -> None:
    model = build_sam2_model("sam2.1_hiera_mini")
    assert sum(p.numel() for p in model.parameters()) == sam2_release("mini").parameters
    assert {layer.cross_attn_image.freqs_cis.shape[0] for layer in model.memory_attention.layers} == {12 * 12}
    assert model.image_size == 192
    assert not model.sam_mask_decoder.dynamic_multimask_via_stability
    assert model.binarize_mask_from_pts_for_mem_enc  # as all of them


# ---------------------------------------------------------------- messages


def test_nothing_of_them_is_fetched(not_whole: None) -> None:
    for get, name in ((find_sam2, "mini"), (fetch_sam2, "mini"), (fetch_model, "grounding-dino-mini")):
        with pytest.raises(CheckpointError, match=r"ship with trackkit, but .*gone.* is absent") as error:
            get(name)
        assert "hf download" not in str(error.value)
        assert "models fetch" not in str(error.value)
    assert {model.name: model.path for model in list_models()}["grounding-dino-mini"] is None


def test_a_wrong_path_for_them_says_to_leave_it_out() -> None:
    with pytest.raises(CheckpointError, match="ships with trackkit: leave --model-path out"):
        find_sam2("mini", "absent.pt")


def test_a_changed_file_of_them(elsewhere: Path) -> None:
    weights = read_weights(shipped.shipped_sam2())
    torch.save({"model": {**weights, "adapter": torch.ones(1)}}, elsewhere / "changed.pt")
    with pytest.raises(CheckpointError, match="leave --model-path out to load the file that ships"):
        load_sam2("mini", "changed.pt")


def test_they_are_no_advice_for_speed() -> None:
    assert "mini" not in (cpu_speed_warning(mini(sam_type="large"), 9.0) or "mini")
    assert "of its weights" not in (cpu_speed_warning(mini(), 9.0) or "of its weights")


def test_the_command_line_lists_and_verifies_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    models = {model.name: model for model in list_models()}
    for name in NAMES:
        assert models[name].path in (shipped.shipped_sam2(), shipped.shipped_detector())
        assert main(["models", "fetch", name]) == 0
        assert "ships with trackkit: nothing to fetch" in capsys.readouterr().out
        assert main(["models", "verify", name]) == 0
        assert "ships with trackkit" in capsys.readouterr().out
    assert 0.5e6 < models["grounding-dino-mini"].parameters < 1.5e6
    assert main(["models", "list"]) == 0
    assert "2.5 M" in capsys.readouterr().out
    assert verify("mini").model == "sam2.1_hiera_mini"


def test_the_doctor_names_them_but_asks_for_the_released() -> None:
    checks = {check.name: check for check in examine()}
    for name, kind in zip(NAMES, ("SAM 2", "GroundingDINO"), strict=True):
        check = checks[f"{kind} weights"]
        assert name in check.found
        assert check.ok is None
        assert "--preset mini" in check.advice


# ---------------------------------------------------------------- the pipeline


def test_a_video_end_to_end(elsewhere: Path) -> None:
    config = mini()
    scene = make_scene(0, width=192, height=128, num_frames=12, colors=("red", "blue"))
    assert "red circle" in {obj.label for obj in scene.objects}
    result = track_video(write_video(scene, elsewhere / "clip.mp4"), config)
    assert len(result.tracks)
    for row in result.tracks.itertuples():
        assert row.label in config.classes
        mask = decode_rle(row.mask_rle, 128, 192)
        assert mask.sum() == row.area_px > 0
        assert 0 <= row.x < row.x + row.width <= 192
        assert 0 <= row.y < row.y + row.height <= 128
        assert 0 <= row.frame_idx < 12
    assert not result.tracks.duplicated(["frame_idx", "obj_id"]).any()
    assert np.array_equal(result.frames[0], range(12))


def test_the_processor_is_that_of_the_model() -> None:
    model, processor = load_model("mini")
    size = json.loads((shipped.shipped_detector() / "config.json").read_text())["text_config"]["vocab_size"]
    assert max(processor.tokenizer.get_vocab().values()) < size
    assert model.config.max_text_len >= 16
