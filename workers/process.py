"""The process of a runner: connects to Ray, and runs jobs until a signal stops it."""

import logging
import signal
from importlib import import_module
from threading import Event, Thread
from types import FrameType
from typing import Any

import ray

from store.session import Database
from workers.on_ray.import_path import job_config
from workers.on_ray.local_ray import start_local_ray
from workers.on_ray.resources import ray_resources
from workers.presence import Presence
from workers.scratch import scratch_folder
from workers.settings import WorkerSettings

log = logging.getLogger(__name__)


def main(settings: WorkerSettings) -> None:
    """Connect to Ray and run jobs until SIGTERM or SIGINT; a job in progress returns to the queue."""
    stopping = Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    # Ray's processes take seconds to start; the imports of the runner, torch above all, take them meanwhile.
    imports = Thread(target=import_module, args=("workers.runner",), name="imports")
    imports.start()
    start_ray(settings)
    imports.join()
    from workers.runner import Runner

    # ray.init installs handlers of its own, so ours are installed after it.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    database = Database(settings.database_url)
    log.info("ready: runner %s", settings.name)
    try:
        cluster = shared_cluster(settings)
        with scratch_folder(), Presence(settings, database, cluster, ray_resources):
            Runner(settings, database, stopping, cluster=cluster).run_forever()
    finally:
        database.dispose()
        ray.shutdown()


def shared_cluster(settings: WorkerSettings) -> str | None:
    """Return the address of the cluster that this process has connected to; None for a local Ray."""
    return None if settings.ray_address is None else str(ray.get_runtime_context().gcs_address)


def start_ray(settings: WorkerSettings) -> None:
    """Connect to the cluster at ``settings.ray_address``, or start a local Ray that listens on loopback only."""
    options: dict[str, Any] = {
        "log_to_driver": False,
        "logging_level": logging.WARNING,
        "namespace": "safs",
        "job_config": job_config(),
    }
    if settings.ray_address is not None:
        ray.init(settings.ray_address, **options)
    else:
        start_local_ray(settings.local_cpus, settings.worker_niceness, **options)
