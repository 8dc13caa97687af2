"""The front door: workers with loaded models that take videos and give results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from distributed import Client

from trackkit.config import TrackConfig
from trackkit.core.errors import ClusterError, ConfigError
from trackkit.core.options import (
    also_takes,
    documented,
    options_of,
    refuse_unknown,
    takes,
    values_of,
)
from trackkit.core.tasks import Progress
from trackkit.monitor.dashboard import DashboardLink
from trackkit.monitor.displays import open_display
from trackkit.monitor.run_state import RunState
from trackkit.results.video_result import Outcome, video_row
from trackkit.run.batch import Batch
from trackkit.run.cluster import check_may_start_processes, start_cluster
from trackkit.run.gpus import choose_gpus
from trackkit.run.job import Job
from trackkit.run.lookout import log, waiting_for
from trackkit.run.options import JobOptions, RunOptions, SessionOptions
from trackkit.run.runners import ClusterRunner, InProcessRunner, Runner
from trackkit.tracking.models import prepare_weights
from trackkit.tracking.reporter import ProgressCallback
from trackkit.tracking_results import TrackingResults
from trackkit.video.inputs import Videos, find_videos, make_tasks

if TYPE_CHECKING:
    from trackkit.tracking.preview import Preview

FEW_VIDEOS = 12


@documented(SessionOptions)
class Session:
    """A cluster whose workers hold the models, for any number of runs.

    Args:
        config: What to look for, and how.
        **options: Where to do it; see below.

    Raises:
        ConfigError: The values contradict each other.
        ClusterError: Workers could not be started or reached, or a GPU was asked for that is not there.
        CheckpointError: A model could not be loaded.

    Example:
        >>> with Session(TrackConfig.from_preset("color", "red")) as session:  # doctest: +SKIP
        ...     results = session.track("videos.txt", output_jsonl="tracks.jsonl")
    """

    @takes(SessionOptions)
    def __init__(self, config: TrackConfig, **options: Any) -> None:
        self.config, self.options = config, SessionOptions(**options)
        config.check_known()
        self._stack, self._closed = ExitStack(), False
        try:
            self._runner = self._start()
        except BaseException:
            self.close()
            raise
        self._stack.callback(self._runner.close)

    def _start(self) -> Runner:
        config, options = self.config, self.options
        for there in (options.client, options.cluster, options.scheduler):
            if there is not None:
                return ClusterRunner(config, _device_of_workers(options), there, options)
        if options.num_workers == 0:
            here = _device_here(options)
            with waiting_for("the weights of the models"):
                prepare_weights(config)
            return InProcessRunner(config, here, options)
        check_may_start_processes()
        log.info("starting workers; each loads the models")
        slots = choose_gpus(options.device, options.gpu_ids, options.num_workers)
        with waiting_for("the weights of the models"):
            prepare_weights(config)  # once, before the workers look for them
        with waiting_for("the workers to start"):
            cluster = self._stack.enter_context(start_cluster(slots, options))
        device = "cuda:0" if slots else "cpu"
        return ClusterRunner(config, device, cluster, options, adapts=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Unload the models and end the workers that were started here."""
        self._closed = True
        with waiting_for("the workers to end"):
            self._stack.close()

    def _check_open(self) -> None:
        if self._closed:
            msg = "the session is closed, and its models are gone: begin another one"
            raise ClusterError(msg)

    @property
    def client(self) -> Client | None:
        """The Dask client, None where the session works in this process."""
        return self._runner.client

    @property
    def dashboard(self) -> DashboardLink | None:
        """Address of trackkit's page on the Dask dashboard, in a notebook a link; None without one."""
        return self._runner.dashboard

    def run(self, job: Job, on_progress: ProgressCallback | None = None) -> Iterator[Outcome]:
        """Do a job: yield each outcome when it is there and written; nothing is kept.

        Args:
            job: Made with the session's own config.
            on_progress: Called a few times a second for every running video.

        Raises:
            ResultsError: An outcome could not be written.
            StorageError: An annotated video could not be written, nor could others.
            ClusterError: The cluster was lost, or the session is closed.
        """
        self._check_open()
        waiting = ExitStack()

        def hear(now: Progress) -> None:
            waiting.close()
            if on_progress is not None:
                on_progress(now)

        if on_progress is not None:  # else nobody knows when the first frame is there
            waiting.enter_context(waiting_for("the first frame"))
        batch = Batch(job.tasks, on_progress=None if on_progress is None else hear)
        announce = partial(self._runner.announce, batch.run_id)
        announce(begin=job.counts)
        end = "broke off"
        try:
            for outcome in chain(job.missing, self._runner.run(batch)):
                waiting.close()
                job.record(outcome)
                announce(row=video_row(outcome))
                yield outcome
            end = "done"
        finally:
            waiting.close()
            announce(end=end)

    @takes(RunOptions)
    def track(self, videos: Videos, **options: Any) -> TrackingResults:
        """Track videos and hold all their results in memory.

        Videos that ``output_jsonl`` holds already are read from it: the results are those of the whole list,
        in its order.

        Args:
            videos: A list file, a video, a folder, a pattern, or paths.
            **options: What to write and to leave out, and how to show it; see below.

        Raises:
            VideoOpenError: Videos are missing; the message names each of them.
            ResultsError: ``output_jsonl`` holds results of other options, or cannot be written.
            VideoWriteError: ``output_video_dir`` cannot be made.
            StorageError: It is full or gone in mid-run.
            ClusterError: The cluster was lost.
        """
        how = RunOptions(**options)
        with Job(videos, self.config, **values_of(how, JobOptions)) as job:
            return TrackingResults(job.in_order([*job.read_done(), *self._show(job, how)]), self.config)

    @takes(RunOptions)
    def iter_results(self, videos: Videos, **options: Any) -> Iterator[Outcome]:
        """As :meth:`track`, but yields each outcome when it is there and keeps none: for long lists.

        Videos that ``output_jsonl`` holds already are skipped.

        Args:
            videos: As for :meth:`track`.
            **options: As for :meth:`track`.
        """
        how = RunOptions(**options)
        with Job(videos, self.config, **values_of(how, JobOptions)) as job:
            yield from self._show(job, how)

    def preview(self, videos: Videos, *, frames: int = 4) -> Preview:
        """Look at a few frames of each video, and estimate how long a run over all of them will take.

        Every video is decoded up to the last of these frames.

        Args:
            videos: As for :meth:`track`; what cannot be read is in ``failures``.
            frames: Evenly spread frames of each video in which the detector looks.
        """
        self._check_open()
        from trackkit.tracking.preview import Preview, preview_video  # supervision takes a second to import

        tasks, missing = make_tasks(videos, skip_missing=True)
        looks = self._runner.run(Batch(tasks, partial(preview_video, frames=frames)))
        workers = 1 if self.client is None else max(1, len(self.client.nthreads()))  # all may have left
        return Preview(chain(missing, looks), self.config, workers)

    def _show(self, job: Job, how: RunOptions) -> Iterator[Outcome]:
        display = open_display(RunState(**job.counts), how.progress)
        if display is None:
            _say(job.notes)
            yield from self.run(job, how.on_progress)
            return

        def report(now: Progress) -> None:
            display.report(now)
            if how.on_progress is not None:
                how.on_progress(now)

        with display:
            _say(job.notes)
            for outcome in self.run(job, report):
                display.finish(outcome)
                yield outcome


def _say(notes: Iterable[str]) -> None:
    for note in notes:
        log.warning("%s", note)


def _device_of_workers(options: SessionOptions) -> str | None:
    """Where workers of a cluster that is already there load their models; None leaves it to them."""
    if options.gpu_ids or options.device not in (None, "cpu", "cuda"):
        asked = f"gpu_ids {list(options.gpu_ids)}" if options.gpu_ids else f"device {options.device!r}"
        msg = f"{asked} was given, but workers of a cluster that is already there have theirs: leave it out"
        raise ConfigError(msg)
    return "cuda:0" if options.device == "cuda" else options.device


def _device_here(options: SessionOptions) -> str:
    """The one device of this process."""
    if not choose_gpus(options.device, options.gpu_ids):
        return "cpu"
    if options.gpu_ids:
        return f"cuda:{options.gpu_ids[0]}"
    return options.device if options.device is not None and ":" in options.device else "cuda:0"


def preview(
    videos: Videos,
    text_prompt: str,
    *,
    frames: int = 4,
    preset: str | None = None,
    session: dict[str, Any] | None = None,
    **options: Any,
) -> Preview:
    """See what the detector finds in a few frames of each video, before hours are spent on all of them.

    Args:
        videos: A list file, a video, a folder, a pattern, or paths.
        text_prompt: Classes to find: ``"person. red cup."``.
        frames: Evenly spread frames of each video in which the detector looks.
        preset: Name of a set of options, e.g. ``"color"``.
        session: Options of :class:`Session`. By default this process does it where there are few videos, one
            after the other; where there are more than ``FEW_VIDEOS``, workers do, as in a run.
        **options: Options of :class:`trackkit.TrackConfig`.

    Example:
        >>> preview("clips/*.mp4", "car", preset="color")  # doctest: +SKIP
    """
    refuse_unknown("preview", options, TrackConfig)
    config = TrackConfig.from_preset(preset, text_prompt, **options)
    names = find_videos(videos)
    if session is None:
        session = {"num_workers": 0} if len(names) <= FEW_VIDEOS else {}
    with Session(config, **session) as running:
        return running.preview(names, frames=frames)


@also_takes(RunOptions)
def track(
    videos: Videos,
    text_prompt: str,
    *,
    preset: str | None = None,
    session: Mapping[str, Any] | None = None,
    **options: Any,
) -> TrackingResults:
    """Track what the prompt names through videos: a session for one run.

    Args:
        videos: A list file, a video, a folder, a pattern, or paths.
        text_prompt: Classes to find: ``"person. red cup."``.
        preset: Name of a set of options, e.g. ``"color"``.
        session: Options of :class:`Session`, e.g. ``{"gpu_ids": [0, 1]}``.
        **options: Those of :meth:`Session.track`, see below, and those of :class:`trackkit.TrackConfig`.

    Example:
        >>> track("clips/*.mp4", "red. yellow.", preset="color").tracks  # doctest: +SKIP
    """
    refuse_unknown("track", options, RunOptions, TrackConfig)
    how = RunOptions(**{name: options.pop(name) for name in options_of(RunOptions) if name in options})
    config = TrackConfig.from_preset(preset, text_prompt, **options)
    where = SessionOptions(**session or {})
    if where.starts_workers:
        check_may_start_processes()  # before a job opens its files, which the process that runs has open
    # The job first: what is wrong with the list shows before models load.
    with (
        Job(videos, config, **values_of(how, JobOptions)) as job,
        Session(config, **session or {}) as running,
    ):
        return TrackingResults(job.in_order([*job.read_done(), *running._show(job, how)]), config)
