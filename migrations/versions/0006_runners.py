"""Runners with their heartbeats, and JSON that keeps the order of its keys."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
REORDERED = (("trials", "config"), ("events", "data"), ("jobs", "result"))
"""Columns that were JSONB on PostgreSQL, which sorts keys. What they hold already stays in that order."""


def upgrade() -> None:
    op.create_table(
        "runners",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("started_at", TIMESTAMP, nullable=False),
        sa.Column("seen_at", TIMESTAMP, nullable=False),
        sa.Column("expires_at", TIMESTAMP, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("cluster", sa.Text()),
        sa.Column("resources", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_runners")),
    )
    _change(sa.JSON(), "json")


def downgrade() -> None:
    _change(JSONB(), "jsonb")
    op.drop_table("runners")


def _change(kind: sa.types.TypeEngine[object], name: str) -> None:
    if op.get_bind().dialect.name != "postgresql":  # SQLite holds both as text
        return
    for table, column in REORDERED:
        op.alter_column(table, column, type_=kind, postgresql_using=f"{column}::{name}")
