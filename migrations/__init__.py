"""The database's schema, from one version to the next. Driven from code: there is no alembic.ini."""

from migrations.commands import current, downgrade, head_revision, known_revisions, require_head, upgrade

__all__ = ["current", "downgrade", "head_revision", "known_revisions", "require_head", "upgrade"]
