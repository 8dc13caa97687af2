"""A LocalCUDACluster whose GPUs may repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dask_cuda import LocalCUDACluster
from dask_cuda.utils import parse_cuda_visible_device
from distributed import WorkerPlugin

from trackkit.run.nanny import KeepsWorkers, PatientNanny


class SlotCUDACluster(KeepsWorkers, LocalCUDACluster):
    """One worker per slot, named ``gpu<id>-<slot>``, which sees its own GPU only.

    ``LocalCUDACluster`` refuses a GPU that is named twice. Two workers on a large GPU, and one on a small
    one, is how unequal GPUs are balanced.

    Args:
        slots: A GPU per worker, as CUDA_VISIBLE_DEVICES names them; may repeat.
        env: Environment of the workers, beside CUDA_VISIBLE_DEVICES.
        plugins: Of the workers, beside those of dask-cuda.
        **options: Passed on.
    """

    cuda_visible_devices: list[Any]
    worker_spec: dict[str, Any]

    def __init__(
        self,
        slots: Sequence[str],
        *,
        env: Mapping[str, str],
        plugins: Sequence[WorkerPlugin] = (),
        **options: Any,
    ) -> None:
        self._env, self._plugins = env, plugins
        self._slots = [parse_cuda_visible_device(slot) for slot in slots]
        super().__init__(
            CUDA_VISIBLE_DEVICES=list(dict.fromkeys(self._slots)),
            n_workers=len(self._slots),
            # Tasks return small host objects: the store that spills GPU memory is of no use.
            data=dict,
            device_memory_limit=None,
            memory_limit=None,
            **options,
        )

    def new_worker_spec(self) -> dict[str, Any]:
        """The spec of the first free slot."""
        for index, gpu in enumerate(self._slots):
            name = f"gpu{gpu}-{index}"
            if name not in self.worker_spec:
                break
        else:
            msg = f"all {len(self._slots)} slots have a worker already"
            raise ValueError(msg)
        # The parent picks the GPU by the number of workers: show it one GPU and no worker.
        gpus, workers = self.cuda_visible_devices, self.worker_spec
        self.cuda_visible_devices, self.worker_spec = [gpu], {}
        try:
            ((_, spec),) = super().new_worker_spec().items()
        finally:
            self.cuda_visible_devices, self.worker_spec = gpus, workers
        spec["options"]["env"] = {**self._env, **spec["options"]["env"]}
        spec["options"]["plugins"] = {*spec["options"]["plugins"], *self._plugins}
        spec["cls"] = PatientNanny
        return {name: spec}
