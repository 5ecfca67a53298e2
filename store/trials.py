"""The trials of a job's searches and trainings, with their learning curves."""

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite

from sqlalchemy import ColumnElement, and_, bindparam, delete, insert, select

from store.clock import now
from store.errors import TrialNotFound
from store.leases import hold
from store.records import CurvePoint, FinishedTrial, Json, Lease, Trial, TrialOutcome, TrialState
from store.rows import TRIAL_COLUMNS, trial_from
from store.session import Transaction
from store.tables import trial_epochs, trials
from store.upsert import insert_or_update

_POINT = tuple(trial_epochs.c[name] for name in CurvePoint.__slots__)
_NO_OUTCOME: Json = dict.fromkeys([*TrialOutcome.__slots__, "recalled", "finished_at"])
_FINISHED = trials.c.state.in_((TrialState.DONE, TrialState.FAILED))


def record_started(
    tx: Transaction,
    lease: Lease,
    stage: str,
    number: int,
    *,
    config: Json,
    epochs: int,
    seed: int,
    horizon: int | None = None,
    continues: int | None = None,
) -> None:
    """Record that a trial is running, replacing what an earlier attempt of the job has stored under this number."""
    hold(tx, lease)
    _replace_curve(tx, lease.job_id, stage, number, ())
    row = {"job_id": lease.job_id, "stage": stage, "number": number, "config": config, "epochs": epochs, "seed": seed}
    row |= {"horizon": horizon, "continues": continues}
    insert_or_update(tx, trials, row | {"state": TrialState.RUNNING, "started_at": now()} | _NO_OUTCOME)


def record_done(
    tx: Transaction,
    lease: Lease,
    stage: str,
    number: int,
    *,
    config: Json,
    epochs: int,
    seed: int,
    horizon: int | None = None,
    continues: int | None = None,
    outcome: TrialOutcome,
    curve: Sequence[CurvePoint] = (),
    recalled: str | None = None,
) -> None:
    """Record the outcome of a trial, whether or not its start was recorded. Idempotent.

    Args:
        recalled: id of the other job that ran the trial; None if this job ran it.
    """
    hold(tx, lease)
    row = {"job_id": lease.job_id, "stage": stage, "number": number, "config": config, "epochs": epochs, "seed": seed}
    row |= {"horizon": horizon, "continues": continues, "recalled": recalled}
    state = TrialState.DONE if outcome.error is None else TrialState.FAILED
    insert_or_update(tx, trials, row | {"state": state, "finished_at": now()} | _finite(asdict(outcome)))
    _replace_curve(tx, lease.job_id, stage, number, curve)


def get(tx: Transaction, job_id: str, stage: str, number: int) -> Trial:
    """The trial; raises ``TrialNotFound``."""
    row = tx.execute(_ONE, {"job_id": job_id, "stage": stage, "number": number}).one_or_none()
    if row is None:
        raise TrialNotFound(f"job {job_id!r} has no trial {number} in stage {stage!r}")
    return trial_from(row)


def curve(tx: Transaction, job_id: str, stage: str, number: int) -> tuple[CurvePoint, ...]:
    """The epochs of a trial in order, empty until the trial is done; raises ``TrialNotFound``."""
    rows = tx.execute(_CURVE, {"job_id": job_id, "stage": stage, "number": number}).all()
    if not rows:
        get(tx, job_id, stage, number)
    return tuple(CurvePoint(*row) for row in rows)


# Frequent statements are built once: building one takes longer than running it.
_ONE = select(*TRIAL_COLUMNS).where(
    *(trials.c[name] == bindparam(name) for name in ("job_id", "stage", "number")),
)
_CURVE = (
    select(*_POINT)
    .where(*(trial_epochs.c[name] == bindparam(name) for name in ("job_id", "stage", "number")))
    .order_by(trial_epochs.c.epoch)
)


def finished(tx: Transaction, job_id: str, stage: str) -> tuple[FinishedTrial, ...]:
    """The done and failed trials of a stage with their curves, in the order of their numbers.

    A search is resumed from them. Interrupted trials are left out, since they have no outcome.
    """
    of_stage = and_(trials.c.job_id == job_id, trials.c.stage == stage, _FINISHED)
    query = select(*TRIAL_COLUMNS).where(of_stage).order_by(trials.c.number)
    found = [trial_from(row) for row in tx.execute(query)]
    columns = [trial_epochs.c.number, *_POINT]
    epochs = select(*columns).where(trial_epochs.c.job_id == job_id, trial_epochs.c.stage == stage)
    curves: dict[int, list[CurvePoint]] = {}
    for number, *values in tx.execute(epochs.order_by(trial_epochs.c.number, trial_epochs.c.epoch)):
        curves.setdefault(number, []).append(CurvePoint(*values))
    return tuple(FinishedTrial(trial, tuple(curves.get(trial.number, ()))) for trial in found)


def is_finished(tx: Transaction, job_id: str, stage: str, number: int) -> bool:
    """True if the trial is done or failed."""
    which = and_(trials.c.job_id == job_id, trials.c.stage == stage, trials.c.number == number, _FINISHED)
    return tx.execute(select(trials.c.number).where(which)).one_or_none() is not None


def _replace_curve(tx: Transaction, job_id: str, stage: str, number: int, curve: Sequence[CurvePoint]) -> None:
    tx.execute(delete(trial_epochs).where(_epochs_of(job_id, stage, number)))
    key = {"job_id": job_id, "stage": stage, "number": number}
    if curve:
        tx.execute(insert(trial_epochs), [key | _finite(asdict(point)) for point in curve])


def _epochs_of(job_id: str, stage: str, number: int) -> ColumnElement[bool]:
    epochs = trial_epochs.c
    return and_(epochs.job_id == job_id, epochs.stage == stage, epochs.number == number)


def _finite(values: Json) -> Json:
    """``values`` with None for NaN and infinities, which JSON cannot represent."""
    return {name: None if isinstance(value, float) and not isfinite(value) else value for name, value in values.items()}
