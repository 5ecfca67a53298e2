"""The metrics for Prometheus."""

import shutil
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, text

from api import prometheus
from api.app import create_app
from api.checks.checker import Checker
from api.gate import authentication
from api.gate.key_cache import KeyCache
from api.settings import ApiSettings
from store.session import Database
from tests.api.conftest import from_this_machine
from tests.checks_in_process import InThisProcess


@pytest.fixture
def api_database_url(database_url: str) -> str:
    """A service on both databases in turn, since SQL does the counting."""
    return database_url


def scrape(http: TestClient) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Sample name -> labels -> value."""
    response = http.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(response.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def value(http: TestClient, name: str, **labels: str) -> float:
    return scrape(http)[name][tuple(sorted(labels.items()))]


def requests(http: TestClient) -> dict[tuple[str, str, str], float]:
    """(method, route, status) -> how many."""
    counted = scrape(http)["safs_request_seconds_count"]
    return {
        (of["method"], of["route"], of["status"]): count for labels, count in counted.items() if (of := dict(labels))
    }


@pytest.fixture(autouse=True)
def not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every scrape looks into the database."""
    monkeypatch.setattr(prometheus, "CACHED_S", -1.0)


def test_jobs_and_the_queue_are_told_by_state(http: TestClient, submit: Callable[..., str], runner: Any) -> None:
    submit()
    submit()
    runner.start()
    runner.trial("tune", 0, [0.5, 0.9])

    found = scrape(http)

    by_state = {dict(labels)["state"]: count for labels, count in found["safs_jobs"].items()}
    assert by_state == {"queued": 1, "running": 1, "cancelling": 0, "cancelled": 0, "succeeded": 0, "failed": 0}
    assert found["safs_queue_depth"] == {(): 1}
    assert 0 <= found["safs_queue_oldest_seconds"][()] < 60
    assert found["safs_trials_total"] == {(): 1}
    assert found["safs_trial_seconds_total"] == {(): 0.3}
    assert found["safs_database_up"] == {(): 1}
    assert found["safs_disk_free_bytes"][()] > 0
    for name in ("runners_lost", "workers_lost", "trials_repeated", "seconds_lost", "lease_losses"):
        assert found[f"safs_{name}_total"] == {(): 0}


def test_results_are_counted_with_their_size(http: TestClient, submit: Callable[..., str], runner: Any) -> None:
    submit()
    runner.start()
    runner.succeed()

    assert value(http, "safs_artifacts") == 4
    assert value(http, "safs_artifacts_bytes") > 40_000


def test_requests_are_counted_by_the_template_of_their_route(http: TestClient, submit: Callable[..., str]) -> None:
    job_id = submit()
    http.get(f"/v1/jobs/{job_id}")
    http.get("/v1/jobs/job_that_is_not_there")
    http.post(f"/v1/jobs/{job_id}/checkpoint")

    counted = requests(http)

    assert counted["POST", "/v1/jobs", "202"] == 1
    assert counted["GET", "/v1/jobs/{job_id}", "200"] == 1
    assert counted["GET", "/v1/jobs/{job_id}", "404"] == 1
    assert counted["POST", "/v1/jobs/{job_id}/checkpoint", "405"] == 1


def test_a_caller_cannot_make_label_values(http: TestClient) -> None:
    for number in range(20):
        http.get(f"/guess/{number}")
        http.request(f"METHOD{number}", "/v1/jobs")

    counted = requests(http)

    assert counted["GET", "none", "404"] == 20
    assert counted["OTHER", "/v1/jobs", "405"] == 20
    assert len(counted) == 2


def test_a_scrape_sends_as_many_statements_for_many_jobs_as_for_one(
    app: Any, http: TestClient, submit: Callable[..., str]
) -> None:
    sent: list[str] = []
    engine = app.state.services.database.engine
    event.listen(engine, "before_cursor_execute", lambda *call: sent.append(call[2]))
    submit()
    sent.clear()
    http.get("/metrics")
    one = len(sent)
    for _ in range(5):
        submit()
    sent.clear()

    http.get("/metrics")

    assert len(sent) == one < 15


def test_what_was_read_is_kept_for_a_few_seconds(
    http: TestClient, submit: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "CACHED_S", 60.0)
    before = value(http, "safs_queue_depth")
    submit()

    assert (before, value(http, "safs_queue_depth")) == (0, 0)


def test_a_broken_endpoint_is_counted_as_500(settings: ApiSettings) -> None:
    class Broken(InThisProcess):
        def ask(self, body: bytes, *, limit_s: float, kind: bytes = b"-") -> bytes:
            raise RuntimeError("boom")

    with from_this_machine(create_app(settings, checker=Checker(Broken(), estimate_limit_s=0))) as http:
        http.get("/v1/catalog")

        assert requests(http)["GET", "/v1/catalog", "500"] == 1


def test_without_a_database_the_rest_is_told(http: TestClient, api_database_url: str) -> None:
    database = Database(api_database_url)
    with database.begin() as tx:
        tx.execute(text("ALTER TABLE artifacts RENAME TO gone"))
    try:
        found = scrape(http)
    finally:
        with database.begin() as tx:
            tx.execute(text("ALTER TABLE gone RENAME TO artifacts"))
        database.dispose()

    assert found["safs_database_up"] == {(): 0}
    assert "safs_jobs" not in found
    assert found["safs_disk_free_bytes"][()] > 0


@pytest.mark.parametrize("with_key", [True, False], ids=["with a key", "no keys yet"])
def test_a_database_that_is_away_is_told_to_who_was_known_before(
    settings: ApiSettings, make_key: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch, with_key: bool
) -> None:
    monkeypatch.setattr(authentication, "KeyCache", partial(KeyCache, ttl_s=-1.0))
    app = create_app(settings)
    with from_this_machine(app) as http:
        http.headers.update(make_key("prometheus", "admin") if with_key else {})
        before = value(http, "safs_database_up")
        make_unreachable(app.state.services.database)

        found, jobs = scrape(http), http.get("/v1/jobs")
        http.headers["Authorization"] = "Bearer safs_00000000_" + 48 * "0"
        stranger = http.get("/metrics")

    assert (before, found["safs_database_up"]) == (1, {(): 0})
    assert found["safs_disk_free_bytes"][()] > 0
    assert (jobs.status_code, jobs.json()["code"]) == (503, "database_unavailable")
    assert (stranger.status_code, stranger.json()["code"]) == (503, "database_unavailable")


def test_the_disk_that_is_told_is_that_of_the_artifacts(
    http: TestClient, settings: ApiSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fake disks: artifacts on a mount of their own, which is not there before their folder is."""
    free = {settings.home: 10_000, settings.artifacts_folder: 999}
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free[folder]))
    settings.home.mkdir(exist_ok=True)
    before = value(http, "safs_disk_free_bytes")
    settings.artifacts_folder.mkdir()

    assert (before, value(http, "safs_disk_free_bytes")) == (10_000, 999)


def make_unreachable(database: Database) -> None:
    """From now on every connection is refused, as by a server that was stopped."""

    def refuse(dialect: Any, *_: object) -> None:
        raise dialect.loaded_dbapi.OperationalError("connection refused")

    database.dispose()
    for engine in database.engines:
        event.listen(engine, "do_connect", refuse)


def test_open_streams_are_counted(settings: ApiSettings, serve: Callable[..., Any]) -> None:
    with serve() as (url, _), httpx.Client(base_url=url, trust_env=False) as client:
        minimal = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99}
        events = client.post("/v1/jobs", json=minimal).json()["links"]["events"]
        with client.stream("GET", events, headers={"Accept": "text/event-stream"}) as stream:
            lines = stream.iter_lines()
            next(lines)
            assert "safs_event_streams 1.0" in client.get("/metrics").text.splitlines()
