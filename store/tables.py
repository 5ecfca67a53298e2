"""Table definitions, private to ``store`` and ``migrations``. A change here needs a migration."""

from enum import StrEnum

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

from store.clock import UtcDateTime, now
from store.records import ACTIVE_STATES, FINAL_STATES, JobState, TrialState, UploadKind

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

JsonColumn = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
OrderedJson = JSON(none_as_null=True)
"""JSON that keeps the order of its keys, unlike JSONB: sites are shown in the order of their calls."""


def _one_of(column: str, states: type[StrEnum] | tuple[StrEnum, ...]) -> str:
    return f"{column} IN ({', '.join(repr(state.value) for state in states)})"


jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text),
    Column("spec", JsonColumn, nullable=False),
    Column("state", Text, nullable=False),
    Column("stage", Text),
    Column("progress", JsonColumn),
    Column("attempt", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("lease_token", Text),
    Column("worker", Text),
    Column("lease_expires_at", UtcDateTime),
    Column("event_count", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, default=now()),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("result", OrderedJson),
    Column("error", JsonColumn),
    Column("in_flight", Integer),
    Column("program", Text),
    Column("reused", JsonColumn),
    Column("owner", Text),
    Column("traceparent", Text),
    Column("claimed_at", UtcDateTime),
    Column("gpus_per_trial", Double),
    Column("trial_count", Integer),
    Column("trial_seconds", Double),
    Column("gpu_seconds", Double),
    Column("runners_lost", Integer, nullable=False, server_default="0"),
    Column("workers_lost", Integer, nullable=False, server_default="0"),
    Column("trials_repeated", Integer, nullable=False, server_default="0"),
    Column("seconds_lost", Double, nullable=False, server_default="0"),
    Column("recorded_batch", Integer, nullable=False, server_default="0"),
    Column("cluster", Text),
    Column("cores_awaited", Integer),
    Column("jobs_before", Integer),
    CheckConstraint(_one_of("state", JobState), name="state"),
    CheckConstraint("attempt >= 0 AND attempt <= max_attempts", name="attempt"),
    CheckConstraint(f"({_one_of('state', ACTIVE_STATES)}) = (lease_token IS NOT NULL)", name="lease_while_active"),
    CheckConstraint(
        "(lease_token IS NULL) = (lease_expires_at IS NULL) AND (lease_token IS NULL) = (worker IS NULL)",
        name="lease_whole",
    ),
    CheckConstraint(f"({_one_of('state', FINAL_STATES)}) = (finished_at IS NOT NULL)", name="finished_when_final"),
    CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name="error_when_failed"),
    Index(None, "state", "id"),
    Index(None, "owner", "id"),
    Index(None, "owner", "state", "id"),
    Index(None, "owner", "finished_at"),
)

trials = Table(
    "trials",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("stage", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("config", OrderedJson, nullable=False),
    Column("epochs", Integer, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("loss", Double),
    Column("accuracy", Double),
    Column("cross_entropy", Double),
    Column("seconds", Double),
    Column("error", Text),
    Column("started_at", UtcDateTime, nullable=False, default=now()),
    Column("finished_at", UtcDateTime),
    Column("continues", Integer),
    Column("horizon", Integer),
    Column("best_epoch", Integer),
    Column("left_early", Text, key="left"),
    Column("recalled", Text),
    CheckConstraint(_one_of("state", TrialState), name="state"),
    CheckConstraint("number >= 0", name="number"),
    CheckConstraint("accuracy >= 0 AND accuracy <= 1", name="accuracy"),
    CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name="error_when_failed"),
)

trial_epochs = Table(
    "trial_epochs",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("stage", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("train_loss", Double),
    Column("validation_loss", Double),
    Column("validation_accuracy", Double),
    Column("learning_rate", Double),
    Column("seconds", Double, nullable=False),
    ForeignKeyConstraint(
        ["job_id", "stage", "number"],
        ["trials.job_id", "trials.stage", "trials.number"],
        ondelete="CASCADE",
    ),
)

events = Table(
    "events",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False, default=now()),
    Column("data", OrderedJson, nullable=False),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, default=now()),
    CheckConstraint("length(sha256) = 64", name="sha256"),
    CheckConstraint("size_bytes >= 0", name="size_bytes"),
)

job_artifacts = Table(
    "job_artifacts",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("sha256", Text, ForeignKey("artifacts.sha256"), nullable=False, index=True),
    Column("media_type", Text, nullable=False),
)

stage_outputs = Table(
    "stage_outputs",
    metadata,
    Column("key", Text, primary_key=True),
    Column("stage", Text, nullable=False),
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("sha256", Text, ForeignKey("artifacts.sha256"), nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False, default=now()),
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", Text, primary_key=True),
    Column("sha256", Text, ForeignKey("artifacts.sha256"), nullable=False, index=True),
    Column("filename", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, default=now()),
    Column("owner", Text),
    Column("tensors", Integer),
    Column("kind", Text, nullable=False, server_default=UploadKind.WEIGHTS),
    Column("images", Integer),
)

incoming_uploads = Table(
    "incoming_uploads",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text),
    Column("filename", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("upload_id", Text, ForeignKey("uploads.id", ondelete="CASCADE"), index=True),
    Column("created_at", UtcDateTime, nullable=False, default=now(), index=True),
)

upload_parts = Table(
    "upload_parts",
    metadata,
    Column("incoming_id", Text, ForeignKey("incoming_uploads.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("sha256", Text, ForeignKey("artifacts.sha256"), nullable=False, index=True),
)

runners = Table(
    "runners",
    metadata,
    Column("name", Text, primary_key=True),
    Column("started_at", UtcDateTime, nullable=False, default=now()),
    Column("seen_at", UtcDateTime, nullable=False, default=now()),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("version", Text, nullable=False),
    Column("cluster", Text),
    Column("resources", JsonColumn, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("prefix", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("scopes", JsonColumn, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, default=now()),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
    Column("requests_per_minute", Integer),
    Column("queued_jobs", Integer),
    Column("gpu_hours", Double),
)

ended_sessions = Table(
    "ended_sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("forgotten_at", UtcDateTime, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request_sha256", Text, nullable=False),
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("answer", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, default=now(), index=True),
)

counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Double, nullable=False),
)

chores = Table(
    "chores",
    metadata,
    Column("name", Text, primary_key=True),
    Column("ran_at", UtcDateTime, nullable=False),
)
