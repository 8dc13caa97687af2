"""An engine on the frames of one video: prompts in, outlines of what can be seen out."""

from __future__ import annotations

from collections.abc import Sequence

from trackkit.core.clock import StageClock
from trackkit.trackers.by_mask.engine import EngineMaker, MaskEngine
from trackkit.trackers.by_mask.features import FeatureSource
from trackkit.trackers.by_mask.outlines import Outline, visible_outlines
from trackkit.trackers.by_mask.prompts import EnginePrompt
from trackkit.trackers.by_mask.propagation import Propagation
from trackkit.trackers.by_mask.window import HeldFrame


class Segmenter:
    """Gives the outlines of the objects that can be seen, by their keys.

    Args:
        make_engine: Makes the engine of the video, and others that go backwards.
        clock: Books the encoding of masks.
        batch_size: Frames that are encoded at once.
        min_pred_iou: A mask with a lower predicted IoU is not seen, unless the user prompts its object in
            that frame.

    Attributes:
        engine: That of the video.
        features: Of its frames.
    """

    def __init__(
        self, make_engine: EngineMaker, clock: StageClock, *, batch_size: int, min_pred_iou: float
    ) -> None:
        self._make_engine = make_engine
        self._clock = clock
        self._min_pred_iou = min_pred_iou
        self.engine: MaskEngine = make_engine()
        self.features = FeatureSource(self.engine, batch_size)

    def follow(self, held: HeldFrame, clicks: Sequence[EnginePrompt] = ()) -> dict[int, Outline]:
        """Go on by one frame; objects that are followed may be corrected by clicks of the user."""
        return self.visible(self._propagate(held, clicks), clicks)

    def start(
        self, held: HeldFrame, prompts: Sequence[EnginePrompt], *, by_user: bool = False
    ) -> dict[int, Outline]:
        """Start objects on the frame that was followed last, or start them anew; gives these only."""
        if held.features is None:  # there was nothing to follow
            self._propagate(held)
        started = self.engine.condition(held.features, prompts)
        return self.visible(started, prompts if by_user else ())

    def fresh_engine(self, capacity: int) -> MaskEngine:
        """Another engine, for so many objects."""
        return self._make_engine(capacity=capacity)

    def visible(self, propagation: Propagation, by_user: Sequence[EnginePrompt] = ()) -> dict[int, Outline]:
        """What can be seen of what an engine found, some of it for prompts of the user."""
        prompted = {prompt.obj_id for prompt in by_user}
        return visible_outlines(propagation, self._clock, self._min_pred_iou, prompted)

    def _propagate(self, held: HeldFrame, clicks: Sequence[EnginePrompt] = ()) -> Propagation:
        held.features = self.features.get(held.frame)
        return self.engine.propagate(held.features, clicks)
