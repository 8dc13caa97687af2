"""Trackers follow objects through one video.

Two steps, because models are loaded once per worker and state is made once per video::

    model = load_tracker(config, device)      # once per worker
    tracker = model.start(video_info, clock)  # once per video
    for frame, detections in ...:             # detections is None on frames where the detector did not run
        for objects in tracker.update(frame, detections):
            ...                               # settled frames, in order
    for objects in tracker.finish():
        ...

A tracker may hold frames back (at most ``config.max_frames`` of them) to revise them before it lets them go:
every frame given to ``update`` comes back exactly once, in order, from ``update`` or ``finish``.
Its memory does not grow with the length of the video.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from trackkit.core.errors import ConfigError, PromptError

if TYPE_CHECKING:
    from trackkit.config import TrackConfig
    from trackkit.core.clock import StageClock
    from trackkit.core.frames import Detections, Frame, TrackedObjects, VideoInfo
    from trackkit.core.prompts import Prompt


class Tracker(Protocol):
    """Follows the objects of one video; ids count from 1, are unique in the video and never reused.

    Ids that prompts name are left out of the count.
    """

    warnings: tuple[str, ...]
    """What the user should know of this video: limits that were reached."""

    def prepare(self, frames: Sequence[Frame]) -> None:
        """Announce the frames that ``update`` will get next, so that they can be encoded in one batch."""
        ...

    def update(self, frame: Frame, detections: Detections | None) -> list[TrackedObjects]:
        """Go on by one frame.

        Args:
            frame: The next processed frame.
            detections: What the detector found in it; None where the detector did not run.

        Returns:
            The frames that are settled now, in order; maybe none, maybe several.
        """
        ...

    def finish(self) -> list[TrackedObjects]:
        """End of the video: settle all that was held back."""
        ...


class TrackerModel(Protocol):
    """A loaded tracker that starts one :class:`Tracker` per video."""

    def start(
        self,
        video: VideoInfo,
        clock: StageClock,
        prompts: Sequence[Prompt] = (),
        *,
        low_memory: bool = False,
    ) -> Tracker:
        """Begin a new video: fresh state, fresh ids.

        Args:
            video: What is known of it.
            clock: Encoding of masks is booked on ``clock("encode")``.
            prompts: Objects that the user points out, each with its label, in the order of their frames. They
                keep their ids. Empty for a tracker that was registered without ``takes_prompts``.
            low_memory: Take as little GPU memory as is possible without another result, at the cost of time:
                the GPU did not have enough.
        """
        ...


TrackerLoader: TypeAlias = "Callable[[TrackConfig, str], TrackerModel]"

_LOADERS: dict[str, TrackerLoader] = {}
_TAKES_PROMPTS: dict[str, bool] = {}


def register_tracker(name: str, *, takes_prompts: bool = False) -> Callable[[TrackerLoader], TrackerLoader]:
    """Make a tracker known under ``name`` (``--tracker name``).

    Args:
        name: For ``TrackConfig.tracker``.
        takes_prompts: Whether it follows what the user points out.
    """

    def register(loader: TrackerLoader) -> TrackerLoader:
        _LOADERS[name] = loader
        _TAKES_PROMPTS[name] = takes_prompts
        return loader

    return register


def tracker_names() -> tuple[str, ...]:
    """The known names."""
    return tuple(sorted(_LOADERS))


def check_promptable(config: TrackConfig) -> None:
    """Make sure that the tracker follows what the user points out.

    Raises:
        PromptError: It joins detections only.
    """
    if not _TAKES_PROMPTS.get(config.tracker, False):
        able = ", ".join(sorted(name for name, takes in _TAKES_PROMPTS.items() if takes))
        msg = f"tracker {config.tracker!r} joins detections and cannot take prompts: choose one of {able}"
        raise PromptError(msg)


def load_tracker(config: TrackConfig, device: str) -> TrackerModel:
    """Load the tracker that ``config`` names onto ``device`` (``"cpu"`` or ``"cuda:0"``).

    Raises:
        ConfigError: No tracker has that name.
        CheckpointError: Its weights cannot be loaded.
    """
    try:
        loader = _LOADERS[config.tracker]
    except KeyError:
        msg = f"tracker {config.tracker!r} is unknown: choose one of {', '.join(tracker_names())}"
        raise ConfigError(msg) from None
    return loader(config, device)


# Built-in loaders import their heavy parts only when they run.
@register_tracker("bytetrack")
def _bytetrack(config: TrackConfig, device: str) -> TrackerModel:
    from trackkit.trackers.bytetrack import ByteTrackModel

    return ByteTrackModel(config)


@register_tracker("sam2", takes_prompts=True)
def _sam2(config: TrackConfig, device: str) -> TrackerModel:
    from trackkit.trackers.sam2.tracker_model import Sam2TrackerModel

    return Sam2TrackerModel.from_config(config, device)
