"""A runner as a process: with a Ray, until it is told to stop."""

import logging
import signal
from threading import Event
from types import FrameType
from typing import Any

import ray

from store.session import Database
from workers.on_ray.local_ray import start_local_ray
from workers.runner import Runner
from workers.settings import WorkerSettings

log = logging.getLogger(__name__)


def main(settings: WorkerSettings) -> None:
    """Connects to Ray and runs jobs until SIGTERM or SIGINT; a job in progress is handed back."""
    stopping = Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    start_ray(settings)
    # After Ray's start, which puts handlers of its own in place.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    database = Database(settings.database_url)
    log.info("ready: runner %s", settings.name)
    try:
        Runner(settings, database, stopping).run_forever()
    finally:
        database.dispose()
        ray.shutdown()


def start_ray(settings: WorkerSettings) -> None:
    """Connects to the cluster at ``ray_address``, or starts a Ray on this machine that listens on loopback alone."""
    # Tune looks for the log files of trials, which we do not write.
    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING, "namespace": "safs"}
    if settings.ray_address is not None:
        ray.init(settings.ray_address, **quiet)
    else:
        start_local_ray(settings.local_cpus, **quiet)
