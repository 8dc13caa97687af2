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

A name is added with :func:`register_tracker`, or by an installed package, with an entry point of the group
``trackkit.trackers``; docs/extending.md has an example.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

from trackkit.core.errors import PromptError
from trackkit.core.registry import Prepare, Registry

if TYPE_CHECKING:
    from trackkit.config import TrackConfig
    from trackkit.core.clock import StageClock
    from trackkit.core.frames import Detections, Frame, TrackedObjects, VideoInfo
    from trackkit.core.prompts import Prompt
    from trackkit.weights.hub import FetchProgress


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

TRACKERS: Registry[TrackerModel] = Registry("tracker", "trackkit.trackers")


def register_tracker(
    name: str, *, takes_prompts: bool = False, prepare: Prepare | None = None
) -> Callable[[TrackerLoader], TrackerLoader]:
    """Make a tracker known under ``name`` (``TrackConfig(tracker=name)``), on the workers, too.

    Args:
        name: For ``TrackConfig.tracker``; a name that is known already gets the new loader.
        takes_prompts: Whether it follows what the user points out.
        prepare: Called once, before workers start on this machine, with the config and with what hears how
            far a download is (or None): brings the weights here.

    Raises:
        ConfigError: ``name`` is no name.
    """
    return TRACKERS.register(name, prepare=prepare, takes_prompts=takes_prompts)


def tracker_names() -> tuple[str, ...]:
    """The known names, those of installed packages included."""
    return TRACKERS.names()


def check_promptable(config: TrackConfig) -> None:
    """Make sure that the tracker follows what the user points out.

    Raises:
        ConfigError: No tracker has that name.
        PromptError: It joins detections only.
    """
    if not TRACKERS.get(config.tracker).takes_prompts:
        able = ", ".join(sorted(name for name, entry in TRACKERS.entries().items() if entry.takes_prompts))
        msg = f"tracker {config.tracker!r} joins detections and cannot take prompts: choose one of {able}"
        raise PromptError(msg)


def load_tracker(config: TrackConfig, device: str) -> TrackerModel:
    """Load the tracker that ``config`` names onto ``device`` (``"cpu"`` or ``"cuda:0"``).

    Raises:
        ConfigError: No tracker has that name, or the package that brings it cannot be imported.
        CheckpointError: Its weights cannot be loaded.
    """
    return TRACKERS.get(config.tracker).load(config, device)


# What is built in imports its heavy parts only when it runs.
@TRACKERS.register("bytetrack", installed=True)
def _bytetrack(config: TrackConfig, device: str) -> TrackerModel:
    from trackkit.trackers.bytetrack import ByteTrackModel

    return ByteTrackModel(config)


def _fetch_sam2(config: TrackConfig, progress: FetchProgress | None) -> None:
    from trackkit.weights.sam2 import fetch_sam2

    fetch_sam2(config.sam_type, config.model_path, progress)


@TRACKERS.register("sam2", prepare=_fetch_sam2, takes_prompts=True, installed=True)
def _sam2(config: TrackConfig, device: str) -> TrackerModel:
    import torchvision  # noqa: F401 - whole, before parts of it, as another thread may be in the middle of it

    from trackkit.trackers.sam2.tracker_model import Sam2TrackerModel

    return Sam2TrackerModel.from_config(config, device)
