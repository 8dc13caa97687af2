"""The front door: workers with loaded models that take videos and give results."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from distributed import Client, Security

from trackkit.config import TrackConfig
from trackkit.core.errors import ConfigError
from trackkit.core.tasks import Progress
from trackkit.monitor.dashboard import DashboardLink
from trackkit.monitor.displays import open_display
from trackkit.monitor.run_state import RunState
from trackkit.results.video_result import video_row
from trackkit.run.cluster import ANY_PORT, LOCAL_DASK_CONFIG, LOCALHOST, start_cluster
from trackkit.run.gpus import choose_gpus
from trackkit.run.job import Job, PromptsByVideo
from trackkit.run.runners import ClusterRunner, InProcessRunner, Outcome, Runner
from trackkit.run.schedule import SCHEDULES
from trackkit.tracking.models import prepare_weights
from trackkit.tracking.reporter import ProgressCallback
from trackkit.tracking_results import TrackingResults
from trackkit.video.inputs import Videos, find_videos, make_tasks

if TYPE_CHECKING:
    from trackkit.tracking.preview import Preview

FEW_VIDEOS = 12


class Session:
    """A cluster whose workers hold the models, for any number of runs.

    Args:
        config: What to look for, and how.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:N"``, or None: the GPUs if there are any, else the CPU.
        gpu_ids: GPUs to use; one that is named twice gets two workers.
        num_workers: One per GPU by default, on a CPU one per two cores; 0 works in this process, without
            Dask. With a cluster that is already there, how many workers to expect.
        schedule: ``"dynamic"`` (the next video goes to the next free worker) or ``"round-robin"``.
        scheduler: Address of a Dask scheduler that is already there, ``"tcp://host:port"``.
        cluster: A Dask cluster object, such as dask-jobqueue's ``SLURMCluster``.
        client: A connected Dask client.
        host: Address on which scheduler and workers listen that are started here.
        dashboard_address: ``host:port`` of the dashboard of a cluster that is started here.
        worker_timeout_s: How long to wait for the first worker of a cluster that is already there.
        timeout_per_video_s: A video that takes longer fails with ``VideoTimeout``; None for no limit. Code
            that does not come back at all costs its worker process half a minute later (but not this
            process, where ``num_workers`` is 0).
        security: TLS for the cluster that is started here, or for the way to ``scheduler``.

    Raises:
        ConfigError: The values contradict each other.
        ClusterError: Workers could not be started or reached, or a GPU was asked for that is not there.
        CheckpointError: A model could not be loaded.

    Example:
        >>> with Session(TrackConfig.from_preset("color", "red")) as session:  # doctest: +SKIP
        ...     results = session.track("videos.txt", output_jsonl="tracks.jsonl")
    """

    def __init__(
        self,
        config: TrackConfig,
        *,
        device: str | None = None,
        gpu_ids: Sequence[int] | None = None,
        num_workers: int | None = None,
        schedule: str = "dynamic",
        scheduler: str | None = None,
        cluster: Any = None,
        client: Client | None = None,
        host: str = LOCALHOST,
        dashboard_address: str = ANY_PORT,
        worker_timeout_s: float = 300.0,
        timeout_per_video_s: float | None = None,
        security: Security | None = None,
    ) -> None:
        if timeout_per_video_s is not None and not 0 < timeout_per_video_s < math.inf:
            msg = f"timeout_per_video_s is {timeout_per_video_s!r}: expected seconds above 0, or None"
            raise ConfigError(msg)
        if schedule not in SCHEDULES:
            msg = f"schedule is {schedule!r}: choose one of {', '.join(SCHEDULES)}"
            raise ConfigError(msg)
        given = [target for target in (client, cluster, scheduler) if target is not None]
        if len(given) > 1:
            msg = "more than one of scheduler, cluster and client was given: give one"
            raise ConfigError(msg)
        self.config = config
        self._stack = ExitStack()
        limit: dict[str, Any] = {"timeout_s": timeout_per_video_s}
        try:
            if given:
                options = {"expect": num_workers or 0, "worker_timeout_s": worker_timeout_s, **limit}
                options |= {"schedule": schedule, "security": security}
                there = _device_of_workers(device, gpu_ids)
                runner: Runner = ClusterRunner(config, there, given[0], **options)
            elif num_workers == 0:
                here = _device_here(device, gpu_ids)
                prepare_weights(config)
                runner = InProcessRunner(config, here, **limit)
            else:
                slots = choose_gpus(device, gpu_ids, num_workers)
                prepare_weights(config)  # once, before the workers look for them
                where: dict[str, Any] = {
                    "host": host,
                    "dashboard_address": dashboard_address,
                    "security": security,
                }
                cluster = start_cluster(slots, num_workers=num_workers, **where)
                self._stack.enter_context(cluster)
                there = "cuda:0" if slots else "cpu"
                limit["dask_config"] = LOCAL_DASK_CONFIG
                runner = ClusterRunner(config, there, cluster, schedule=schedule, **limit)
        except BaseException:
            self.close()
            raise
        self._runner = runner
        self._stack.callback(runner.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Unload the models and end the workers that were started here."""
        self._stack.close()

    @property
    def client(self) -> Client | None:
        """The Dask client, None where the session works in this process."""
        return getattr(self._runner, "client", None)

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
            ClusterError: The cluster was lost.
        """
        announce = partial(self._runner.announce, run_id := uuid4().hex)
        announce(begin=job.counts)
        end = "broke off"
        try:
            for outcome in chain(job.missing, self._runner.run(job.tasks, on_progress, run_id)):
                job.record(outcome)
                announce(row=video_row(outcome))
                yield outcome
            end = "done"
        finally:
            announce(end=end)

    def track(
        self,
        videos: Videos,
        *,
        output_jsonl: str | os.PathLike[str] | None = None,
        output_video_dir: str | os.PathLike[str] | None = None,
        layout: str = "frames",
        resume: bool = True,
        skip_missing: bool = False,
        skip_failed: bool = False,
        prompts: PromptsByVideo | None = None,
        on_progress: ProgressCallback | None = None,
        progress: bool | None = None,
    ) -> TrackingResults:
        """Track videos and hold all their results in memory.

        The arguments are those of :class:`trackkit.Job`, and ``on_progress`` is called a few times a second
        for every running video. ``progress`` shows the run as it goes on: True also in a terminal, False
        nowhere, and by default in a notebook. Videos that ``output_jsonl`` holds already are read from it:
        the results are those of the whole list.

        Raises:
            VideoOpenError: Videos are missing; the message names each of them.
            ResultsError: ``output_jsonl`` holds results of other options, or cannot be written.
            VideoWriteError: ``output_video_dir`` cannot be made.
            StorageError: It is full or gone in mid-run.
            ClusterError: The cluster was lost.
        """
        with Job(
            videos,
            self.config,
            output_jsonl=output_jsonl,
            output_video_dir=output_video_dir,
            layout=layout,
            resume=resume,
            skip_missing=skip_missing,
            skip_failed=skip_failed,
            prompts=prompts,
        ) as job:
            return TrackingResults([*job.read_done(), *self._show(job, on_progress, progress)], self.config)

    def preview(self, videos: Videos, *, frames: int = 4) -> Preview:
        """Look at a few frames of each video, and estimate how long a run over all of them will take.

        Every video is decoded up to the last of these frames.

        Args:
            videos: As for :meth:`track`; what cannot be read is in ``failures``.
            frames: Evenly spread frames of each video in which the detector looks.
        """
        from trackkit.tracking.preview import Preview, preview_video  # supervision takes a second to import

        tasks, missing = make_tasks(videos, skip_missing=True)
        looks = self._runner.run(tasks, None, uuid4().hex, partial(preview_video, frames=frames))
        workers = 1 if self.client is None else len(self.client.nthreads())
        return Preview(chain(missing, looks), self.config, workers)

    def iter_results(
        self,
        videos: Videos,
        *,
        output_jsonl: str | os.PathLike[str] | None = None,
        output_video_dir: str | os.PathLike[str] | None = None,
        layout: str = "frames",
        resume: bool = True,
        skip_missing: bool = False,
        skip_failed: bool = False,
        prompts: PromptsByVideo | None = None,
        on_progress: ProgressCallback | None = None,
        progress: bool | None = None,
    ) -> Iterator[Outcome]:
        """As :meth:`track`, but yields each outcome when it is there and keeps none: for long lists.

        Videos that ``output_jsonl`` holds already are skipped.
        """
        with Job(
            videos,
            self.config,
            output_jsonl=output_jsonl,
            output_video_dir=output_video_dir,
            layout=layout,
            resume=resume,
            skip_missing=skip_missing,
            skip_failed=skip_failed,
            prompts=prompts,
        ) as job:
            yield from self._show(job, on_progress, progress)

    def _show(
        self, job: Job, on_progress: ProgressCallback | None = None, progress: bool | None = None
    ) -> Iterator[Outcome]:
        display = open_display(RunState(**job.counts), progress)
        if display is None:
            yield from self.run(job, on_progress)
            return

        def report(now: Progress) -> None:
            display.report(now)
            if on_progress is not None:
                on_progress(now)

        with display:
            for outcome in self.run(job, report):
                display.finish(outcome)
                yield outcome


def _device_of_workers(device: str | None, gpu_ids: Sequence[int] | None) -> str | None:
    """Where workers of a cluster that is already there load their models; None leaves it to them."""
    if gpu_ids or device not in (None, "cpu", "cuda"):
        asked = f"gpu_ids {list(gpu_ids)}" if gpu_ids else f"device {device!r}"
        msg = f"{asked} was given, but workers of a cluster that is already there have theirs: leave it out"
        raise ConfigError(msg)
    return "cuda:0" if device == "cuda" else device


def _device_here(device: str | None, gpu_ids: Sequence[int] | None) -> str:
    """The one device of this process."""
    if not choose_gpus(device, gpu_ids):
        return "cpu"
    if gpu_ids:
        return f"cuda:{gpu_ids[0]}"
    return device if device is not None and ":" in device else "cuda:0"


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
    make = TrackConfig if preset is None else partial(TrackConfig.from_preset, preset)
    names = find_videos(videos)
    if session is None:
        session = {"num_workers": 0} if len(names) <= FEW_VIDEOS else {}
    with Session(make(text_prompt, **options), **session) as running:
        return running.preview(names, frames=frames)


def track(
    videos: Videos,
    text_prompt: str,
    *,
    output_jsonl: str | os.PathLike[str] | None = None,
    output_video_dir: str | os.PathLike[str] | None = None,
    preset: str | None = None,
    session: dict[str, Any] | None = None,
    progress: bool | None = None,
    **options: Any,
) -> TrackingResults:
    """Track what the prompt names through videos: a session for one run.

    Args:
        videos: A list file, a video, a folder, a pattern, or paths.
        text_prompt: Classes to find: ``"person. red cup."``.
        output_jsonl: Append a line per video to this file.
        output_video_dir: Write an annotated video per video to this folder.
        preset: Name of a set of options, e.g. ``"color"``.
        session: Options of :class:`Session`, e.g. ``{"gpu_ids": [0, 1]}``.
        progress: Show the run as it goes on; None: in a notebook.
        **options: Options of :class:`trackkit.TrackConfig`.

    Example:
        >>> track("clips/*.mp4", "red. yellow.", preset="color").tracks  # doctest: +SKIP
    """
    make = TrackConfig if preset is None else partial(TrackConfig.from_preset, preset)
    config = make(text_prompt, **options)
    # The job first: what is wrong with the list shows before models load.
    with (
        Job(videos, config, output_jsonl=output_jsonl, output_video_dir=output_video_dir) as job,
        Session(config, **session or {}) as running,
    ):
        return TrackingResults([*job.read_done(), *running._show(job, progress=progress)], config)
