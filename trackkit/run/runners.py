"""Where tasks run: in this process, or on the workers of a Dask cluster. Both load the models once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any, Protocol

import dask
from dask.utils import parse_timedelta
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
from trackkit.run.lookout import Lookout, waiting_for
from trackkit.run.options import SessionOptions
from trackkit.run.quiet import quiet
from trackkit.run.schedule import MOST_LOSSES, Crew, run_tasks
from trackkit.run.worker import ModelHost, hold_worker, wait_for_models
from trackkit.tracking.models import load_models

SCHEDULER_TIMEOUT_S = 60.0  # one that begins at the same time, as in a job's script, takes its time


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
        with waiting_for("the models to load"):
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
            # Dask's own limit is not for a port that takes the connection and then says nothing.
            super().start(callback_timeout=self._timeout + 1, **options)
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
        adapts: The cluster may grow and shrink as it likes; else it is one that trackkit started.

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
        adapts: bool = True,
    ) -> None:
        check_usable(target)
        self._options, self._adapts = options, adapts
        self._stack = ExitStack()
        try:
            self.client = target if isinstance(target, Client) else self._connect(target)
            self._host = ModelHost(config, device, name_models(self.client))
            self._lookout = Lookout(self.client, options.worker_timeout_s)
            self._load()
            self._page_note = add_page(self.client)
        except BaseException as error:
            self._stack.close()
            if isinstance(error, OSError):
                msg = f"the cluster was lost before the first video ({error}): see whether its scheduler runs"
                raise ClusterError(msg) from None
            raise

    def _connect(self, target: Any) -> Client:
        limit_s = max(
            SCHEDULER_TIMEOUT_S, parse_timedelta(dask.config.get("distributed.comm.timeouts.connect"))
        )
        if self._options.worker_timeout_s is not None:
            limit_s = min(limit_s, self._options.worker_timeout_s)
        try:
            with waiting_for(f"the Dask scheduler at {target!r} to answer", limit_s):
                client = _ClosedUnlessConnected(
                    target, set_as_default=False, timeout=limit_s, security=self._options.security
                )
            return self._stack.enter_context(client)
        # TypeError: tls:// without certificates. RuntimeError: tcp:// with them, a cluster that is closed.
        # MemoryError: another protocol's words, read as a length.
        except (OSError, RuntimeError, TypeError, ValueError, MemoryError) as error:
            reason = f"{error}: {error.__cause__}" if error.__cause__ else error
            msg = (
                f"no Dask scheduler answers at {target!r} ({reason}): check the address, TLS if it has it "
                "(then the address begins with tls://), and that it runs this version of Dask"
            )
            raise ClusterError(msg) from None

    def _load(self) -> None:
        try:
            with waiting_for("the workers to answer"):
                if self._adapts:  # workers that trackkit started run what this process does
                    check_software(self.client)
                self._stack.callback(self._unload)
                self._register()
            with self._held_workers():
                self._gpus = self._roll_call()
        except OSError as error:  # the models' own errors come as CheckpointError or ConfigError
            msg = (
                f"a worker process died while it loaded the models ({error}): was memory short? Use fewer "
                "workers or a smaller --sam-type; --num-workers 0 shows what happens"
            )
            raise ClusterError(msg) from None

    def _register(self) -> None:
        watch_clients(self.client)
        self.client.register_plugin(self._host)  # of no effect where it is there

    def _roll_call(self) -> dict[str, str | None]:
        """The GPU of each worker by its name, when all have loaded the models."""
        tries = MOST_LOSSES if self._adapts else 1  # they may leave meanwhile, and others come
        while True:
            self._lookout.wait_for_first_worker()
            tries -= 1
            try:
                with waiting_for("the workers to load the models"):
                    return dict(self.client.run(wait_for_models, self._host.name).values())
            except OSError:
                if not tries:
                    raise

    @contextmanager
    def _held_workers(self) -> Iterator[None]:
        """A cluster that adapts starts no worker unless there are tasks, and takes away those without."""
        if not self._adapts:
            yield
            return
        count = max(1, len(self._lookout.workers))
        futures = self.client.map(hold_worker, [self._host.name] * count, pure=False)
        try:
            yield
        finally:
            for future in futures:
                future.release()

    def _expected(self) -> int:
        """Number of workers that will come, as the cluster plans it now."""
        plan = getattr(getattr(self.client, "cluster", None), "plan", ())
        return max(self._options.num_workers or 0, len(plan))

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
            # OSError: the cluster is lost, which the run finds out, too.
            with suppress(OSError), waiting_for("the workers to answer"):
                self._register()  # a client that was cut off for long has lost its models
        with self._listening(batch):
            self._lookout.begin()
            crew = Crew(self._lookout, self._expected, spare=self._adapts)
            for outcome in run_tasks(self.client, batch, self._host.name, self._options, crew):
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
        # That the scheduler is lost was said; how Dask came to know is no news.
        lost = self.client.status != "running"
        with quiet(*(("distributed.client",) if lost else ())):
            self._stack.close()
