"""An engine that is no model: it follows regions of one colour in painted frames, exact to the pixel."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch

from trackkit.core.arrays import Image, Masks
from trackkit.core.frames import Frame
from trackkit.trackers.by_mask.outlines import Outline, outlines_of
from trackkit.trackers.by_mask.prompts import TOP_LEFT, EnginePrompt, MaskPrompt, PointPrompt
from trackkit.trackers.by_mask.propagation import Propagation
from trackkit.trackers.by_mask.window import HeldFrame

Rect = tuple[int, int, int, int]
Color = tuple[int, int, int]

HEIGHT, WIDTH = 64, 128
SIZE = (HEIGHT, WIDTH)
RED, BLUE, GREEN = (220, 30, 30), (30, 30, 220), (30, 160, 30)
GRAY = (60, 60, 60)


def paint(*shapes: tuple[Color, Rect], background: Color = GRAY) -> Image:
    """Rectangles ``x1, y1, x2, y2`` of one colour each, the last one in front."""
    image = np.full((*SIZE, 3), background, np.uint8)
    for color, (x1, y1, x2, y2) in shapes:
        image[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = color
    return image


def mask(*rects: Rect, size: tuple[int, int] = SIZE) -> Masks:
    """``bool (H, W)``, true in the rectangles."""
    out = np.zeros(size, bool)
    for x1, y1, x2, y2 in rects:
        out[y1:y2, x1:x2] = True
    return out


def outline(*rects: Rect, size: tuple[int, int] = SIZE) -> Outline:
    """The same as a tracker keeps it."""
    (found,) = outlines_of(mask(*rects, size=size)[None])
    assert found is not None
    return found


def held_frame(no: int = 0, image: Image | None = None) -> HeldFrame:
    """A frame of a video with 25 frames a second."""
    return HeldFrame(Frame(paint() if image is None else image, no, no / 25), no)


class Looked:
    """What the engine makes of an image: its connected regions of one colour."""

    def __init__(self, image: Image) -> None:
        self.image = image

    def regions(self, color: Color) -> list[Masks]:
        """All regions of a colour."""
        same = (self.image == np.array(color, np.uint8)).all(axis=2).astype(np.uint8)
        n, numbers = cv2.connectedComponents(same, connectivity=8)
        return [numbers == i for i in range(1, n)]

    def at(self, x: float, y: float) -> tuple[Color, Masks]:
        """The colour of a point, and its region."""
        row, column = min(int(y), HEIGHT - 1), min(int(x), WIDTH - 1)
        r, g, b = self.image[row, column].tolist()
        return (r, g, b), next(region for region in self.regions((r, g, b)) if region[row, column])


def center(region: Masks) -> np.ndarray:
    """Mean ``x, y``."""
    y, x = np.nonzero(region)
    return np.array([x.mean(), y.mean()])


@dataclass
class Followed:
    """What the engine knows of an object."""

    color: Color
    area: int  # as prompted last
    prompted: np.ndarray  # where it was prompted last,
    place: np.ndarray  # and where it was seen last
    frames_lost: int = 0


@dataclass
class RegionEngine:
    """Finds an object as the region of its colour that is nearest to where it was, if it is near enough.

    The longer it has been out of sight, the farther it looks. It is as sure of a mask as the object is large
    beside what was prompted. It also tells what it was asked.
    """

    reach: float = 16.0  #: pixels,
    reach_lost: float = 0.0  #: and so many more for each frame out of sight
    capacity: int = 8
    followed: dict[int, Followed] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)  #: Frames in each call of ``encode``.
    forgot_recent: list[int] = field(default_factory=list)
    alive: weakref.WeakSet[Looked] = field(default_factory=weakref.WeakSet)  #: Features that somebody holds.
    current: Looked | None = None

    @property
    def obj_ids(self) -> list[int]:
        return list(self.followed)

    def encode(self, images: Sequence[Image]) -> list[Looked]:
        if images:
            self.batches.append(len(images))
        features = [Looked(image) for image in images]
        self.alive.update(features)
        return features

    def propagate(self, features: Looked, clicks: Sequence[EnginePrompt] = ()) -> Propagation:
        self.current = features
        by_id = {prompt.obj_id: prompt for prompt in clicks}
        found = {key: self._find(each, features) for key, each in self.followed.items()}
        for key, prompt in by_id.items():
            assert isinstance(prompt, PointPrompt)
            found[key] = self._correct(key, prompt, features, found[key])
        return self._propagation(found)

    def condition(self, features: Looked, prompts: Sequence[EnginePrompt]) -> Propagation:
        assert features is self.current, "propagate comes first"
        assert len({prompt.obj_id for prompt in prompts}) == len(prompts)
        return self._propagation({prompt.obj_id: self._start(prompt, features) for prompt in prompts})

    def forget_recent(self, obj_id: int) -> None:
        self.forgot_recent.append(obj_id)
        self.followed[obj_id].place = self.followed[obj_id].prompted

    def remove(self, obj_id: int) -> None:
        del self.followed[obj_id]

    def _find(self, each: Followed, features: Looked) -> Masks | None:
        reach = self.reach + self.reach_lost * each.frames_lost
        near = {float(np.linalg.norm(center(r) - each.place)): r for r in features.regions(each.color)}
        if not near or min(near) > reach:
            each.frames_lost += 1
            return None
        region = near[min(near)]
        each.place, each.frames_lost = center(region), 0
        return region

    def _start(self, prompt: EnginePrompt, features: Looked) -> Masks:
        if isinstance(prompt, MaskPrompt):
            y, x = (int(v[len(v) // 2]) for v in np.nonzero(prompt.mask))
            color, region = features.at(x, y)[0], prompt.mask
        else:
            is_box = prompt.labels[0] == TOP_LEFT
            x, y = prompt.points[:2].mean(0) if is_box else prompt.points[prompt.labels == 1][0]
            color, region = features.at(x, y)
        place = center(region)
        self.followed[prompt.obj_id] = Followed(color, int(region.sum()), place, place)
        return region

    def _correct(self, key: int, prompt: PointPrompt, features: Looked, found: Masks | None) -> Masks | None:
        if (prompt.labels == 1).any():
            return self._start(prompt, features)
        off = [features.at(x, y)[1] for x, y in prompt.points]
        return None if found is None or any((found & region).any() for region in off) else found

    def _propagation(self, found: dict[int, Masks | None]) -> Propagation:
        n = len(found)
        low_res = torch.full((n, 1, *SIZE), -1024.0)
        scores, ious = torch.full((n,), -5.0), torch.zeros(n)
        for i, (key, region) in enumerate(found.items()):
            if region is not None:
                low_res[i, 0] = torch.from_numpy(np.where(region, 8.0, -8.0))
                scores[i], ious[i] = 5.0, min(region.sum() / self.followed[key].area, 1.0)
        return Propagation(list(found), low_res, scores, ious, SIZE)


class Engines:
    """Makes engines, and knows all that it made: first that of the video, then those that fill in."""

    def __init__(self, kind: type[RegionEngine] = RegionEngine, **options: float) -> None:
        self.made: list[RegionEngine] = []
        self._kind = kind
        self._options = options

    def __call__(self, *, capacity: int = 8) -> RegionEngine:
        self.made.append(self._kind(capacity=capacity, **self._options))  # type: ignore[arg-type]
        return self.made[-1]
