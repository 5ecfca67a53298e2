"""An executor on a local Ray, for a job that runs without the service."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from safs.execution.executor import Executor
from safs.preflight import check
from safs.spec.job import JobSpec
from safs.spec.resources import Dispatcher
from workers.on_ray.allocation import executor_of
from workers.on_ray.capacity import cluster_nodes, divide
from workers.process import start_ray
from workers.settings import WorkerSettings


@contextmanager
def local_executor(
    spec: JobSpec, dispatcher: Dispatcher, *, in_flight: int | None, data_root: Path | None
) -> Iterator[Executor]:
    """Start a local Ray and yield an executor on it; both end with the block.

    Args:
        in_flight: trials in flight; None takes the job's ``resources.trials_in_parallel``.
        data_root: folder of the data sets that are read from files.
    """
    weights = None if spec.model.file is None else Path(spec.model.file)
    blueprint = check(spec, data_root=data_root, weights=weights).blueprint
    start_ray(WorkerSettings(ray_address=None))
    try:
        given = {} if in_flight is None else {"trials_in_parallel": in_flight}
        share = divide(cluster_nodes(), spec.resources.model_copy(update=given), blueprint.image_size)
        with executor_of(dispatcher, share) as executor:
            yield executor
    finally:
        ray.shutdown()
