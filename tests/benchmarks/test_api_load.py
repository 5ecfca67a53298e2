"""The load benchmark at a small size: query plans, number of statements, streams."""

import asyncio
from collections.abc import Iterator
from threading import Thread

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.settings import ApiSettings
from benchmarks.api_load import announce, percentile
from benchmarks.load import plans
from benchmarks.load.rows import Size, fill
from benchmarks.load.streams import follow
from benchmarks.load.writers import write
from store import events, jobs, queue
from store.session import Database
from tests.api.conftest import running

CLIENTS, EVENTS = 20, 60


@pytest.fixture
def settings(database_url: str, tmp_path: object) -> ApiSettings:
    """Settings of the API, on each kind of database in turn."""
    return ApiSettings(home=tmp_path, database_url=database_url, events_interval_s=0.02)


@pytest.fixture
def http(settings: ApiSettings) -> Iterator[TestClient]:
    """A client of an app in this process."""
    with TestClient(create_app(settings), base_url="http://127.0.0.1", client=("127.0.0.1", 50_000)) as client:
        yield client


def database_of(http: TestClient) -> Database:
    database: Database = http.app.state.services.database  # type: ignore[attr-defined]  # typed as any ASGI app
    return database


def test_the_number_of_statements_does_not_depend_on_the_number_of_rows(http: TestClient, database: Database) -> None:
    def counted(job: str) -> dict[str, int]:
        requests = plans.requests(job).items()
        return {name: len(plans.statements_of(http, database_of(http), path)) for name, path in requests}

    few = counted(fill(database, Size(jobs=2, trials=1, points=2)))
    many = counted(fill(database, Size(jobs=200, trials=60, points=20)))

    assert few == many
    assert max(many.values()) <= 5


def test_every_statement_finds_its_rows_by_an_index(http: TestClient, database: Database) -> None:
    job = fill(database, Size(jobs=300, trials=100, points=50))

    for path in plans.requests(job).values():
        sent = [one for one in plans.statements_of(http, database_of(http), path) if "api_keys" not in one[0]]
        for line in plans.explain(database_of(http).engine, sent, small=True):
            assert "Seq Scan" not in line, (path, line)
            # A subquery (anon_1) holds a page of rows, which the lines below it find by an index.
            scans = line.startswith("SCAN") and not line.startswith("SCAN anon_")
            assert not scans or "USING INDEX" in line, (path, line)


def test_every_client_receives_each_event_once_and_in_order_with_a_reconnect(
    settings: ApiSettings, database: Database
) -> None:
    with database.begin() as tx:
        job = queue.submit(tx, {}).id
    with running(settings) as (address, _):
        writing = Thread(target=announce, args=(settings.database_url, job, EVENTS, 0.005))
        writing.start()
        seen = asyncio.run(follow(address, job, CLIENTS, EVENTS))
        writing.join()

    assert seen == [list(range(1, EVENTS + 1))] * CLIENTS


def test_writers_write_the_events_of_runners(database_url: str, database: Database) -> None:
    write(database_url, runners=2, seconds=0.2)

    with database.read() as tx:
        written = jobs.list(tx).items
        kinds = [[event.kind for event in events.page(tx, job.id, limit=500)] for job in written]
    assert len(written) == 2
    for found in kinds:
        assert found[:2] == ["stage_started", "trial_started"]
        assert found.count("epoch_done") == 10 * found.count("trial_done") > 0


@pytest.mark.parametrize(("part", "expected"), [(0.5, 2.0), (0.95, 4.0), (0.25, 1.0), (1.0, 4.0)])
def test_a_percentile_is_a_measured_value(part: float, expected: float) -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], part) == expected
