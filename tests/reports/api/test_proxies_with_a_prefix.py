"""Behind a proxy that serves the service under a prefix and strips it (``SAFS_ROOT_PATH``), every address works."""

import http.client
import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from api.settings import ApiSettings
from safs.client import Client
from tests.api.conftest import FILES, MINIMAL, ScriptedRunner, running

PREFIX = "/tools/safs"


def _proxy_to(target: str) -> type[BaseHTTPRequestHandler]:
    """A handler that passes requests below ``PREFIX`` on without it, and knows no other address."""

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            if not self.path.startswith(f"{PREFIX}/"):
                self.send_error(404, "not below the prefix")
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection = http.client.HTTPConnection(str(urlsplit(target).netloc), timeout=30)
            connection.request(self.command, self.path.removeprefix(PREFIX), body, dict(self.headers.items()))
            response = connection.getresponse()
            content = response.read()
            self.send_response(response.status)
            for name, value in response.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            connection.close()

        do_GET = do_POST = _pass_on  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    return Proxy


@pytest.fixture
def proxied(settings: ApiSettings) -> Iterator[str]:
    """The address of a service behind a proxy, with the prefix."""
    with running(settings.model_copy(update={"root_path": PREFIX})) as (target, _):
        proxy = ThreadingHTTPServer(("127.0.0.1", 0), _proxy_to(target))
        thread = Thread(target=proxy.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{proxy.server_port}{PREFIX}"
        proxy.shutdown()
        thread.join()
        proxy.server_close()


def _get(address: str) -> httpx.Response:
    response = httpx.get(address)
    assert response.status_code == 200, (address, response.status_code)
    return response


def test_every_link_of_jobs_and_trials_leads_to_its_part(proxied: str, runner: ScriptedRunner) -> None:
    created = httpx.post(f"{proxied}/v1/jobs", json=MINIMAL, headers={"Idempotency-Key": "one"})
    again = httpx.post(f"{proxied}/v1/jobs", json=MINIMAL, headers={"Idempotency-Key": "one"})
    runner.start()
    runner.trial("tune", 0, [0.5])
    runner.succeed()

    assert (again.headers["Idempotent-Replayed"], again.json()) == ("true", created.json())
    for response in (created, again):
        assert _get(urljoin(proxied, response.headers["Location"])).json()["id"] == created.json()["id"]
        assert _get(urljoin(proxied, response.json()["links"]["self"])).json()["id"] == created.json()["id"]
    job = _get(urljoin(proxied, created.headers["Location"])).json()
    assert set(FILES) < set(job["links"])
    for address in job["links"].values():
        _get(urljoin(proxied, address))
    (trial,) = _get(urljoin(proxied, job["links"]["trials"])).json()["items"]
    assert len(_get(urljoin(proxied, trial["curve"])).json()["epochs"]) == 1
    (listed,) = _get(f"{proxied}/v1/jobs").json()["items"]
    assert listed["links"] == job["links"]


def test_pages_of_a_list_and_redirects_stay_below_the_prefix(proxied: str) -> None:
    for _ in range(2):
        httpx.post(f"{proxied}/v1/jobs", json=MINIMAL)
    first = _get(f"{proxied}/v1/jobs?limit=1").json()
    second = _get(f"{proxied}/v1/jobs?limit=1&page_token={first['next_page_token']}").json()
    redirect = httpx.get(f"{proxied}/v1/jobs/?limit=1")

    assert first["items"][0]["id"] != second["items"][0]["id"]
    assert redirect.status_code == 307
    assert urlsplit(redirect.headers["Location"]).netloc == ""
    assert _get(urljoin(proxied, redirect.headers["Location"])).json()["items"] == first["items"]


def test_the_documentation_finds_its_files_and_its_document(proxied: str) -> None:
    page = _get(f"{proxied}/docs").text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    (document,) = re.findall(r"url: '([^']+)'", page)

    assert len(loaded) == 3
    for address in loaded:
        _get(urljoin(f"{proxied}/docs", address))
    described = _get(urljoin(f"{proxied}/docs", document)).json()
    (server,) = described["servers"]
    assert _get(urljoin(proxied, server["url"] + "/livez")).json() == {"status": "ok"}


def test_the_client_works_with_the_prefix_in_its_url(proxied: str, runner: ScriptedRunner, tmp_path: Any) -> None:
    with Client(proxied) as client:
        job = client.submit(MINIMAL)
        runner.start()
        runner.trial("tune", 0, [0.5])
        runner.succeed()

        assert json.loads((job.wait().download(tmp_path) / "report.json").read_text()) == job.report()
        assert [found.id for found in client.jobs()] == [job.id]


@pytest.mark.parametrize(
    "given", ["safs", "/safs?x", "//evil.example.org", "/a b", "/a/../b", "https://example.org/safs"]
)
def test_a_root_path_that_is_no_path_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="SAFS_ROOT_PATH"):
        ApiSettings(root_path=given)


def test_a_slash_at_the_end_of_the_root_path_does_not_matter() -> None:
    assert [ApiSettings(root_path=given).root_path for given in ("/", "/safs/", "/a/b")] == ["", "/safs", "/a/b"]
