"""All trials of a job, column by column: for charts and tables that need thousands of trials at once."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, select

from store.records import Json
from store.session import Transaction
from store.tables import trials
from store.trial_pages import STAGES

NAMES = (
    "stage",
    "number",
    "state",
    "config",
    "epochs",
    "seed",
    "horizon",
    "continues",
    "loss",
    "accuracy",
    "cross_entropy",
    "best_epoch",
    "seconds",
    "error",
    "left",
    "recalled",
    "started_at",
    "finished_at",
)
"""The columns of ``read``, in the order of a row."""

_ROWS = select(*(trials.c[name] for name in NAMES)).where(trials.c.job_id == bindparam("job_id"))
_OF_STAGE = _ROWS.where(trials.c.stage == bindparam("stage"))
_IN_ORDER = (trials.c.stage, trials.c.number)  # the primary key's index


def read(tx: Transaction, job_id: str, *, stage: str | None = None) -> Json:
    """Mapping of ``NAMES`` to lists of equal length, one value for each trial in the order in which they ran.

    Args:
        stage: only trials of this stage; None for all.
    """
    given = {"job_id": job_id} | ({} if stage is None else {"stage": stage})
    found = tx.execute((_ROWS if stage is None else _OF_STAGE).order_by(*_IN_ORDER), given).all()
    ranks = {name: rank for rank, name in enumerate(STAGES)}
    found = sorted(found, key=lambda row: ranks.get(row[0], len(ranks)))  # stable: numbers stay in order
    columns: Sequence[Sequence[Any]] = list(zip(*found, strict=True)) or [()] * len(NAMES)
    return {name: list(values) for name, values in zip(NAMES, columns, strict=True)}
