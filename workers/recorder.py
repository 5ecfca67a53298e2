"""The ``report`` callback of a runner: writes events, trials, stage and progress to SQL in batches, from a thread."""

import logging
import time
from collections.abc import Callable
from contextvars import copy_context
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType

from safs.events.kinds import Event, Pulse, StageStarted, TrialDone, TrialStarted, WorkerLost, event_data, event_kind
from safs.events.progress import Tracker
from safs.execution.executor import EARLIER_ATTEMPT
from safs.reuse.cached_executor import THIS_JOB
from store import attempts, events, trials
from store.crash_points import reach
from store.errors import DatabaseUnavailable
from store.records import Lease
from store.session import Database, Transaction
from workers.trial_records import stored_candidate, stored_curve, stored_outcome

log = logging.getLogger(__name__)

BATCH_S = 0.25
"""Seconds of events that one transaction holds. The thread that reports never waits for the database."""
RETRY_S = 1.0
"""Seconds between two attempts to write a batch while the database is away."""


class Recorder:
    """Writes every reported event exactly once; all are written when the ``with`` block ends without an error.

    Each attempt at a job has a recorder of its own.

    Args:
        tracker: folds the events into the progress in the job's row.
        check: called at every event; raises if the run must end (cancelled, lease lost, shutting down).
    """

    def __init__(self, database: Database, lease: Lease, tracker: Tracker, check: Callable[[], None]) -> None:
        self._database, self._lease = database, lease
        self._tracker, self.check = tracker, check
        self._queue: SimpleQueue[tuple[Event, float] | None] = SimpleQueue()
        self._failure: Exception | None = None
        self._batches = 0
        self._thread = Thread(target=copy_context().run, args=(self._run,), name="recorder", daemon=True)
        self.stage: str | None = None
        """The stage that started last; None before the first."""

    def __enter__(self) -> "Recorder":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._queue.put(None)
        self._thread.join()
        if error is None and self._failure is not None:
            raise self._failure

    def __call__(self, event: Event) -> None:
        self.check()
        if self._failure is not None:
            raise self._failure
        if isinstance(event, Pulse):
            return
        if isinstance(event, StageStarted):
            self.stage = event.stage.value
        if isinstance(event, TrialDone):
            _log_trial(event)
        self._queue.put((event, time.time()))

    def _run(self) -> None:
        ended = False
        try:
            while not ended:
                batch, ended = self._collect()
                if batch:
                    self._write_until_done(batch)
        except Exception as error:  # Raised at the next event or when the block ends, so no event is lost silently.
            self._failure = error

    def _collect(self) -> tuple[list[tuple[Event, float]], bool]:
        """Return the events of the next ``BATCH_S`` seconds, and True if no more will come."""
        batch: list[tuple[Event, float]] = []
        item = self._queue.get()
        until = time.monotonic() + BATCH_S
        while item is not None:
            batch.append(item)
            try:
                item = self._queue.get(timeout=max(until - time.monotonic(), 0.0))
            except Empty:
                return batch, False
        return batch, True

    def _write_until_done(self, batch: list[tuple[Event, float]]) -> None:
        """Write the batch in one transaction; retry while the database is away and ``check`` allows it."""
        for event, at_s in batch:
            progress = self._tracker.update(event, at_s)
        self._batches += 1
        has_outcome = any(isinstance(event, TrialDone) for event, _ in batch)
        while True:
            try:
                with self._database.begin() as tx:
                    # If the connection broke during the last commit, the batch may have been written already.
                    if not attempts.begin_batch(tx, self._lease, self._batches):
                        return
                    for event, _ in batch:
                        _write(tx, self._lease, event)
                    attempts.set_progress(tx, self._lease, progress.as_json())
                    if has_outcome:
                        reach("outcome.before_commit")
                if has_outcome:
                    reach("outcome.after_commit")
                return
            except DatabaseUnavailable as error:
                log.warning("job %s: the events cannot be written yet: %s", self._lease.job_id, error)
                try:
                    self.check()
                except Exception:
                    log.warning("job %s: %d events are dropped, the run has ended", self._lease.job_id, len(batch))
                    raise  # Otherwise the job could succeed without these events.
                time.sleep(RETRY_S)


def _log_trial(event: TrialDone) -> None:
    fields, error = {"stage": event.stage.value, "trial": event.candidate.number}, event.outcome.error
    level, end = (logging.DEBUG, "done") if error is None else (logging.WARNING, f"failed: {error}")
    log.log(level, "trial %d of stage %s %s", event.candidate.number, event.stage.value, end, extra=fields)


def _write(tx: Transaction, lease: Lease, event: Event) -> None:
    events.append(tx, lease, event_kind(event), event_data(event))
    match event:
        case StageStarted(stage):
            attempts.set_stage(tx, lease, stage.value)
        case TrialStarted(stage, candidate):
            trials.record_started(tx, lease, stage.value, candidate.number, **stored_candidate(candidate))
        case TrialDone(stage, candidate, outcome, recalled):
            other_job = None if recalled in (None, EARLIER_ATTEMPT, THIS_JOB) else recalled
            if recalled == EARLIER_ATTEMPT and trials.is_finished(tx, lease.job_id, stage.value, candidate.number):
                return
            trials.record_done(
                tx,
                lease,
                stage.value,
                candidate.number,
                **stored_candidate(candidate),
                outcome=stored_outcome(outcome),
                curve=stored_curve(outcome),
                recalled=other_job,
            )
            if other_job is not None:
                attempts.note_reuse(tx, lease, stage.value, other_job)
        case WorkerLost(_, trial, seconds):
            attempts.note_lost_worker(tx, lease, 0 if trial is None else 1, seconds)
        case _:
            pass
