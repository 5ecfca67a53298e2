"""Expired and unreferenced rows: the conditions that select them, and their deletion in batches.

Each function that deletes does a bounded amount of work in the caller's transaction and returns the number of deleted
rows; 0 means that nothing is left. Two of them can run at the same time, and beside everything else in the service:

- a job is deleted in parts, its row last; its totals are added to ``counters`` in the same transaction as the row;
- an upload that a job is being submitted with is locked by ``uploads.lock``, and skipped;
- an artifact that is being registered is locked by ``stored_files.register``, and no longer old afterwards.

PostgreSQL evaluates a statement's conditions on a snapshot from the beginning of the statement. So one statement locks
the rows, and the next checks them again: it sees everything that was committed before the lock was granted.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, tuple_, update

from store import counters, owner_limits
from store.clock import now, seconds_from_now
from store.records import FINAL_STATES, JobState
from store.session import Transaction
from store.statistics import TOTALS
from store.tables import (
    artifacts,
    events,
    idempotency_keys,
    incoming_uploads,
    job_artifacts,
    jobs,
    stage_outputs,
    trials,
    upload_parts,
    uploads,
)

DAY_S = 86_400.0

_TRIALS_AT_ONCE = 20
_ROWS_AT_ONCE = 500


def old_jobs(tx: Transaction, days: float) -> ColumnElement[bool]:
    """SQL: the job ended ``days`` ago, no unfinished job reuses its outputs, and no quota counts its GPU-hours."""
    counted = and_(jobs.c.owner.is_not(None), jobs.c.gpu_seconds > 0)
    return and_(
        jobs.c.state.in_(FINAL_STATES),
        jobs.c.finished_at <= seconds_from_now(-days * DAY_S),
        or_(~counted, jobs.c.finished_at <= seconds_from_now(-owner_limits.WINDOW_S)),
        jobs.c.id.not_in(_makers_in_use(tx)),
    )


def old_outputs(tx: Transaction, days: float) -> ColumnElement[bool]:
    """SQL: the stage output was made ``days`` ago, and no unfinished job made or reuses it."""
    unfinished = select(jobs.c.id).where(_unfinished())
    return and_(
        stage_outputs.c.created_at <= seconds_from_now(-days * DAY_S),
        stage_outputs.c.job_id.not_in(unfinished),
        stage_outputs.c.job_id.not_in(_makers_in_use(tx)),
    )


def old_uploads(days: float) -> ColumnElement[bool]:
    """SQL: the upload is ``days`` old, and no job refers to it."""
    fields = [jobs.c.spec[path].as_string() for path in (("model", "weights"), ("data", "upload"))]
    unnamed = [uploads.c.id.not_in(select(field).where(field.is_not(None))) for field in fields]
    return and_(uploads.c.created_at <= seconds_from_now(-days * DAY_S), *unnamed)


def old_answers() -> ColumnElement[bool]:
    """SQL: the idempotency key is older than a day."""
    return idempotency_keys.c.created_at <= seconds_from_now(-DAY_S)


def old_incoming() -> ColumnElement[bool]:
    """SQL: the upload in parts was begun more than a day ago."""
    return incoming_uploads.c.created_at <= seconds_from_now(-DAY_S)


def unreferenced_artifacts() -> ColumnElement[bool]:
    """SQL: the content was registered more than a day ago, and no row refers to it."""
    referring = (job_artifacts, stage_outputs, uploads, upload_parts)
    return and_(
        artifacts.c.created_at <= seconds_from_now(-DAY_S),
        *(~exists().where(table.c.sha256 == artifacts.c.sha256) for table in referring),
    )


def delete_part_of_a_job(tx: Transaction, days: float) -> tuple[int, int]:
    """Delete a part of the oldest expired job; returns the numbers of deleted (jobs, other rows).

    Trials with their curves are deleted first, then events, then the job itself. In the same transaction, the job's
    totals are added to the counters of the same names, and 1 to ``jobs_<state>``.
    """
    oldest = select(jobs.c.id).where(old_jobs(tx, days)).order_by(jobs.c.id).limit(1)
    job_id = tx.execute(oldest.with_for_update(skip_locked=True)).scalar_one_or_none()
    if job_id is None:
        return 0, 0
    rows = _delete_trials(tx, job_id) or _delete_events(tx, job_id)
    if rows:
        return 0, rows
    _restart_age(tx, stage_outputs.c.job_id == job_id)
    deletion = delete(jobs).where(jobs.c.id == job_id).returning(jobs.c.state, *(jobs.c[name] for name in TOTALS))
    row = tx.execute(deletion).mappings().one()
    totals = {name: float(row[name] or 0) for name in TOTALS}
    counters.add(tx, totals | {f"jobs_{JobState(row['state'])}": 1.0})
    return 1, 0


def delete_outputs(tx: Transaction, days: float) -> int:
    """Delete expired stage outputs; returns their number.

    Their content stays for another day, for jobs that have just looked it up.
    """
    keys = tx.execute(select(stage_outputs.c.key).where(old_outputs(tx, days)).limit(_ROWS_AT_ONCE)).scalars().all()
    which = stage_outputs.c.key.in_(keys)
    # The artifact before the stage output, in the order of ``outputs.save``; another order could deadlock.
    _restart_age(tx, which)
    return tx.execute(delete(stage_outputs).where(which)).rowcount


def delete_uploads(tx: Transaction, days: float) -> int:
    """Delete expired uploads; returns their number."""
    ids = _locked(tx, uploads.c.id, old_uploads(days))
    return tx.execute(delete(uploads).where(uploads.c.id.in_(ids), old_uploads(days))).rowcount


def delete_incoming(tx: Transaction) -> int:
    """Delete uploads in parts that were begun more than a day ago; returns their number. Their parts go with them."""
    ids = _locked(tx, incoming_uploads.c.id, old_incoming())
    return tx.execute(delete(incoming_uploads).where(incoming_uploads.c.id.in_(ids), old_incoming())).rowcount


def delete_answers(tx: Transaction) -> int:
    """Delete expired idempotency keys; returns their number."""
    key = tuple_(idempotency_keys.c.owner, idempotency_keys.c.key)
    few = select(idempotency_keys.c.owner, idempotency_keys.c.key).where(old_answers()).limit(_ROWS_AT_ONCE)
    return tx.execute(delete(idempotency_keys).where(key.in_(few))).rowcount


def find_unreferenced(tx: Transaction) -> Sequence[str]:
    """A batch of hashes of unreferenced artifacts.

    The search takes longer than the deletion, so it runs in a transaction of its own that only reads.
    """
    return tx.execute(select(artifacts.c.sha256).where(unreferenced_artifacts()).limit(_ROWS_AT_ONCE)).scalars().all()


def delete_unreferenced(tx: Transaction, hashes: Sequence[str]) -> int:
    """Delete those of the artifacts that are still unreferenced; returns their number. Their files become orphans."""
    found = _locked(tx, artifacts.c.sha256, and_(artifacts.c.sha256.in_(hashes), unreferenced_artifacts()))
    return tx.execute(delete(artifacts).where(artifacts.c.sha256.in_(found), unreferenced_artifacts())).rowcount


def known_artifacts(tx: Transaction, hashes: Sequence[str]) -> set[str]:
    """The subset of ``hashes`` that have a row."""
    found: set[str] = set()
    for begin in range(0, len(hashes), _ROWS_AT_ONCE):
        some = hashes[begin : begin + _ROWS_AT_ONCE]
        found.update(tx.execute(select(artifacts.c.sha256).where(artifacts.c.sha256.in_(some))).scalars())
    return found


def _locked(tx: Transaction, key: ColumnElement[str], which: ColumnElement[bool]) -> Sequence[str]:
    query = select(key).where(which).limit(_ROWS_AT_ONCE).with_for_update(skip_locked=True)
    return tx.execute(query).scalars().all()


def _restart_age(tx: Transaction, which: ColumnElement[bool]) -> None:
    """Makes the artifacts of these stage outputs new, so that they stay for another day."""
    content = artifacts.c.sha256.in_(select(stage_outputs.c.sha256).where(which))
    tx.execute(update(artifacts).where(content).values(created_at=now()))


def _delete_trials(tx: Transaction, job_id: str) -> int:
    few = select(trials.c.stage, trials.c.number).where(trials.c.job_id == job_id).limit(_TRIALS_AT_ONCE)
    which = tuple_(trials.c.stage, trials.c.number).in_(few)
    return tx.execute(delete(trials).where(trials.c.job_id == job_id, which)).rowcount


def _delete_events(tx: Transaction, job_id: str) -> int:
    first = select(func.min(events.c.number)).where(events.c.job_id == job_id).scalar_subquery()
    return tx.execute(delete(events).where(events.c.job_id == job_id, events.c.number < first + _ROWS_AT_ONCE)).rowcount


def _makers_in_use(tx: Transaction) -> Sequence[str]:
    """Ids of jobs whose stage outputs an unfinished job reuses."""
    reused = tx.execute(select(jobs.c.reused).where(_unfinished(), jobs.c.reused.is_not(None))).scalars()
    return sorted({maker for stages in reused for makers in stages.values() for maker in makers})


def _unfinished() -> ColumnElement[bool]:
    return jobs.c.state.in_([state for state in JobState if state not in FINAL_STATES])
