"""What a mask tracker drives: a model that follows the masks of many objects, one frame after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

from trackkit.core.arrays import Image
from trackkit.trackers.by_mask.prompts import EnginePrompt
from trackkit.trackers.by_mask.propagation import Propagation

Features: TypeAlias = Any
"""What an engine makes of one image. Only that engine looks inside; others hold it and hand it back."""


class MaskEngine(Protocol):
    """Follows the masks of the objects of one video.

    Objects come and go at any frame, and none of them notices the others. The memory of an engine is bounded
    by the objects that it follows at one time, whatever the length of the video::

        for features in engine.encode(images):
            tracked = engine.propagate(features)                       # every frame, exactly once
            born = engine.condition(features, [BoxPrompt(1, box)])     # where there is something to prompt
    """

    @property
    def obj_ids(self) -> list[int]:
        """The objects that are followed, in the order in which they were first prompted."""

    def encode(self, images: Sequence[Image]) -> list[Features]:
        """Run the image encoder in one batch; may be called ahead of, or after, the frame's turn.

        Args:
            images: RGB ``uint8 (H, W, 3)``, of the video's size.

        Returns:
            One for each image.
        """

    def propagate(self, features: Features, clicks: Sequence[EnginePrompt] = ()) -> Propagation:
        """Go on by one frame: follow all objects.

        Args:
            features: Of the next frame.
            clicks: Corrections of objects that are followed, at most one prompt per object. The mask that was
                found is refined with them; one that is out of sight is started anew, if it can be.

        Returns:
            Masks and scores of all objects, in the order of :attr:`obj_ids`.
        """

    def condition(self, features: Features, prompts: Sequence[EnginePrompt]) -> Propagation:
        """Start objects on the current frame, or start them anew there; no other object is touched.

        Args:
            features: Those that :meth:`propagate` got last.
            prompts: At most one per object.

        Returns:
            Masks and scores of the prompted objects, in the order of ``prompts``.
        """

    def forget_recent(self, obj_id: int) -> None:
        """Keep of an object only what it was prompted with."""

    def remove(self, obj_id: int) -> None:
        """Forget an object."""


class EngineMaker(Protocol):
    """Makes engines that share a loaded model."""

    def __call__(self, *, capacity: int = 8) -> MaskEngine:
        """A new engine for the frames of one video, with room for so many objects before it has to grow."""
