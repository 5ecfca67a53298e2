"""A PostgreSQL that turns read-only or takes privileges away is an outage: 503 with Retry-After, whatever the class of
the driver's error."""

from collections.abc import Callable, Iterator

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, create_engine, make_url, text

from api.settings import ApiSettings
from store.session import Database
from tests.api.conftest import MINIMAL, from_this_machine
from tests.api.schemathesis_hooks import WEIGHTS


@pytest.fixture
def api_database_url(own_database: str) -> str:
    return own_database


@pytest.fixture
def admin(own_database: str) -> Iterator[Engine]:
    """Connections of an administrator to the same database."""
    engine = create_engine(Database(own_database).url, isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


def _set_read_only(admin: Engine, value: str) -> None:
    """Let the server refuse or allow writes, and end all sessions, as a failover does."""
    with admin.connect() as connection:
        name = admin.url.database
        connection.execute(text("SET default_transaction_read_only = off"))
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}"))
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )


def _writes(http: TestClient, job_id: str) -> dict[str, httpx.Response]:
    """The responses to every request that writes."""
    return {
        "submit": http.post("/v1/jobs", json=MINIMAL),
        "submit once": http.post("/v1/jobs", json=MINIMAL, headers={"Idempotency-Key": "k"}),
        "cancel": http.post(f"/v1/jobs/{job_id}/cancel"),
        "upload": http.post("/v1/uploads", content=WEIGHTS, headers={"Content-Type": "application/octet-stream"}),
    }


def test_requests_that_write_wait_for_a_read_only_database_and_then_work_again(
    http: TestClient, submit: Callable[..., str], admin: Engine
) -> None:
    job_id = submit()
    _set_read_only(admin, "on")

    for what, response in _writes(http, job_id).items():
        problem = response.json()
        assert (response.status_code, problem["code"]) == (503, "database_unavailable"), what
        assert int(response.headers["Retry-After"]) > 0, what
        assert problem["retryable"], what
    assert http.get(f"/v1/jobs/{job_id}").status_code == 200
    assert [job["id"] for job in http.get("/v1/jobs").json()["items"]] == [job_id]

    _set_read_only(admin, "off")

    assert {what: response.status_code for what, response in _writes(http, job_id).items()} == {
        "submit": 202,
        "submit once": 202,
        "cancel": 200,
        "upload": 201,
    }


def test_a_role_that_has_lost_its_privileges_is_an_outage_and_its_name_stays_inside(
    admin: Engine, settings: ApiSettings
) -> None:
    from api.app import create_app

    name = f"role_{admin.url.database}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN"))
        connection.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}"))
    url = make_url(settings.database_url).set(username=name).render_as_string(hide_password=False)
    try:
        with from_this_machine(create_app(settings.model_copy(update={"database_url": url}))) as http:
            response = http.post("/v1/jobs", json=MINIMAL)
            listed = http.get("/v1/jobs")
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP OWNED BY {name}"))
            connection.execute(text(f"DROP ROLE {name}"))

    assert listed.status_code == 200
    assert (response.status_code, response.json()["code"]) == (503, "database_access_denied")
    assert int(response.headers["Retry-After"]) > 0
    assert name not in response.text
