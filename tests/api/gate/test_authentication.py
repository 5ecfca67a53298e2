"""Authentication: every endpoint with every kind of invalid key, and requests from the same machine."""

import re
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import event

from api.app import create_app
from api.gate.key_cache import TTL_S
from api.settings import ApiSettings
from store import api_keys
from store.session import Database
from tests.api.conftest import GateClock, MakeKey, from_this_machine
from tests.api.endpoints import endpoints
from tests.checks_in_process import with_catalog

OPEN = {"/livez", "/readyz"}
ASKED_FOR = {"GET": "read", "POST": "submit", "PUT": "submit"}


@pytest.fixture
def app(settings: ApiSettings) -> FastAPI:
    """Hide timm: the tests request every endpoint, and its names take long to list."""
    return create_app(settings, checker=with_catalog({"models": []}))


def problem(response: Any) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


def revoked(make_key: MakeKey, database: Database) -> dict[str, str]:
    headers = make_key("vision", "admin")
    with database.begin() as tx:
        api_keys.revoke(tx, headers["Authorization"].split("_")[1])
    return headers


def test_every_endpoint_but_the_probes_refuses_what_is_no_key(
    app: FastAPI, http: TestClient, make_key: MakeKey, app_database: Database
) -> None:
    good = make_key("vision", "admin")["Authorization"]
    strangers = {
        "none": {},
        "empty": {"Authorization": ""},
        "no token": {"Authorization": "Bearer "},
        "nonsense": {"Authorization": "Bearer \xff\x00 x".encode("latin-1")},
        "unknown": {"Authorization": "Bearer safs_00000000_" + 48 * "0"},
        "wrong secret": {"Authorization": good[:-4] + "0000"},
        "another scheme": {"Authorization": good.replace("Bearer", "Basic")},
        "expired": make_key("vision", "admin", lives_s=-1),
        "revoked": revoked(make_key, app_database),
    }

    for endpoint in endpoints(app):
        assert endpoint.is_open == (endpoint.path in OPEN), endpoint.path
        for kind, headers in strangers.items():
            response = http.request(endpoint.method, endpoint.address(), headers=headers)
            if endpoint.is_open:
                assert response.status_code != 401, endpoint.path
            else:
                assert problem(response) == (401, "unauthorized"), (kind, endpoint.path)
                assert response.headers["www-authenticate"].startswith("Bearer")
                assert "SAFS_API_KEY" in response.json()["detail"]


def test_every_endpoint_asks_for_the_scope_that_it_names(app: FastAPI, http: TestClient, make_key: MakeKey) -> None:
    others = {"read": ["submit"], "submit": ["read"], "admin": ["read", "submit"]}
    lacking = {scope: make_key("vision", *scopes) for scope, scopes in others.items()}
    having = {scope: make_key("vision", scope) for scope in others}

    for endpoint in endpoints(app):
        if endpoint.is_open:
            continue
        (scope,) = re.findall(r"Needs a key with the scope `(\w+)`", endpoint.document["description"])
        refused = http.request(endpoint.method, endpoint.address(), headers=lacking[scope])
        let_in = http.request(endpoint.method, endpoint.address(), headers=having[scope])

        is_for_admins = endpoint.path == "/metrics" or endpoint.path.startswith(
            ("/v1/keys", "/v1/runners", "/v1/status")
        )
        assert scope == ("admin" if is_for_admins else ASKED_FOR[endpoint.method])
        assert problem(refused) == (403, "forbidden"), endpoint.path
        assert repr(scope) in refused.json()["detail"]
        assert let_in.status_code not in (401, 403), endpoint.path


def test_strangers_do_not_learn_which_addresses_there_are(http: TestClient, make_key: MakeKey) -> None:
    make_key("vision", "read")

    # A client takes "//livez" alone for the name of a host.
    twice = "http://127.0.0.1:8000//livez"
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
        for path in ("/v1", "/v1/jobs/", "/redoc", twice, "/livez/", "/v1/jobs;/livez", "/%6civez/x"):
            assert http.request(method, path, follow_redirects=False).status_code == 401, (method, path)


def test_the_pages_are_open_to_be_read_and_for_nothing_else(http: TestClient, make_key: MakeKey) -> None:
    make_key("vision", "read")

    for page in ("/", "/jobs/job_0123"):
        assert http.get(page).status_code == 200
        assert {http.request(method, page).status_code for method in ("POST", "PUT", "DELETE")} == {401}
    assert http.get("/docs").status_code == http.get("/openapi.json").status_code == 200


def test_an_expired_and_a_revoked_key_are_told_so_only_to_who_has_the_whole_token(
    http: TestClient, make_key: MakeKey, app_database: Database
) -> None:
    expired = make_key("vision", "read", lives_s=-1)
    cut = {"Authorization": expired["Authorization"][:-1] + "x"}

    assert "is expired" in http.get("/v1/jobs", headers=expired).json()["detail"]
    assert "is revoked" in http.get("/v1/jobs", headers=revoked(make_key, app_database)).json()["detail"]
    assert "is expired" not in http.get("/v1/jobs", headers=cut).json()["detail"]


def test_without_any_key_this_machine_may_do_everything(http: TestClient) -> None:
    assert http.get("/v1/jobs").status_code == 200
    assert http.get("/v1/jobs?owner=anybody").json()["items"] == []
    # A key of another service does not shut out who needs none.
    assert http.get("/v1/jobs", headers={"Authorization": "Bearer other"}).status_code == 200


def test_names_of_loopback_are_this_machine(http: TestClient) -> None:
    for host in ("localhost", "localhost:8000", "127.0.0.1:80", "[::1]:8000", "127.9.9.9"):
        assert http.get("/v1/jobs", headers={"Host": host}).status_code == 200, host


def test_a_rebound_name_a_foreign_page_or_a_proxy_is_not_this_machine(http: TestClient) -> None:
    for headers in (
        {"Host": "evil.example.org"},
        {"Host": "evil.example.org:8000"},
        {"Host": "127.0.0.1.evil.example.org"},
        {"Host": "localhost.evil.example.org"},
        {"Host": "evil.example.org@127.0.0.1.nip.io"},
        {"Host": "192.168.1.5"},
        {"Host": "0.0.0.0"},
        {"Host": ""},
        {"Host": "["},
        {"Origin": "https://evil.example.org"},
        {"Origin": "null"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"Via": "1.1 proxy"},
    ):
        response = http.get("/v1/jobs", headers=headers)

        assert problem(response) == (401, "unauthorized"), headers
        assert "no API key exists yet" in response.json()["detail"]


def test_only_loopback_addresses_are_this_machine(app: FastAPI) -> None:
    def status_for(address: str) -> int:
        return TestClient(app, base_url="http://127.0.0.1:8000", client=(address, 50_000)).get("/v1/jobs").status_code

    assert [status_for(address) for address in ("::1", "::ffff:127.0.0.1")] == [200, 200]
    assert [status_for(address) for address in ("10.0.0.7", "::ffff:10.0.0.7")] == [401, 401]


def test_once_a_key_was_made_this_machine_needs_one_too_also_if_it_is_revoked(
    gate_clock: GateClock, http: TestClient, make_key: MakeKey, app_database: Database
) -> None:
    before = http.get("/v1/jobs").status_code
    revoked(make_key, app_database)
    gate_clock.now_s += TTL_S + 0.1

    assert (before, http.get("/v1/jobs").status_code) == (200, 401)


def test_a_revoked_key_is_refused_after_a_second(
    gate_clock: GateClock, http: TestClient, make_key: MakeKey, app_database: Database
) -> None:
    key = make_key("vision", "read")
    before = http.get("/v1/jobs", headers=key).status_code
    with app_database.begin() as tx:
        api_keys.revoke(tx, key["Authorization"].split("_")[1])
    gate_clock.now_s += TTL_S + 0.1

    assert (before, http.get("/v1/jobs", headers=key).status_code) == (200, 401)


def test_a_key_costs_one_statement_a_second_and_one_more_a_minute(
    gate_clock: GateClock, app: FastAPI, http: TestClient, make_key: MakeKey
) -> None:
    key = make_key("vision", "read")
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(("SELECT", "UPDATE")):
            statements.append(statement.split()[0])

    engine = app.state.services.database.engine
    event.listen(engine, "before_cursor_execute", note)

    counts = []
    for later_s in (0.0, TTL_S, 0.1):
        gate_clock.now_s += later_s
        statements.clear()
        http.get("/v1/jobs", headers=key)
        counts.append(list(statements))

    assert counts == [["SELECT", "SELECT", "UPDATE"], ["SELECT"], ["SELECT", "SELECT"]]


def test_a_database_that_does_not_answer_is_no_reason_to_let_anybody_in(settings: ApiSettings) -> None:
    unreachable = settings.model_copy(update={"database_url": "postgresql://safs@127.0.0.1:1/safs"})
    with from_this_machine(create_app(unreachable)) as http:
        assert problem(http.get("/v1/jobs")) == (503, "database_unavailable")
