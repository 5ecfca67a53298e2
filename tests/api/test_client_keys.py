"""The client's API key: where it comes from, where it goes, and where it never goes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import save_file

from api.gate.key_cache import TTL_S
from safs.client import Backoff, Client, RemoteJob, ServiceError
from safs.client.connection import Connection
from store import api_keys
from store.api_keys import KeyLimits
from store.session import Database
from tests.api.conftest import MINIMAL, GateClock, MakeKey

TOKEN = "safs_1f0c9a3e_secret"


@pytest.fixture(autouse=True)
def _no_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAFS_API_KEY", raising=False)


class Recorder(httpx.MockTransport):
    """Gives every request the same response, and records the host and the key of each."""

    def __init__(self, answer: httpx.Response) -> None:
        self.sent: list[tuple[str, str | None]] = []
        self.answer = answer
        super().__init__(self.record)

    def record(self, request: httpx.Request) -> httpx.Response:
        self.sent.append((request.url.host, request.headers.get("Authorization")))
        return self.answer


def test_a_key_comes_from_the_caller_or_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = Recorder(httpx.Response(200, json={}))
    Client("http://safs", transport).catalog()
    monkeypatch.setenv("SAFS_API_KEY", TOKEN)
    Client("http://safs", transport).catalog()
    Client("http://safs", transport, api_key="safs_other").catalog()
    Client("http://safs", transport, api_key="").catalog()

    assert [key for _, key in transport.sent] == [None, f"Bearer {TOKEN}", "Bearer safs_other", None]


@pytest.mark.parametrize("target", ["https://evil.example.org/v1/catalog", "http://safs:81/v1/catalog", "/elsewhere"])
def test_a_redirect_is_not_followed_and_the_key_goes_nowhere_else(target: str) -> None:
    transport = Recorder(httpx.Response(307, headers={"Location": target}))

    with Client("http://safs", transport, api_key=TOKEN) as client:
        for call in (client.catalog, lambda: client.submit(MINIMAL), lambda: client.job("job_1").download("x")):
            with pytest.raises(ServiceError, match="redirects to") as refused:
                call()
            assert (refused.value.status, target in str(refused.value)) == (307, True)

    assert {host for host, _ in transport.sent} == {"safs"}


def test_a_key_that_cannot_be_one_is_refused_and_not_shown() -> None:
    for wrong in ("two words", "line\nbreak", "dash \u2013", "\u2026"):
        with pytest.raises(ServiceError, match="SAFS_API_KEY") as refused:
            Client(api_key=wrong)
        assert wrong not in str(refused.value)


def test_refusals_of_a_proxy_name_the_variable_too() -> None:
    for status in (401, 403):
        transport = Recorder(httpx.Response(status, text="no"))
        with Client("http://safs", transport) as client, pytest.raises(ServiceError, match="SAFS_API_KEY"):
            client.catalog()


@pytest.fixture
def clients(url: str, make_key: MakeKey) -> Iterator[dict[str, Client]]:
    """Clients of a real server, by what their key allows."""
    tokens = {"none": "", "read": "", "all": ""}
    for name, scopes in (("read", ("read",)), ("all", ("read", "submit"))):
        tokens[name] = make_key("vision", *scopes)["Authorization"].removeprefix("Bearer ")
    clients = {name: Client(url, api_key=key) for name, key in tokens.items()}
    yield clients
    for client in clients.values():
        client.close()


def test_with_a_key_all_works_and_without_the_error_says_what_to_do(clients: dict[str, Client]) -> None:
    job = clients["all"].submit(MINIMAL)

    assert clients["read"].job(job.id).view["owner"] == "vision"
    with pytest.raises(ServiceError, match=r"needs a key with the scope 'submit'.*SAFS_API_KEY") as forbidden:
        clients["read"].submit(MINIMAL)
    with pytest.raises(ServiceError, match=r"needs an API key.*SAFS_API_KEY.*safs keys create") as unauthorized:
        clients["none"].job(job.id)
    assert (forbidden.value.code, unauthorized.value.code) == ("forbidden", "unauthorized")


def test_a_stream_of_events_is_authorised_when_it_begins(url: str, clients: dict[str, Client]) -> None:
    job = clients["all"].submit(MINIMAL)
    job.cancel()

    assert list(clients["read"].job(job.id).follow()) == []
    connection = Connection(url, None, Backoff())
    with pytest.raises(ServiceError) as refused:
        list(RemoteJob(connection, job.view).follow())
    connection.close()
    assert refused.value.code == "unauthorized"


def test_a_stream_goes_on_when_its_key_is_revoked_and_ends_when_the_client_comes_back(
    gate_clock: GateClock, url: str, make_key: MakeKey, app_database: Database, runner: Any
) -> None:
    token = make_key("vision", "read", "submit")["Authorization"].removeprefix("Bearer ")
    with Client(url, api_key=token) as client:
        job = client.submit(MINIMAL)
        runner.start()
        runner.note("before")
        numbers = []
        for event in job.follow():
            numbers.append(event["number"])
            if event["number"] == 1:
                with app_database.begin() as tx:
                    api_keys.revoke(tx, token.split("_")[1])
                runner.note("after")
                runner.succeed()

        gate_clock.now_s += TTL_S + 0.1
        with pytest.raises(ServiceError, match="is revoked"):
            next(job.follow(after=1))

    assert numbers == [1, 2]


def test_a_client_above_its_requests_a_minute_waits_as_long_as_it_is_told(
    gate_clock: GateClock, url: str, make_key: MakeKey, tmp_path: Path
) -> None:
    limits = KeyLimits(requests_per_minute=60)
    token = make_key("vision", "read", "submit", limits=limits)["Authorization"].removeprefix("Bearer ")
    save_file({"weight": torch.zeros(3)}, tmp_path / "dense.safetensors")
    pauses: list[float] = []

    def wait(seconds: float) -> None:
        pauses.append(seconds)
        gate_clock.now_s += seconds

    with Client(url, api_key=token, backoff=Backoff(first_s=0.01, sleep=wait)) as client:
        while not pauses:
            list(client.jobs())
        upload = client.upload(tmp_path / "dense.safetensors")

    assert upload.startswith("upload_")
    assert pauses == [1.0, 1.0]


def test_a_client_whose_owner_has_used_its_share_is_told_so_at_once(url: str, make_key: MakeKey) -> None:
    token = make_key("vision", "submit", limits=KeyLimits(queued_jobs=1))["Authorization"].removeprefix("Bearer ")
    with Client(url, api_key=token, backoff=Backoff(sleep=pytest.fail)) as client:
        client.submit(MINIMAL)
        with pytest.raises(ServiceError) as refused:
            client.submit(MINIMAL)

    assert (refused.value.code, refused.value.retry_after_s) == ("quota_exceeded", 60)
