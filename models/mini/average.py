"""Average the weights of two mini models of which one was trained on from the other (a model soup).

    python models/mini/average.py OLD NEW OUTPUT      # folders of detectors, or .pt files of trackers

Where both lie in one valley of the loss, their mean is better than either, and costs nothing more (Wortsman
et al. 2022, arXiv 2203.05482). Measure it: of the last detector and of trackers it was not.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trackkit.weights.files import read_weights


def main() -> None:
    """Read the options, average, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("old", "new", "output"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    if options.new.is_dir():
        file = "model.safetensors"
        mean = average(load_file(options.old / file), load_file(options.new / file))
        shutil.copytree(options.new, options.output, dirs_exist_ok=True)
        save_file(mean, options.output / file, metadata={"format": "pt"})
    else:
        torch.save({"model": average(read_weights(options.old), read_weights(options.new))}, options.output)


def average(old: dict[str, Tensor], new: dict[str, Tensor]) -> dict[str, Tensor]:
    """Their mean, in the dtype of each; what is no number with a fraction is that of ``new``."""
    return {
        key: ((old[key].float() + value.float()) / 2).to(value.dtype) if value.is_floating_point() else value
        for key, value in new.items()
    }


if __name__ == "__main__":
    main()
