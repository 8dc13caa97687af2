"""How and where a run goes. Each class travels whole to whoever needs a part of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from distributed import Client, Security

from trackkit.core.errors import ConfigError
from trackkit.core.options import check_options, documented, explain_unknown, option
from trackkit.core.prompts import Prompts
from trackkit.core.tasks import Progress
from trackkit.results.jsonl_line import LAYOUTS

PromptsByVideo: TypeAlias = Mapping[str, Prompts] | Mapping[os.PathLike[str], Prompts]
LOCALHOST = "127.0.0.1"


@documented()
@explain_unknown
@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """Where videos are tracked: devices, workers, the cluster, and how long a video may take.

    Raises:
        ConfigError: A value cannot work, or two contradict each other.
    """

    device: str | None = option(None, "cpu, cuda, or cuda:N", none="every GPU; the CPU where there is none")
    gpu_ids: Sequence[int] | None = option(
        None, "GPUs to use, as torch counts them; one that is named twice gets two workers", none="all"
    )
    num_workers: int | None = option(
        None,
        "number of workers; above the number of GPUs they go round them; 0: in this process, without Dask",
        details="With a cluster that is already there: how many workers to expect.",
        at_least=0,
        none="one per GPU; without GPUs one per core, and per 4 GiB of memory",
    )
    schedule: Literal["dynamic", "round-robin"] = option(
        "dynamic",
        "how videos are spread: the next one to the next free worker, or video i to worker i mod n",
    )
    scheduler: str | None = option(
        None,
        "address of a Dask scheduler that is already there: tcp://host:port",
        none="a cluster of its own",
        metavar="ADDRESS",
    )
    cluster: Any = option(None, "a Dask cluster object, such as dask-jobqueue's SLURMCluster", flag=None)
    client: Client | None = option(None, "a connected Dask client", flag=None)
    timeout_per_video_s: float | None = option(
        None,
        "seconds a video may take; one that takes longer fails",
        details=(
            "One that hangs for 30 s more costs its worker process, and is not tried again. With 0 workers "
            "(or those of LocalCluster(processes=False)) there is no process to give up: the time is looked "
            "at between frames, and code that hangs goes on hanging."
        ),
        above=0,
        none="no limit",
        flag="--timeout-per-video",
        metavar="SECONDS",
    )
    host: str = option(
        LOCALHOST,
        "address on which the scheduler and the workers that are started here listen",
        details="Nothing listens beyond this machine unless you say so.",
    )
    dashboard_address: str = option(
        f"{LOCALHOST}:0", "host:port of the Dask dashboard; port 0 takes a free one", metavar="HOST:PORT"
    )
    worker_timeout_s: float | None = option(
        300.0,
        "seconds for which a run goes on while no worker is there, or all are paused for memory",
        details=(
            "It says so meanwhile, and then ends. A scheduler that does not answer is waited for 60 s at "
            "most, or as long as Dask's distributed.comm.timeouts.connect says, if that is more."
        ),
        above=0,
        none="no limit",
        flag="--worker-timeout",
        metavar="SECONDS",
    )
    security: Security | None = option(
        None, "TLS for the cluster that is started here, or for the way to the scheduler", flag=None
    )

    def __post_init__(self) -> None:
        check_options(self)
        if sum(given is not None for given in (self.client, self.cluster, self.scheduler)) > 1:
            msg = "more than one of scheduler, cluster and client was given: give one"
            raise ConfigError(msg)

    @property
    def starts_workers(self) -> bool:
        """Whether a session starts worker processes of its own."""
        there = (self.client, self.cluster, self.scheduler)
        return self.num_workers != 0 and all(each is None for each in there)


@documented()
@explain_unknown
@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """What a run writes, and what it leaves out.

    Raises:
        ConfigError: A value cannot work.
    """

    output_jsonl: str | os.PathLike[str] | None = option(
        None, "one line per video is appended to this file", metavar="FILE"
    )
    output_video_dir: str | os.PathLike[str] | None = option(
        None, "an annotated video per video is written to this folder", metavar="DIR"
    )
    layout: str = option("frames", "of the JSONL lines", choices=LAYOUTS)
    resume: bool = option(
        True,
        "skip the videos that the JSONL file holds already; else begin anew, and keep the old file beside it",
    )
    skip_missing: bool = option(False, "record missing videos as failures, and do not stop for them")
    skip_failed: bool = option(
        False, "leave out what failed before, with these options and unchanged since; else it is tried again"
    )
    prompts: PromptsByVideo | None = option(
        None,
        "objects that you point out, by video; a video whose prompts change is done again",
        flag=None,
    )

    def __post_init__(self) -> None:
        check_options(self)


@documented()
@explain_unknown
@dataclass(frozen=True, kw_only=True)
class RunOptions(JobOptions):
    """What a run writes and leaves out, and how it is shown."""

    on_progress: Callable[[Progress], None] | None = option(
        None, "called a few times a second for every running video", flag=None
    )
    progress: bool | None = option(
        None,
        "show the run as it goes on: True also in a terminal, False nowhere",
        none="in a notebook",
        flag=None,
    )
