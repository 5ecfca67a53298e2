"""Security headers for browsers, on every response."""

import re
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from api.checks.checker import Checker
from api.settings import ApiSettings
from tests.api.conftest import MINIMAL, MakeKey, from_this_machine
from tests.api.endpoints import endpoints
from tests.checks_in_process import InThisProcess, with_catalog

PAGE = "https://safs.example.org"


@pytest.fixture
def app(settings: ApiSettings) -> FastAPI:
    """Hide timm: the tests request every endpoint, and its names take long to list."""
    return create_app(settings, checker=with_catalog({"models": []}))


def check(response: Any) -> None:
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
    assert response.headers["cache-control"] in ("no-store", "no-cache")
    assert "server" not in response.headers
    assert "access-control-allow-origin" not in response.headers


def test_every_answer_has_them_good_or_bad(app: FastAPI, http: TestClient, make_key: MakeKey) -> None:
    for address in ("/docs", "/openapi.json", "/nothing"):
        check(http.get(address))
    for endpoint in endpoints(app):
        check(http.request(endpoint.method, endpoint.address()))
    key = make_key("vision", "admin")
    for endpoint in endpoints(app):
        check(http.request(endpoint.method, endpoint.address(), headers=key))


def test_an_unexpected_error_has_them_too_and_tells_nothing_of_the_inside(settings: ApiSettings) -> None:
    class Broken(InThisProcess):
        def ask(self, body: bytes, *, limit_s: float, kind: bytes = b"-") -> bytes:
            raise RuntimeError("a secret of the inside")

    with from_this_machine(create_app(settings, checker=Checker(Broken(), estimate_limit_s=0))) as http:
        response = http.post("/v1/jobs", json=MINIMAL)

    check(response)
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    for inside in ("secret", "RuntimeError", "Traceback", ".py"):
        assert inside not in response.text


def test_the_docs_page_may_run_swagger_ui_and_its_own_script_and_nothing_else(http: TestClient) -> None:
    page = http.get("/docs")
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))

    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    assert f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in policy["script-src"]
    assert "unsafe" not in policy["script-src"]
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"  # its requests to the API
    assert "http" not in " ".join(policy.values())


def test_the_docs_page_loads_nothing_but_files_of_the_service_for_which_nobody_needs_a_key(
    http: TestClient, make_key: MakeKey
) -> None:
    make_key("vision", "read")
    page = http.get("/docs").text
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    found = {source: http.get(source) for source in sources}

    assert {source: (answer.status_code, answer.headers["content-type"]) for source, answer in found.items()} == {
        "/docs/swagger-ui-bundle.js": (200, "text/javascript; charset=utf-8"),
        "/docs/swagger-ui.css": (200, "text/css; charset=utf-8"),
        "/docs/favicon.png": (200, "image/png"),
    }
    assert "SwaggerUIBundle" in found["/docs/swagger-ui-bundle.js"].text
    assert "url: '/openapi.json'" in page
    for answer in found.values():
        assert answer.headers["x-content-type-options"] == "nosniff"
    # What is written in the style sheet itself may be drawn, and nothing else is fetched.
    assert all(url.startswith("data:") for url in re.findall(r"url\(\"?([^)\"]+)", found["/docs/swagger-ui.css"].text))


def preflight(http: TestClient, origin: str) -> Any:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,idempotency-key"}
    return http.options("/v1/jobs", headers={"Origin": origin, **asked})


def test_pages_of_other_origins_may_do_nothing_unless_they_are_named(
    settings: ApiSettings, http: TestClient, make_key: MakeKey
) -> None:
    key = make_key("vision", "read")
    with from_this_machine(create_app(settings.model_copy(update={"cors_origins": (PAGE,)}))) as named:
        allowed, stranger = preflight(named, PAGE), preflight(named, "https://evil.example.org")
        answer = named.get("/v1/jobs", headers={"Origin": PAGE, **key})
        elsewhere = named.get("/v1/jobs", headers={"Origin": "https://evil.example.org", **key})

    assert preflight(http, PAGE).status_code == 401
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, PAGE)
    assert stranger.status_code == 400
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    check(elsewhere)
