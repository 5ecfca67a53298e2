"""Fills a database with as many rows as months of use produce."""

from dataclasses import dataclass

from sqlalchemy import text

from safs.spec.job import JobSpec
from store import queue
from store.records import JobState
from store.session import Database, Transaction

RESULT = '{"result": "joint", "test_accuracy": 0.93, "validation_accuracy": 0.94, "sparsity": 0.99}'
STAGE = "activations"
SPEC = JobSpec.model_validate(
    {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99}
).model_dump(mode="json")


@dataclass(frozen=True, slots=True)
class Size:
    """Number of rows of a database."""

    jobs: int
    trials: int
    """Trials of the largest job, which has one event for each of their epochs."""
    points: int
    """Epochs of each trial."""


def fill(database: Database, size: Size) -> str:
    """Fill an empty, migrated database, and return the id of the job that has the trials.

    All jobs have ended, so that runners claim only jobs that they submit.
    """
    with database.begin() as tx:
        ids = [queue.submit(tx, SPEC, f"job {number}", owner="load").id for number in range(size.jobs)]
        largest = ids[len(ids) // 2]
        ended = f"state = '{JobState.SUCCEEDED}', attempt = 1, started_at = created_at, finished_at = created_at"
        tx.execute(text(f"UPDATE jobs SET {ended}, trial_count = 0, trial_seconds = 0, result = :result"), _result(tx))
        tx.execute(
            text(_TRIALS.format(series=_series(tx), config=_json(tx, _CONFIG))), {"job": largest, "trials": size.trials}
        )
        both = {"job": largest, "trials": size.trials, "points": size.points}
        tx.execute(text(_EPOCHS.format(series=_series(tx))), both)
        tx.execute(text(_EVENTS.format(series=_series(tx), json=_json(tx, _EVENT))), both)
        count = {"count": size.trials * size.points, "job": largest}
        tx.execute(text("UPDATE jobs SET event_count = :count WHERE id = :job"), count)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(_SETTLE[connection.dialect.name]))
    return largest


_SETTLE = {"postgresql": "VACUUM (ANALYZE)", "sqlite": "ANALYZE"}
"""Cleanup by database. PostgreSQL's autovacuum would start a minute later, during the measurement."""


_SERIES = {
    "postgresql": "SELECT generate_series(0, {last} - 1) AS n",
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n + 1 < {last}) SELECT n FROM s",
}
_JSON = {"postgresql": "CAST({} AS jsonb)", "sqlite": "{}"}

_TRIALS = f"""
INSERT INTO trials (job_id, stage, number, config, epochs, seed, state, loss, accuracy, cross_entropy, seconds,
                    started_at, finished_at, best_epoch)
SELECT :job, '{STAGE}', trial.n, {{config}}, 100, 0, 'done', 0.1, 0.9, 0.4, 3.5, jobs.created_at, jobs.created_at, 7
FROM ({{series[trials]}}) AS trial, jobs WHERE jobs.id = :job
"""
_EPOCHS = f"""
INSERT INTO trial_epochs (job_id, stage, number, epoch, train_loss, validation_loss, validation_accuracy,
                          learning_rate, seconds)
SELECT :job, '{STAGE}', trial.n, epoch.n + 1, 0.5, 0.4, 0.9, 0.001, 0.03
FROM ({{series[trials]}}) AS trial, ({{series[points]}}) AS epoch
"""
_EVENTS = """
INSERT INTO events (job_id, number, kind, at, data)
SELECT :job, trial.n * :points + epoch.n + 1, 'epoch_done', jobs.created_at, {json}
FROM ({series[trials]}) AS trial, ({series[points]}) AS epoch, jobs WHERE jobs.id = :job
"""
_CONFIG = """'{"relu1": "swish", "relu2": "hardswish", "relu3": "acon", "relu4": "tanh"}'"""
_EVENT = (
    f"""'{{"stage": "{STAGE}", "trial": ' || trial.n || ', "metrics": {{"epoch": ' || (epoch.n + 1) || """
    """', "seconds": 0.03, "train_loss": 0.5, "learning_rate": 0.001, "validation_loss": 0.4, """
    """"validation_accuracy": 0.9}}'"""
)


def _series(tx: Transaction) -> dict[str, str]:
    series = _SERIES[tx.dialect.name]
    return {name: series.format(last=f":{name}") for name in ("trials", "points")}


def _json(tx: Transaction, value: str) -> str:
    # SQLAlchemy reads a colon before a word as a parameter.
    return _JSON[tx.dialect.name].format(value.replace(":", "\\:"))


def _result(tx: Transaction) -> dict[str, str]:
    return {"result": RESULT}
