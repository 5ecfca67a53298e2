"""Metrics for Prometheus: the requests of this process, and the state of the service from the database."""

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

CACHED_S = 5.0
"""Seconds that metrics from the database are cached."""
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Label values for methods. Other methods count as OTHER, so that clients cannot create label values."""
NO_ROUTE = "none"
"""Label of requests whose path matches no route."""
_TOTALS = {
    "trial_count": ("safs_trials", "Trials run to their end."),
    "trial_seconds": ("safs_trial_seconds", "Seconds spent in these trials."),
    "gpu_seconds": ("safs_gpu_seconds", "GPU-seconds of these trials: seconds times the GPU fraction of each."),
    "runners_lost": ("safs_runners_lost", "Faults survived: runners whose lease expired during a job."),
    "workers_lost": ("safs_workers_lost", "Faults survived: Ray workers lost during a job."),
    "trials_repeated": ("safs_trials_repeated", "Faults survived: trials interrupted and run again."),
    "seconds_lost": ("safs_seconds_lost", "Faults survived: wall time spent again."),
}


class Metrics:
    """The metrics of one app, shown at ``/metrics``.

    Args:
        artifacts: folder whose free disk space is reported.
        listeners: returns the number of open event streams.
    """

    def __init__(self, database: Database, artifacts: Path, listeners: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "safs_request_seconds",
            "Seconds until the response began, by method, route template and status.",
            ("method", "route", "status"),
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        streams = Gauge("safs_event_streams", "Open event streams.", registry=self._registry)
        streams.set_function(listeners)
        free = Gauge("safs_disk_free_bytes", "Free bytes on the disk of the artifacts.", registry=self._registry)
        free.set_function(lambda: free_bytes(artifacts))
        self._registry.register(_DatabaseCollector(database))
        ProcessCollector(registry=self._registry)

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request. ``route`` is the route's template, or ``NO_ROUTE``."""
        method = method if method in METHODS else "OTHER"
        self._requests.labels(method, route, str(status)).observe(seconds)

    def render(self) -> bytes:
        """All metrics in Prometheus's text format, version 0.0.4."""
        return generate_latest(self._registry)


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk of ``folder``, or of its nearest existing parent."""
    return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free


class _DatabaseCollector(Collector):
    """Statistics from the database, read when scraped and cached for ``CACHED_S``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()
        self._read_at_s = float("-inf")
        self._cached: Statistics | None = None

    def describe(self) -> Iterable[Metric]:
        """No metrics, so that registering does not read the database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        found = self._recent()
        yield GaugeMetricFamily(
            "safs_database_up", "1 if the database is reachable, 0 otherwise.", value=found is not None
        )
        if found is not None:
            yield from _families(found)

    def _recent(self) -> Statistics | None:
        with self._lock:
            if time.monotonic() - self._read_at_s > CACHED_S:
                self._cached = self._read()
                self._read_at_s = time.monotonic()
            return self._cached

    def _read(self) -> Statistics | None:
        try:
            with self._database.read() as tx:
                return statistics.read(tx)
        except StoreError as error:
            _log.error("/metrics lacks the database's metrics: %s", error)
            return None


def _families(found: Statistics) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("safs_jobs", "Jobs by state.", labels=("state",))
    for state, count in found.jobs.items():
        jobs.add_metric((state.value,), count)
    yield jobs
    ended = CounterMetricFamily("safs_jobs_ended", "Jobs that have ended, including deleted jobs.", labels=("state",))
    for state, count in found.ended.items():
        ended.add_metric((state.value,), count)
    yield ended
    queued = found.jobs[JobState.QUEUED]
    yield GaugeMetricFamily("safs_queue_depth", "Jobs waiting for a runner.", value=queued)
    yield GaugeMetricFamily(
        "safs_queue_oldest_seconds", "Age of the job that is next in the queue.", value=found.oldest_queued_s
    )
    yield GaugeMetricFamily("safs_leases_late", "Running jobs whose lease has expired.", value=found.late_leases)
    lost = "Leases that a runner found lost."
    yield CounterMetricFamily("safs_lease_losses", lost, value=found.lease_losses)
    for name, (metric, meaning) in _TOTALS.items():
        yield CounterMetricFamily(metric, meaning, value=found.totals[name])
    yield GaugeMetricFamily("safs_artifacts", "Stored files of results, stages and uploads.", value=found.artifacts)
    yield GaugeMetricFamily("safs_artifacts_bytes", "Bytes of the stored files.", value=found.artifacts_bytes)
