"""Objects that stand still."""

from __future__ import annotations

from trackkit.synthetic.scenes import SceneObject


def still(
    shape: str, color: str = "red", x: float = 50, y: float = 40, obj_id: int = 1, radius: float = 30
) -> SceneObject:
    return SceneObject(obj_id, shape, color, radius, ((0, x, y), (9, x, y)))
