"""Alembic's environment, run for each command; ``migrations.commands`` passes a connection inside a transaction."""

from alembic import context

from store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
