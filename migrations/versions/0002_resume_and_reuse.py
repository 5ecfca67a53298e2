"""Columns that a search is resumed from, and stage outputs that other jobs can reuse."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
JSON = sa.JSON().with_variant(JSONB(), "postgresql")

NEW_COLUMNS: dict[str, dict[str, Any]] = {
    "jobs": {"in_flight": sa.Integer(), "program": sa.Text(), "reused": JSON},
    "trials": {
        "continues": sa.Integer(),
        "horizon": sa.Integer(),
        "best_epoch": sa.Integer(),
        "left_early": sa.Text(),
        "recalled": sa.Text(),
    },
}


def upgrade() -> None:
    for table, columns in NEW_COLUMNS.items():
        for name, kind in columns.items():
            op.add_column(table, sa.Column(name, kind))
    op.create_table(
        "stage_outputs",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_stage_outputs")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_stage_outputs_job_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["sha256"], ["artifacts.sha256"], name=op.f("fk_stage_outputs_sha256")),
    )
    op.create_index(op.f("ix_stage_outputs_job_id"), "stage_outputs", ["job_id"])
    op.create_index(op.f("ix_stage_outputs_sha256"), "stage_outputs", ["sha256"])


def downgrade() -> None:
    op.drop_table("stage_outputs")
    for table, columns in NEW_COLUMNS.items():
        for name in columns:
            op.drop_column(table, name)
