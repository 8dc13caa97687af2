"""The colours that trackkit knows by name: one table for drawing them and for finding them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NamedColor:
    """A colour that has a name.

    Attributes:
        name: Its plain name.
        rgb: A typical one, for drawing.
        synonyms: Other words for it.
    """

    name: str
    rgb: tuple[int, int, int]
    synonyms: tuple[str, ...] = ()


NAMED_COLORS: dict[str, NamedColor] = {
    color.name: color
    for color in (
        NamedColor("red", (214, 40, 40), ("crimson", "scarlet")),
        NamedColor("orange", (245, 135, 20)),
        NamedColor("yellow", (242, 212, 36)),
        NamedColor("green", (46, 160, 67)),
        NamedColor("cyan", (30, 190, 200), ("turquoise", "teal", "aqua")),
        NamedColor("blue", (38, 84, 214)),
        NamedColor("purple", (128, 50, 190), ("violet",)),
        NamedColor("pink", (240, 110, 180), ("magenta",)),
        NamedColor("brown", (115, 70, 36)),
        NamedColor("black", (22, 22, 22)),
        NamedColor("white", (246, 246, 246)),
        NamedColor("gray", (128, 128, 128), ("grey",)),
    )
}

SATURATED: tuple[str, ...] = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink")
"""Names that stand out from a neutral background."""
