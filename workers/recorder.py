"""The runner's ``report``: events, trials, stage and progress go to SQL in batches, from a thread of their own."""

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
"""Events of this long are written in one transaction: the dispatcher must not wait for a disk."""
RETRY_S = 1.0


class Recorder:
    """Writes what it is told while the block runs; all of it is written when the block has ended, and once.

    There is one to an attempt at a job.

    Args:
        tracker: folds the events into the progress that the job's row shows.
        check: called at every event, raises when the run must end (cancelled, lease lost, shutting down).
    """

    def __init__(self, database: Database, lease: Lease, tracker: Tracker, check: Callable[[], None]) -> None:
        self._database, self._lease = database, lease
        self._tracker, self.check = tracker, check
        self._told: SimpleQueue[tuple[Event, float] | None] = SimpleQueue()
        self._failure: Exception | None = None
        self._batches = 0
        self._thread = Thread(target=copy_context().run, args=(self._work,), name="recorder", daemon=True)
        self.stage: str | None = None
        """The stage that began last."""

    def __enter__(self) -> "Recorder":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._told.put(None)
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
        self._told.put((event, time.time()))

    def _work(self) -> None:
        ended = False
        try:
            while not ended:
                batch, ended = self._collect()
                if batch:
                    self._write_until_done(batch)
        except Exception as error:  # Told by the next event, or when the block ends: no event is lost in silence.
            self._failure = error

    def _collect(self) -> tuple[list[tuple[Event, float]], bool]:
        """The events of ``BATCH_S`` seconds from the first, and whether that was the last of them."""
        batch: list[tuple[Event, float]] = []
        item = self._told.get()
        until = time.monotonic() + BATCH_S
        while item is not None:
            batch.append(item)
            try:
                item = self._told.get(timeout=max(until - time.monotonic(), 0.0))
            except Empty:
                return batch, False
        return batch, True

    def _write_until_done(self, batch: list[tuple[Event, float]]) -> None:
        """One transaction, tried again while the database is away; the heartbeat ends the run if that takes long."""
        for event, at_s in batch:
            progress = self._tracker.tell(event, at_s)
        self._batches += 1
        has_outcome = any(isinstance(event, TrialDone) for event, _ in batch)
        while True:
            try:
                with self._database.begin() as tx:
                    # A connection that was lost in the commit before may have been lost after it.
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
                log.warning("job %s: events could not be written yet: %s", self._lease.job_id, error)
                try:
                    self.check()
                except Exception:
                    log.warning("job %s: %d events are dropped, the run has ended", self._lease.job_id, len(batch))
                    raise  # Or a job could succeed without them.
                time.sleep(RETRY_S)


def _log_trial(event: TrialDone) -> None:
    where, error = {"stage": event.stage.value, "trial": event.candidate.number}, event.outcome.error
    level, end = (logging.DEBUG, "done") if error is None else (logging.WARNING, f"failed: {error}")
    log.log(level, "trial %d of stage %s %s", event.candidate.number, event.stage.value, end, extra=where)


def _write(tx: Transaction, lease: Lease, event: Event) -> None:
    events.append(tx, lease, event_kind(event), event_data(event))
    match event:
        case StageStarted(stage):
            attempts.set_stage(tx, lease, stage.value)
        case TrialStarted(stage, candidate):
            trials.record_started(tx, lease, stage.value, candidate.number, **stored_candidate(candidate))
        case TrialDone(stage, candidate, outcome, recalled):
            other = None if recalled in (None, EARLIER_ATTEMPT, THIS_JOB) else recalled
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
                recalled=other,
            )
            if other is not None:
                attempts.note_reuse(tx, lease, stage.value, other)
        case WorkerLost(_, trial, seconds):
            attempts.note_lost_worker(tx, lease, 0 if trial is None else 1, seconds)
        case _:
            pass
