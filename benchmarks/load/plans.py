"""Query plans of the statements that each endpoint sends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from fastapi.testclient import TestClient
from sqlalchemy import Engine, event

from store.session import Database

Statement: TypeAlias = tuple[str, Any]
"""SQL and its parameters, as the driver receives them."""


@contextmanager
def statements(database: Database) -> Iterator[list[Statement]]:
    """Collect the statements sent inside the block, without those that begin or end a transaction."""
    sent: list[Statement] = []

    def record(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            sent.append((statement, parameters))

    for engine in database.engines:
        event.listen(engine, "before_cursor_execute", record)
    try:
        yield sent
    finally:
        for engine in database.engines:
            event.remove(engine, "before_cursor_execute", record)


def requests(job: str) -> dict[str, str]:
    """Name -> path of one request of each kind that reads."""
    return {
        "list": "/v1/jobs?limit=50",
        "list, in a state": "/v1/jobs?state=succeeded&limit=50",
        "get": f"/v1/jobs/{job}",
        "trials": f"/v1/jobs/{job}/trials?limit=100",
        "trials of a stage": f"/v1/jobs/{job}/trials?stage=activations&limit=100",
        "curve": f"/v1/jobs/{job}/trials/activations/0/curve",
        "events": f"/v1/jobs/{job}/events?after=1&limit=100",
    }


def statements_of(http: TestClient, database: Database, path: str) -> list[Statement]:
    """Statements of one successful request."""
    http.get(path)  # Warm-up: the first request on a connection or with an empty cache sends more.
    with statements(database) as sent:
        response = http.get(path)
    assert response.is_success, response.text
    return sent


def explain(engine: Engine, sent: list[Statement], *, small: bool = False) -> list[str]:
    """Query plans of the statements, one line for each step.

    Args:
        small: True if the tables are small, where PostgreSQL would choose a sequential scan; this disables it.
    """
    prefix, line = _EXPLAIN[engine.dialect.name]
    with engine.connect() as connection:
        if small and engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        return [
            line(row)
            for statement, parameters in sent
            for row in connection.exec_driver_sql(f"{prefix} {statement}", parameters).all()
        ]


_EXPLAIN: dict[str, tuple[str, Callable[[Any], str]]] = {
    "postgresql": ("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)", lambda row: str(row[0])),
    "sqlite": ("EXPLAIN QUERY PLAN", lambda row: str(row[3])),
}
