"""A runner in a process of its own, connected to a Ray that another process has started."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import ray

from store.session import Database
from workers.on_ray.local_ray import _loopback_only
from workers.process import shared_cluster, start_ray
from workers.runner import Runner
from workers.settings import WorkerSettings


@contextmanager
def second_runner(settings: WorkerSettings, url: str) -> Iterator[multiprocessing.process.BaseProcess]:
    """Start a process that runs one job; it is killed if it is still alive after the block."""
    process = multiprocessing.get_context("spawn").Process(target=_run_one, args=(settings, url))
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def _run_one(settings: WorkerSettings, url: str) -> None:
    with (
        _loopback_only()
    ):  # Otherwise Ray replaces 127.0.0.1 by the machine's address, where the first does not listen.
        start_ray(settings)
    database = Database(url)
    try:
        assert Runner(settings, database, Event(), cluster=shared_cluster(settings)).run_one()
    finally:
        database.dispose()
        ray.shutdown()
