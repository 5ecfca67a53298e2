"""The place of a job in the line for the cores of a shared Ray cluster."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COLUMNS: dict[str, Any] = {"cluster": sa.Text(), "cores_awaited": sa.Integer(), "jobs_before": sa.Integer()}


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.add_column("jobs", sa.Column(name, kind))


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_column("jobs", name)
