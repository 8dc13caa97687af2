"""Names of array types."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Image: TypeAlias = npt.NDArray[np.uint8]
Masks: TypeAlias = npt.NDArray[np.bool_]
Boxes: TypeAlias = npt.NDArray[np.float32]
