"""Uploads of data sets, and uploads that arrive in parts."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TIMESTAMP = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    op.add_column("uploads", sa.Column("kind", sa.Text(), nullable=False, server_default="weights"))
    op.add_column("uploads", sa.Column("images", sa.Integer()))
    op.create_table(
        "incoming_uploads",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text()),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("upload_id", sa.Text()),
        sa.Column("created_at", TIMESTAMP, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incoming_uploads")),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["uploads.id"], name=op.f("fk_incoming_uploads_upload_id"), ondelete="CASCADE"
        ),
    )
    for column in ("upload_id", "created_at"):
        op.create_index(op.f(f"ix_incoming_uploads_{column}"), "incoming_uploads", [column])
    op.create_table(
        "upload_parts",
        sa.Column("incoming_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("incoming_id", "number", name=op.f("pk_upload_parts")),
        sa.ForeignKeyConstraint(
            ["incoming_id"], ["incoming_uploads.id"], name=op.f("fk_upload_parts_incoming_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["sha256"], ["artifacts.sha256"], name=op.f("fk_upload_parts_sha256")),
    )
    op.create_index(op.f("ix_upload_parts_sha256"), "upload_parts", ["sha256"])


def downgrade() -> None:
    op.drop_table("upload_parts")
    op.drop_table("incoming_uploads")
    op.drop_column("uploads", "images")
    op.drop_column("uploads", "kind")
