"""Persistence of jobs, trials, events, artifacts and uploads: plain functions over SQLite or PostgreSQL.

Callers own the transactions, and keep them short:

    database = Database(settings.database_url)
    with database.begin() as tx:
        job = queue.submit(tx, spec, name="lenet5 at 99%")

The store treats a spec as plain JSON; the API and the runner interpret it.
"""
