"""Migrations of the database schema, run from code without an alembic.ini."""

from migrations.commands import current, downgrade, head_revision, known_revisions, require_head, upgrade

__all__ = ["current", "downgrade", "head_revision", "known_revisions", "require_head", "upgrade"]
