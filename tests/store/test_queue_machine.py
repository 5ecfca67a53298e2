"""Queue, leases and states of jobs under any order of what happens to them, against a model in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from store import attempts, events, queue, trials
from store.errors import IncompatibleState, LeaseLost
from store.records import CurvePoint, JobError, JobState, Lease, TrialOutcome
from store.session import Database, Transaction
from tests.store.queue_model import FINAL, ModelJob, ModelQueue, ModelTrial, TrialKey

LONG_AGO = "2001-01-01T00:00:00.000Z"
WORKERS = st.sampled_from(["runner-1", "runner-2", "runner-3"])
STAGES = st.sampled_from(["activations", "tune"])
NUMBERS = st.integers(0, 2)
AGES = st.sampled_from([0, 0, 0, 1, 1, 2, 3])
SECONDS = st.sampled_from([0.25, 0.5, 2.0])  # Whose sums are exact in any order.
ENDS = st.sampled_from([JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])

Row: TypeAlias = dict[str, Any]
Write: TypeAlias = Callable[[Transaction], Any]


class QueueMachine(RuleBasedStateMachine):
    """Does to the store and to the model the same; they must never differ.

    Leases are kept for ever, and drawn by how many claims ago they were made: whatever is written under one that is
    stale must change nothing.
    """

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.database, self.model = database, ModelQueue()
        self.leases: list[Lease] = []
        self.ended: dict[str, Row] = {}
        self.finished: dict[tuple[str, str, int], Row] = {}
        with database.begin() as tx:
            tx.execute(text("DELETE FROM jobs"))

    @initialize()
    def begin(self) -> None:
        """Without a job in the hands of a runner, most rules have nothing to do."""
        self.set_out(2, "runner-1")

    @rule(max_attempts=st.integers(2, 3), worker=WORKERS)
    def set_out(self, max_attempts: int, worker: str) -> None:
        """A job, a runner, a trial that runs and one that is done."""
        self.submit(max_attempts)
        self.claim(worker)
        self.begin_trial(0, "tune", 0)
        self.end_trial(0, "tune", 1, 0.5, None, None)

    @rule(max_attempts=st.integers(1, 3))
    def submit(self, max_attempts: int) -> None:
        with self.database.begin() as tx:
            job = queue.submit(tx, {}, max_attempts=max_attempts)
        self.model.jobs[job.id] = ModelJob(job.id, max_attempts)

    @rule(worker=WORKERS)
    def claim(self, worker: str) -> None:
        with self.database.begin() as tx:
            found = queue.claim(tx, worker, lease_s=3600)
        self.model.settle()
        expected = self.model.next()
        assert (found and found.job.id) == (expected and expected.id)
        if found is not None and expected is not None:
            expected.take(worker, found.lease.token)
            self.leases.append(found.lease)

    @rule(age=AGES)
    def expire(self, age: int) -> None:
        lease = self._lease(age)
        with self.database.begin() as tx:
            silent = text("UPDATE jobs SET lease_expires_at = :at WHERE lease_token = :token")
            tx.execute(silent, {"at": LONG_AGO, "token": lease.token})
        if (job := self.model.holder(lease.token)) is not None:
            job.expired = True

    @rule(age=AGES, worker=WORKERS)
    def take_over(self, age: int, worker: str) -> None:
        self.expire(age)
        self.claim(worker)

    @rule(age=AGES)
    def renew(self, age: int) -> None:
        lease = self._lease(age)

        def renewed(tx: Transaction) -> None:
            assert queue.renew(tx, lease, 3600) == (state == "cancelling")

        job = self.model.holder(lease.token)
        state = job.state if job is not None else None
        if self._write(lease, renewed) is not None and job is not None:
            job.expired = False

    @rule(age=AGES, stage=STAGES)
    def enter_stage(self, age: int, stage: str) -> None:
        lease = self._lease(age)
        if job := self._write(lease, lambda tx: attempts.set_stage(tx, lease, stage, {"epoch": 0})):
            job.stage = stage

    @rule(age=AGES)
    def tell(self, age: int) -> None:
        lease = self._lease(age)
        if job := self._write(lease, lambda tx: events.append(tx, lease, "note", {})):
            job.event_count += 1

    @rule(age=AGES, gpus=st.sampled_from([0.25, 1.0]))
    def pin_gpus(self, age: int, gpus: float) -> None:
        lease = self._lease(age)
        if job := self._write(lease, lambda tx: attempts.pin_gpus(tx, lease, gpus)):
            job.gpus_per_trial = gpus

    @rule(age=AGES, version=st.sampled_from(["old", "new"]))
    def pin_program(self, age: int, version: str) -> None:
        lease = self._lease(age)

        def pinned(tx: Transaction) -> None:
            assert attempts.pin_program(tx, lease, version) == changes

        holder = self.model.holder(lease.token)
        changes = holder is not None and holder.program not in (None, version)
        if job := self._write(lease, pinned):
            job.program = version
            if changes:
                job.trials.clear()
                self.finished = {key: row for key, row in self.finished.items() if key[0] != job.id}

    @rule(age=AGES, stage=STAGES, number=NUMBERS)
    def begin_trial(self, age: int, stage: str, number: int) -> None:
        lease = self._lease(age)
        if self._is_finished(lease, (stage, number)):
            return  # No runner does that: it takes what was found.

        def begun(tx: Transaction) -> None:
            trials.record_started(tx, lease, stage, number, config={}, epochs=1, seed=0)

        if job := self._write(lease, begun):
            job.trials[stage, number] = ModelTrial()

    @rule(
        age=AGES,
        stage=STAGES,
        number=NUMBERS,
        seconds=SECONDS,
        error=st.none() | st.just("diverged"),
        recalled=st.none() | st.just("job_other"),
    )
    def end_trial(
        self, age: int, stage: str, number: int, seconds: float, error: str | None, recalled: str | None
    ) -> None:
        lease = self._lease(age)
        if self._is_finished(lease, (stage, number)):
            return  # As above.

        def ended(tx: Transaction) -> None:
            outcome = TrialOutcome(0.5, seconds=seconds, error=error)
            curve = [CurvePoint(1, *[0.5] * 5)]
            of_trial: Row = {"config": {}, "epochs": 1, "seed": 0, "outcome": outcome, "curve": curve}
            trials.record_done(tx, lease, stage, number, **of_trial, recalled=recalled)

        if job := self._write(lease, ended):
            job.trials[stage, number] = ModelTrial("done" if error is None else "failed", seconds, recalled)

    @rule(age=AGES, number=st.integers(1, 2))
    def begin_batch(self, age: int, number: int) -> None:
        lease = self._lease(age)

        def begun(tx: Transaction) -> None:
            assert attempts.begin_batch(tx, lease, number) == is_new

        holder = self.model.holder(lease.token)
        is_new = holder is not None and number > holder.batch
        if job := self._write(lease, begun):
            job.batch = max(job.batch, number)

    @rule(age=AGES)
    def lose_worker(self, age: int) -> None:
        lease = self._lease(age)
        if job := self._write(lease, lambda tx: attempts.note_lost_worker(tx, lease, 2, 1.5)):
            job.workers_lost, job.trials_repeated = job.workers_lost + 1, job.trials_repeated + 2

    @rule(age=AGES)
    def hand_back(self, age: int) -> None:
        lease = self._lease(age)
        if job := self._write(lease, lambda tx: queue.release(tx, lease)):
            job.hand_back()

    @rule(age=AGES, state=ENDS)
    def finish(self, age: int, state: JobState) -> None:
        lease = self._lease(age)
        error = JobError("training_failed", "it diverged") if state is JobState.FAILED else None
        result = {"gain": 0.1} if state is JobState.SUCCEEDED else None
        if job := self._write(lease, lambda tx: queue.finish(tx, lease, state, result=result, error=error)):
            job.end(state)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if not self.model.jobs:
            return
        job = self.model.jobs[data.draw(st.sampled_from(sorted(self.model.jobs)))]
        if job.state in FINAL:
            with pytest.raises(IncompatibleState), self.database.begin() as tx:
                queue.request_cancel(tx, job.id)
            return
        with self.database.begin() as tx:
            queue.request_cancel(tx, job.id)
        if job.state == "queued":
            job.end("cancelled")
        else:
            job.state = "cancelling"

    @invariant()
    def store_and_model_agree(self) -> None:
        """One look at all rows after each step."""
        look = self._look()
        self._check_rows(look)
        self._check_events(look)
        self._check_what_has_ended(look)

    def _check_rows(self, look: "Look") -> None:
        """Every job and trial is as the model says: one lease at most, attempts capped, totals right."""
        assert sorted(look.jobs) == list(self.model.jobs)
        for job in self.model.jobs.values():
            expected = job.columns()
            assert {name: look.jobs[job.id][name] for name in expected} == expected
        found = {key: (row["state"], row["seconds"], row["recalled"]) for key, row in look.trials.items()}
        assert found == {
            (job.id, *key): (trial.state, trial.seconds, trial.recalled)
            for job in self.model.jobs.values()
            for key, trial in job.trials.items()
        }

    def _check_events(self, look: "Look") -> None:
        """1, 2, ... for each job, as many as its counter says."""
        numbers = [(job.id, number) for job in self.model.jobs.values() for number in range(1, job.event_count + 1)]
        assert look.events == numbers

    def _check_what_has_ended(self, look: "Look") -> None:
        """Rows of ended jobs and of finished trials stay as they were, to the last column."""
        assert self.ended.items() <= look.jobs.items()
        assert self.finished.items() <= look.trials.items()
        self.ended = {key: row for key, row in look.jobs.items() if row["state"] in FINAL}
        self.finished = {key: row for key, row in look.trials.items() if row["state"] in ("done", "failed")}

    def _write(self, lease: Lease, write: Write) -> ModelJob | None:
        """Writes under the lease; the job if that is its own, None if it was refused and has changed nothing."""
        job = self.model.holder(lease.token)
        if job is None:
            with pytest.raises(LeaseLost), self.database.begin() as tx:
                write(tx)
            return None
        with self.database.begin() as tx:
            write(tx)
        return job

    def _lease(self, age: int) -> Lease:
        """The lease of so many claims ago."""
        return self.leases[max(-1 - age, -len(self.leases))]

    def _is_finished(self, lease: Lease, key: TrialKey) -> bool:
        job = self.model.holder(lease.token)
        return job is not None and key in job.trials and job.trials[key].is_finished

    def _look(self) -> "Look":
        with self.database.read() as tx:
            jobs, of_trials, points = (
                [dict(row) for row in tx.exec_driver_sql(f"SELECT * FROM {table}").mappings()]
                for table in ("jobs", "trials", "trial_epochs")
            )
            told = tx.exec_driver_sql("SELECT job_id, number FROM events ORDER BY job_id, number").all()
        curves = {_key(row): row for row in points}
        return Look(
            {row["id"]: row for row in jobs},
            {_key(row): row | {"curve": curves.get(_key(row))} for row in of_trials},
            [(row.job_id, row.number) for row in told],
        )


@dataclass(frozen=True)
class Look:
    """The rows of the database."""

    jobs: dict[str, Row]
    trials: dict[tuple[str, str, int], Row]
    events: list[tuple[str, int]]


def _key(row: Row) -> tuple[str, str, int]:
    return row["job_id"], row["stage"], row["number"]


def test_no_order_of_events_brings_the_queue_into_a_state_that_it_must_not_have(database: Database) -> None:
    run_state_machine_as_test(
        lambda: QueueMachine(database),
        settings=settings(
            max_examples=15, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
