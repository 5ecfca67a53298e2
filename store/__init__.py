"""The truth about jobs, trials, events, artifacts and uploads: plain functions over SQLite or PostgreSQL.

Callers own the transactions, and keep them short:

    database = Database(settings.database_url)
    with database.begin() as tx:
        job = queue.submit(tx, spec, name="lenet5 at 99%")

A spec is plain JSON here; what it means is known at both edges, the API and the runner.
"""
