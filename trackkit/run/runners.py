"""Where tasks run: in this process, or on the workers of a Dask cluster. Both load the models once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any, Protocol

import dask
from distributed import Client

from trackkit.config import TrackConfig
from trackkit.core.errors import ClusterError
from trackkit.core.tasks import VideoFailure
from trackkit.monitor.dashboard import DashboardLink, add_page, dashboard_link
from trackkit.monitor.events import PROGRESS_TOPIC, RUN_TOPIC, read_progress
from trackkit.results.video_result import Outcome
from trackkit.run.abandoned import name_models, watch_clients
from trackkit.run.attempt import attempt
from trackkit.run.batch import Batch
from trackkit.run.check_cluster import check_software, check_usable
from trackkit.run.cluster import DASK_CONFIG
from trackkit.run.options import SessionOptions
from trackkit.run.schedule import run_tasks
from trackkit.run.worker import ModelHost, wait_for_models
from trackkit.tracking.models import load_models


class Runner(Protocol):
    """Runs tasks with models that are loaded already."""

    @property
    def client(self) -> Client | None:
        """The Dask client, None without Dask."""
        ...

    @property
    def dashboard(self) -> DashboardLink | None:
        """The way to the dashboard, None where there is none."""
        ...

    def run(self, batch: Batch) -> Iterator[Outcome]:
        """Yield the outcome of every task, in the order in which they are done."""
        ...

    def announce(self, run_id: str, **event: Any) -> None:
        """Tell those who watch from outside: a run begins, a video is done, the run ends."""
        ...

    def close(self) -> None:
        """Let go of models, workers and connections."""
        ...


class InProcessRunner:
    """One video after the other in this process: for a breakpoint, or a single GPU.

    Args:
        config: What to load.
        device: ``"cpu"`` or ``"cuda:N"``.
        options: ``timeout_per_video_s`` is looked at between frames, so that code that hangs goes on hanging.
    """

    def __init__(self, config: TrackConfig, device: str, options: SessionOptions) -> None:
        self._config, self._options = config, options
        self._models = load_models(config, device)
        self.client = None
        self.dashboard: DashboardLink | None = None

    def run(self, batch: Batch) -> Iterator[Outcome]:
        """Yield the outcome of every task."""
        for task in batch.tasks:
            yield attempt(
                task,
                self._config,
                self._models,
                batch.on_progress,
                batch.work,
                timeout_s=self._options.timeout_per_video_s,
                worker="local",
            )

    def announce(self, run_id: str, **event: Any) -> None:
        """Nobody watches from outside."""

    def close(self) -> None:
        """Let go of the models."""
        del self._models


class _ClosedUnlessConnected(Client):
    """A client that closes itself where it does not connect, as to ``tls://`` without certificates.

    Else the garbage collector does it at some time. Where that is in the thread in which the next client's
    loop begins, it waits for a lock that is held until the loop has begun: an error ten seconds later.
    """

    def start(self, **options: Any) -> None:
        """See ``distributed.Client.start``."""
        try:
            super().start(**options)
        except BaseException:
            self.close()
            raise


class ClusterRunner:
    """The workers of a Dask cluster.

    Args:
        config: What to load.
        device: ``"cpu"``, ``"cuda:0"``, or None: a GPU if the worker sees one.
        target: A client, a cluster object, or the address of a scheduler.
        options: How videos are spread, how many workers are expected, how long to wait for the first one, and
            TLS to reach the scheduler with.
        dask_config: Dask's settings while it is open.

    Raises:
        ClusterError: The scheduler cannot be reached, no worker came, or one died while it loaded the models.
        CheckpointError: A worker could not load the models.
    """

    def __init__(
        self,
        config: TrackConfig,
        device: str | None,
        target: Any,
        options: SessionOptions,
        *,
        dask_config: Mapping[str, Any] = DASK_CONFIG,
    ) -> None:
        check_usable(target)
        self._options = options
        self._expect = max(options.num_workers or 0, len(getattr(target, "plan", ())))
        self._stack = ExitStack()
        try:
            self._stack.enter_context(dask.config.set(dict(dask_config)))
            self.client = target if isinstance(target, Client) else self._connect(target)
            self._host = ModelHost(config, device, name_models(self.client))
            try:
                self.client.wait_for_workers(1, timeout=options.worker_timeout_s)
            except TimeoutError:
                address, waited_s = self.client.scheduler.address, options.worker_timeout_s
                msg = f"no worker came to {address} within {waited_s} s"
                raise ClusterError(msg) from None
            self._load()
            self._page_note = add_page(self.client)
        except BaseException as error:
            self._stack.close()
            if isinstance(error, OSError):
                msg = f"the cluster was lost before the first video ({error}): see whether its scheduler runs"
                raise ClusterError(msg) from None
            raise

    def _connect(self, target: Any) -> Client:
        try:
            client = _ClosedUnlessConnected(
                target,
                set_as_default=False,
                timeout=self._options.worker_timeout_s,
                security=self._options.security,
            )
            return self._stack.enter_context(client)
        # TypeError: tls:// without certificates; RuntimeError: tcp:// with them, a cluster that is closed.
        except (OSError, RuntimeError, TypeError, ValueError) as error:
            msg = (
                f"no Dask scheduler answers at {target!r} ({error}): check the address, TLS if it has it "
                "(then the address begins with tls://), and that it runs this version of Dask"
            )
            raise ClusterError(msg) from None

    def _load(self) -> None:
        try:
            check_software(self.client)
            self._stack.callback(self._unload)
            self._register()
            self._gpus = dict(self.client.run(wait_for_models, self._host.name).values())
        except OSError as error:  # the models' own errors come as CheckpointError or ConfigError
            msg = (
                f"a worker process died while it loaded the models ({error}): was memory short? Use fewer "
                "workers or a smaller --sam-type; --num-workers 0 shows what happens"
            )
            raise ClusterError(msg) from None

    def _register(self) -> None:
        watch_clients(self.client)
        self.client.register_plugin(self._host)  # of no effect where it is there

    @property
    def dashboard(self) -> DashboardLink | None:
        """The way to the dashboard, None where there is none."""
        return dashboard_link(self.client, self._page_note)

    def announce(self, run_id: str, **event: Any) -> None:
        """Tell the page of the dashboard."""
        if self._page_note is None and self.client.status == "running":
            with suppress(OSError):  # the scheduler is gone, which the run itself finds out, too
                self.client.log_event(RUN_TOPIC, {"run": run_id, "client": self.client.id, **event})

    def run(self, batch: Batch) -> Iterator[Outcome]:
        """Yield the outcome of every task, in the order in which they are done."""
        if self.client.status == "running":
            with suppress(OSError):  # the cluster is lost, which the run finds out, too
                self._register()  # a client that was cut off for long has lost its models
        with self._listening(batch):
            for outcome in run_tasks(self.client, batch, self._host.name, self._options, expect=self._expect):
                if isinstance(outcome, VideoFailure) and outcome.gpu is None:  # died before it could say
                    yield replace(outcome, gpu=self._gpus.get(outcome.worker or ""))
                else:
                    yield outcome

    @contextmanager
    def _listening(self, batch: Batch) -> Iterator[None]:
        on_progress = batch.on_progress
        if on_progress is None:
            yield
            return

        def hear(event: tuple[float, dict[str, Any]]) -> None:
            if event[1]["run"] == batch.run_id:  # others may use the same cluster
                on_progress(read_progress(event[1]["progress"]))

        self.client.subscribe_topic(PROGRESS_TOPIC, hear)
        try:
            yield
        finally:
            self.client.unsubscribe_topic(PROGRESS_TOPIC)

    def _unload(self) -> None:
        if self.client.status == "running":  # else the workers are gone, and the models with them
            # Lost while asking; dropped while the client was cut off; a worker never had it.
            with suppress(LookupError, OSError, ValueError):
                self.client.unregister_worker_plugin(self._host.name)

    def close(self) -> None:
        """Unload the models and disconnect."""
        self._stack.close()
