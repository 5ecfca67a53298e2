"""Results of jobs that later jobs reuse: stage outputs by key, and winning configurations."""

from sqlalchemy import delete, or_, select

from store.artifacts.stored_files import register
from store.leases import hold
from store.records import JobState, Json, Lease, StageOutput, StoredArtifact
from store.session import Transaction
from store.tables import jobs, stage_outputs
from store.upsert import insert_if_absent

_COLUMNS = tuple(stage_outputs.c[name] for name in StageOutput.__slots__)
_ROWS_AT_ONCE = 50


def find(tx: Transaction, key: str) -> StageOutput | None:
    """The stage output with this key, None if there is none."""
    row = tx.execute(select(*_COLUMNS).where(stage_outputs.c.key == key)).mappings().one_or_none()
    return None if row is None else StageOutput(**row)


def save(tx: Transaction, lease: Lease, key: str, stage: str, artifact: StoredArtifact) -> None:
    """Save stored content as the stage output of ``key``, unless there is one; raises ``LeaseLost``."""
    hold(tx, lease)
    register(tx, artifact)
    row = {"key": key, "stage": stage, "job_id": lease.job_id, "sha256": artifact.sha256}
    insert_if_absent(tx, stage_outputs, row)


def remove(tx: Transaction, lease: Lease, output: StageOutput) -> None:
    """Delete a stage output whose content is missing or damaged, so that it can be saved anew; raises ``LeaseLost``."""
    hold(tx, lease)
    same = (stage_outputs.c.key == output.key, stage_outputs.c.sha256 == output.sha256)
    tx.execute(delete(stage_outputs).where(*same))


def winners(tx: Transaction, job_id: str, architecture: str, limit: int) -> tuple[tuple[str, Json], ...]:
    """Distinct winning configurations of earlier jobs with this architecture, as (job id, winner), newest first.

    Own networks have no architecture; they are found by the identity in their result.

    Only jobs of the same owner count that had succeeded when ``job_id`` was first started, so that every attempt at
    ``job_id`` gets the same answer.
    """
    winner = jobs.c.result["winner"]
    begun = jobs.alias("begun")
    started_at = select(begun.c.started_at).where(begun.c.id == job_id).scalar_subquery()
    owner = select(begun.c.owner).where(begun.c.id == job_id).scalar_subquery()
    query = (
        select(jobs.c.id, winner)
        .where(
            jobs.c.state == JobState.SUCCEEDED,
            jobs.c.finished_at <= started_at,
            jobs.c.owner.is_not_distinct_from(owner),
            or_(
                jobs.c.spec[("model", "architecture")].as_string() == architecture,
                jobs.c.result["identity"].as_string() == architecture,
            ),
            winner.as_string().is_not(None),
        )
        .order_by(jobs.c.id.desc())
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )
    found: list[tuple[str, Json]] = []
    with tx.execute(query) as rows:
        while len(found) < limit and (row := rows.fetchone()) is not None:
            if row[1] not in [known for _, known in found]:
                found.append((row[0], row[1]))
    return tuple(found)
