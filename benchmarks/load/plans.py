"""What the database does for each kind of request: the statements that an endpoint sends, explained."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from fastapi.testclient import TestClient
from sqlalchemy import Engine, event

from store.session import Database

Statement: TypeAlias = tuple[str, Any]
"""SQL with its parameters, as the driver gets them."""


@contextmanager
def statements(database: Database) -> Iterator[list[Statement]]:
    """The statements that are sent in the block, without those that begin or end a transaction."""
    sent: list[Statement] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            sent.append((statement, parameters))

    for engine in database.engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        for engine in database.engines:
            event.remove(engine, "before_cursor_execute", note)


def requests(job: str) -> dict[str, str]:
    """A request of each kind that reads, by its name."""
    return {
        "list": "/v1/jobs?limit=50",
        "list, in a state": "/v1/jobs?state=succeeded&limit=50",
        "get": f"/v1/jobs/{job}",
        "trials": f"/v1/jobs/{job}/trials?limit=100",
        "trials of a stage": f"/v1/jobs/{job}/trials?stage=activations&limit=100",
        "curve": f"/v1/jobs/{job}/trials/activations/0/curve",
        "events": f"/v1/jobs/{job}/events?after=1&limit=100",
    }


def of_request(http: TestClient, database: Database, path: str) -> list[Statement]:
    """The statements of one request, which must succeed."""
    http.get(path)  # What is sent at the first use of a connection or of a cache does not count.
    with statements(database) as sent:
        response = http.get(path)
    assert response.is_success, response.text
    return sent


def explain(engine: Engine, sent: list[Statement], *, small: bool = False) -> list[str]:
    """The plan of each statement, one line a step.

    Args:
        small: the tables are; PostgreSQL reads such a table whole unless it is told not to.
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
