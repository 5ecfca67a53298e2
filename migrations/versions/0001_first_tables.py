"""First tables: jobs, trials with their epochs, events, artifacts, uploads."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Written out instead of imported from the store: a merged migration must not change when the store does.
TIMESTAMP = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    _create_jobs()
    _create_trials()
    _create_events()
    _create_artifacts()


def downgrade() -> None:
    for table in ("uploads", "job_artifacts", "artifacts", "events", "trial_epochs", "trials", "jobs"):
        op.drop_table(table)


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("spec", JSON, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text()),
        sa.Column("progress", JSON),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("lease_token", sa.Text()),
        sa.Column("worker", sa.Text()),
        sa.Column("lease_expires_at", TIMESTAMP),
        sa.Column("event_count", sa.Integer(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.Column("started_at", TIMESTAMP),
        sa.Column("finished_at", TIMESTAMP),
        sa.Column("result", JSON),
        sa.Column("error", JSON),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'cancelling', 'cancelled', 'succeeded', 'failed')",
            name=op.f("ck_jobs_state"),
        ),
        sa.CheckConstraint("attempt >= 0 AND attempt <= max_attempts", name=op.f("ck_jobs_attempt")),
        sa.CheckConstraint(
            "(state IN ('running', 'cancelling')) = (lease_token IS NOT NULL)",
            name=op.f("ck_jobs_lease_while_active"),
        ),
        sa.CheckConstraint(
            "(lease_token IS NULL) = (lease_expires_at IS NULL) AND (lease_token IS NULL) = (worker IS NULL)",
            name=op.f("ck_jobs_lease_whole"),
        ),
        sa.CheckConstraint(
            "(state IN ('cancelled', 'succeeded', 'failed')) = (finished_at IS NOT NULL)",
            name=op.f("ck_jobs_finished_when_final"),
        ),
        sa.CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name=op.f("ck_jobs_error_when_failed")),
    )
    op.create_index(op.f("ix_jobs_state_id"), "jobs", ["state", "id"])


def _create_trials() -> None:
    op.create_table(
        "trials",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("config", JSON, nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("loss", sa.Double()),
        sa.Column("accuracy", sa.Double()),
        sa.Column("cross_entropy", sa.Double()),
        sa.Column("seconds", sa.Double()),
        sa.Column("error", sa.Text()),
        sa.Column("started_at", TIMESTAMP, nullable=False),
        sa.Column("finished_at", TIMESTAMP),
        sa.PrimaryKeyConstraint("job_id", "stage", "number", name=op.f("pk_trials")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_trials_job_id"), ondelete="CASCADE"),
        sa.CheckConstraint("state IN ('running', 'done', 'failed', 'interrupted')", name=op.f("ck_trials_state")),
        sa.CheckConstraint("number >= 0", name=op.f("ck_trials_number")),
        sa.CheckConstraint("accuracy >= 0 AND accuracy <= 1", name=op.f("ck_trials_accuracy")),
        sa.CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name=op.f("ck_trials_error_when_failed")),
    )
    op.create_table(
        "trial_epochs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("train_loss", sa.Double()),
        sa.Column("validation_loss", sa.Double()),
        sa.Column("validation_accuracy", sa.Double()),
        sa.Column("learning_rate", sa.Double()),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "stage", "number", "epoch", name=op.f("pk_trial_epochs")),
        sa.ForeignKeyConstraint(
            ["job_id", "stage", "number"],
            ["trials.job_id", "trials.stage", "trials.number"],
            name=op.f("fk_trial_epochs_job_id_stage_number"),
            ondelete="CASCADE",
        ),
    )


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", TIMESTAMP, nullable=False),
        sa.Column("data", JSON, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_events")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_events_job_id"), ondelete="CASCADE"),
    )


def _create_artifacts() -> None:
    op.create_table(
        "artifacts",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_artifacts")),
        sa.CheckConstraint("length(sha256) = 64", name=op.f("ck_artifacts_sha256")),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("ck_artifacts_size_bytes")),
    )
    op.create_table(
        "job_artifacts",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "name", name=op.f("pk_job_artifacts")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_artifacts_job_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["sha256"], ["artifacts.sha256"], name=op.f("fk_job_artifacts_sha256")),
    )
    op.create_index(op.f("ix_job_artifacts_sha256"), "job_artifacts", ["sha256"])
    op.create_table(
        "uploads",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_uploads")),
        sa.ForeignKeyConstraint(["sha256"], ["artifacts.sha256"], name=op.f("fk_uploads_sha256")),
    )
    op.create_index(op.f("ix_uploads_sha256"), "uploads", ["sha256"])
