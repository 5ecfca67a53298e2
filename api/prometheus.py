"""Metrics for Prometheus: requests as this process saw them, and the state of the service as the database has it."""

import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Lock

from prometheus_client import CollectorRegistry, Gauge, Histogram, Metric, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from store import statistics
from store.errors import StoreError
from store.records import JobState
from store.session import Database
from store.statistics import Statistics

_log = logging.getLogger(__name__)

KEPT_S = 5.0
"""Who scrapes more often than this is told the same of the database again."""
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Any other is counted as OTHER: a caller must not make label values."""
NO_ROUTE = "none"
_TOTALS = {
    "trial_count": ("safs_trials", "Trials that were run to their end."),
    "trial_seconds": ("safs_trial_seconds", "Seconds that these trials took."),
    "gpu_seconds": ("safs_gpu_seconds", "Seconds that they took, times the share of a GPU that each had."),
    "runners_lost": ("safs_runners_lost", "Faults survived: runners that stopped answering in the middle of a job."),
    "workers_lost": ("safs_workers_lost", "Faults survived: Ray workers that were lost while a runner went on."),
    "trials_repeated": ("safs_trials_repeated", "Faults survived: trials that were cut short and run again."),
    "seconds_lost": ("safs_seconds_lost", "Faults survived: wall time that had to be spent again."),
}


class Metrics:
    """What ``/metrics`` shows; one for each app.

    Args:
        artifacts: the folder whose disk is watched.
        listeners: how many streams of events are open.
    """

    def __init__(self, database: Database, artifacts: Path, listeners: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "safs_request_seconds",
            "Time until a request's answer began, by the route's template.",
            ("method", "route", "status"),
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        streams = Gauge("safs_event_streams", "Streams of events that are open.", registry=self._registry)
        streams.set_function(listeners)
        free = Gauge("safs_disk_free_bytes", "Bytes that are left where the artifacts are.", registry=self._registry)
        free.set_function(lambda: free_bytes(artifacts))
        self._registry.register(_FromDatabase(database))
        ProcessCollector(registry=self._registry)

    def note_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts a request that was answered; ``route`` is the template, ``NO_ROUTE`` if its path has none."""
        method = method if method in METHODS else "OTHER"
        self._requests.labels(method, route, str(status)).observe(seconds)

    def render(self) -> bytes:
        """All of it in Prometheus's text format, version 0.0.4."""
        return generate_latest(self._registry)


def free_bytes(folder: Path) -> int:
    """What is left on the disk of ``folder``, or, if that is not there yet, where it would be made."""
    return shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free


class _FromDatabase(Collector):
    """Reads the statistics when it is scraped, at most once in ``KEPT_S``; says so if the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()
        self._read_at_s = float("-inf")
        self._found: Statistics | None = None

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering reads no database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        found = self._recent()
        yield GaugeMetricFamily("safs_database_up", "Whether the database answered.", value=found is not None)
        if found is not None:
            yield from _families(found)

    def _recent(self) -> Statistics | None:
        with self._lock:
            if time.monotonic() - self._read_at_s > KEPT_S:
                self._found = self._read()
                self._read_at_s = time.monotonic()
            return self._found

    def _read(self) -> Statistics | None:
        try:
            with self._database.read() as tx:
                return statistics.read(tx)
        except StoreError as error:
            _log.error("metrics are incomplete: %s", error)
            return None


def _families(found: Statistics) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("safs_jobs", "Jobs by state.", labels=("state",))
    for state, count in found.jobs.items():
        jobs.add_metric((state.value,), count)
    yield jobs
    ended = CounterMetricFamily("safs_jobs_ended", "Jobs that have ended, deleted ones too.", labels=("state",))
    for state, count in found.ended.items():
        ended.add_metric((state.value,), count)
    yield ended
    queued = found.jobs[JobState.QUEUED]
    yield GaugeMetricFamily("safs_queue_depth", "Jobs that wait for a runner.", value=queued)
    yield GaugeMetricFamily("safs_queue_oldest_seconds", "Age of the job that is next.", value=found.oldest_queued_s)
    yield GaugeMetricFamily("safs_leases_late", "Jobs whose runner is silent too long.", value=found.late_leases)
    lost = "Times that a runner learnt that its job was no longer its own."
    yield CounterMetricFamily("safs_lease_losses", lost, value=found.lease_losses)
    for name, (metric, meaning) in _TOTALS.items():
        yield CounterMetricFamily(metric, meaning, value=found.totals[name])
    yield GaugeMetricFamily("safs_artifacts", "Files of results, stages and uploads.", value=found.artifacts)
    yield GaugeMetricFamily("safs_artifacts_bytes", "Their size.", value=found.artifacts_bytes)
