"""Alembic runs this file for each command; ``migrations.commands`` hands it a connection inside a transaction."""

from alembic import context

from store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
