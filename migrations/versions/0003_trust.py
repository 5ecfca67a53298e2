"""Owners and API keys, faults that jobs survived, and tables for maintenance."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
JSON = sa.JSON().with_variant(JSONB(), "postgresql")

OPTIONAL: dict[str, Any] = {
    "owner": sa.Text(),
    "traceparent": sa.Text(),
    "claimed_at": TIMESTAMP,
    "gpus_per_trial": sa.Double(),
    "trial_count": sa.Integer(),
    "trial_seconds": sa.Double(),
    "gpu_seconds": sa.Double(),
}
COUNTED: dict[str, Any] = {
    "runners_lost": sa.Integer(),
    "workers_lost": sa.Integer(),
    "trials_repeated": sa.Integer(),
    "seconds_lost": sa.Double(),
    "recorded_batch": sa.Integer(),
}
INDEXES = (["owner", "id"], ["owner", "state", "id"], ["owner", "finished_at"])


def upgrade() -> None:
    for name, kind in OPTIONAL.items():
        op.add_column("jobs", sa.Column(name, kind))
    for name, kind in COUNTED.items():
        op.add_column("jobs", sa.Column(name, kind, nullable=False, server_default="0"))
    for columns in INDEXES:
        op.create_index(op.f(f"ix_jobs_{'_'.join(columns)}"), "jobs", columns)
    op.add_column("uploads", sa.Column("owner", sa.Text()))
    op.add_column("uploads", sa.Column("tensors", sa.Integer()))
    _count_the_ended()
    _create_api_keys()
    _create_idempotency_keys()
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )
    op.create_table(
        "chores",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("ran_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_chores")),
    )


def downgrade() -> None:
    for table in ("chores", "counters", "idempotency_keys", "api_keys"):
        op.drop_table(table)
    op.drop_column("uploads", "tensors")
    op.drop_column("uploads", "owner")
    for columns in INDEXES:
        op.drop_index(op.f(f"ix_jobs_{'_'.join(columns)}"), "jobs")
    for name in (*COUNTED, *OPTIONAL):
        op.drop_column("jobs", name)


def _count_the_ended() -> None:
    """Fills the totals of jobs that have already ended; later jobs store them at their end."""
    op.execute(
        "UPDATE jobs SET trial_count = (SELECT count(*) FROM trials WHERE trials.job_id = jobs.id AND trials.state IN "
        "('done', 'failed')), trial_seconds = (SELECT coalesce(sum(seconds), 0) FROM trials WHERE trials.job_id = "
        "jobs.id AND trials.state IN ('done', 'failed')), gpu_seconds = 0 WHERE finished_at IS NOT NULL"
    )


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("scopes", JSON, nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("expires_at", TIMESTAMP),
        sa.Column("revoked_at", TIMESTAMP),
        sa.Column("last_used_at", TIMESTAMP),
        sa.Column("requests_per_minute", sa.Integer()),
        sa.Column("queued_jobs", sa.Integer()),
        sa.Column("gpu_hours", sa.Double()),
        sa.PrimaryKeyConstraint("prefix", name=op.f("pk_api_keys")),
    )


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_sha256", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("owner", "key", name=op.f("pk_idempotency_keys")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_idempotency_keys_job_id"), ondelete="CASCADE"),
    )
    for column in ("job_id", "created_at"):
        op.create_index(op.f(f"ix_idempotency_keys_{column}"), "idempotency_keys", [column])
