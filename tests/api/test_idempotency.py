"""Idempotency-Key: a job that is posted again is not queued again, on both kinds of database."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from safs.client import Backoff, Client, ServiceError
from store.session import Database
from tests.api.conftest import MINIMAL, MakeKey

AT_ONCE = 100
KEY = {"Idempotency-Key": "one-job"}


@pytest.fixture
def api_database_url(database_url: str) -> str:
    return database_url


def test_a_hundred_equal_posts_at_once_make_one_job(url: str, make_key: MakeKey) -> None:
    headers = make_key("vision", "submit", "read") | KEY
    barrier = Barrier(AT_ONCE)

    with httpx.Client(
        base_url=url, headers=headers, timeout=120, trust_env=False, limits=httpx.Limits(max_connections=AT_ONCE)
    ) as http:

        def post(_: int) -> httpx.Response:
            barrier.wait()
            return http.post("/v1/jobs", json=MINIMAL)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(post, range(AT_ONCE)))
        jobs = http.get("/v1/jobs").json()["items"]

    assert len(jobs) == 1
    assert {answer.status_code for answer in answers} == {202}
    assert len({(answer.text, answer.headers["location"]) for answer in answers}) == 1
    assert answers[0].json() == jobs[0]
    assert sum(answer.headers.get("idempotent-replayed") == "true" for answer in answers) == AT_ONCE - 1


def test_the_answer_is_that_of_the_first_time_also_when_the_job_has_gone_on(http: TestClient, runner: Any) -> None:
    first = http.post("/v1/jobs", json=MINIMAL, headers=KEY)
    runner.start()
    again = http.post("/v1/jobs", json={"seed": 0, **MINIMAL}, headers=KEY)  # the same in other words

    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert (again.status_code, again.text) == (202, first.text)
    assert again.headers["location"] == first.headers["location"]


def test_another_job_under_the_key_is_refused_and_another_key_makes_another_job(http: TestClient) -> None:
    first = http.post("/v1/jobs", json=MINIMAL, headers=KEY).json()["id"]
    conflict = http.post("/v1/jobs", json=MINIMAL | {"seed": 1}, headers=KEY)
    other = http.post("/v1/jobs", json=MINIMAL | {"seed": 1}, headers={"Idempotency-Key": "another"})

    assert (conflict.status_code, conflict.json()["code"]) == (422, "idempotency_conflict")
    assert first in conflict.json()["detail"]
    assert other.status_code == 202


def test_keys_of_two_owners_have_nothing_to_do_with_each_other(http: TestClient, make_key: MakeKey) -> None:
    posted = [http.post("/v1/jobs", json=MINIMAL, headers=make_key(owner, "submit") | KEY) for owner in ("a", "b")]

    assert [answer.json()["owner"] for answer in posted] == ["a", "b"]


def test_refusals_are_not_kept_and_checks_do_not_count(http: TestClient) -> None:
    refused = http.post("/v1/jobs", json=MINIMAL | {"sparsity": 1 - 1e-9}, headers=KEY)
    checked = http.post("/v1/jobs?validate_only=true", json=MINIMAL | {"seed": 3}, headers=KEY)
    taken = http.post("/v1/jobs", json=MINIMAL, headers=KEY)

    assert (refused.status_code, checked.status_code, taken.status_code) == (422, 200, 202)
    assert "idempotent-replayed" not in taken.headers


def test_a_key_is_free_again_after_a_day(http: TestClient, app_database: Database) -> None:
    first = http.post("/v1/jobs", json=MINIMAL, headers=KEY).json()["id"]
    with app_database.begin() as tx:
        tx.execute(text("UPDATE idempotency_keys SET created_at = :at"), {"at": "2026-01-01T00:00:00.000Z"})

    again = http.post("/v1/jobs", json=MINIMAL | {"seed": 1}, headers=KEY)

    assert again.status_code == 202
    assert again.json()["id"] != first


def test_a_key_has_1_to_255_visible_characters(http: TestClient) -> None:
    for wrong in ("", " ", "two words", "a" * 256, "t\tab", "ü".encode("latin-1")):
        answer = http.post("/v1/jobs", json=MINIMAL, headers={"Idempotency-Key": wrong})  # type: ignore[dict-item]  # bytes too
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Idempotency-Key"), wrong
    assert http.post("/v1/jobs", json=MINIMAL, headers={"Idempotency-Key": "~" * 255}).status_code == 202


class CutTransport(httpx.BaseTransport):
    """Delivers all requests, and loses the responses to the first ``lost`` submissions."""

    def __init__(self, lost: int) -> None:
        self.real = httpx.HTTPTransport()
        self.lost = lost

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self.real.handle_request(request)
        if request.method == "POST" and self.lost:
            self.lost -= 1
            response.close()
            raise httpx.ReadError("connection reset by peer")
        return response

    def close(self) -> None:
        self.real.close()


def test_a_client_whose_answer_was_lost_asks_again_and_has_one_job(url: str) -> None:
    pauses: list[float] = []
    with Client(url, CutTransport(2), backoff=Backoff(first_s=1, sleep=pauses.append)) as client:
        job = client.submit(MINIMAL)
        another = client.submit(MINIMAL)

        assert {found.id for found in client.jobs()} == {job.id, another.id}
    assert len({job.id, another.id}) == 2
    assert pauses == [1, 1]


def test_a_client_that_reaches_nobody_says_so_at_once() -> None:
    pauses: list[float] = []
    with (
        Client("http://127.0.0.1:1", backoff=Backoff(sleep=pauses.append)) as client,
        pytest.raises(ServiceError, match="safs up"),
    ):
        client.submit(MINIMAL)

    assert pauses == []
