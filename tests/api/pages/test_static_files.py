"""Pages and their files: what is served, to whom, with which policy, and from where."""

import gzip
import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import api.pages
from api.pages.static_files import PLOTLY, read_static_files
from tests.api.conftest import MakeKey

STATIC = Path(api.pages.__file__).parent / "static"
SCRIPTS = sorted(STATIC.rglob("*.js"))
PAGES = ("/", "/jobs/job_0123", "/new", "/compare", "/health", "/keys", "/sign-in")


def sources(html: str) -> list[str]:
    return re.findall(r'(?:src|href)="(/static/[^"]+)"', html)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_needs_no_key_and_holds_no_data(http: TestClient, make_key: MakeKey, path: str) -> None:
    make_key("vision", "read")
    page = http.get(path)

    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "vision" not in page.text
    assert page.headers["cache-control"] == "no-cache"
    for source in sources(page.text):
        assert http.get(source).status_code == 200, source


@pytest.mark.parametrize("path", PAGES)
def test_the_policy_of_a_page_lets_nothing_in_but_the_service(http: TestClient, path: str) -> None:
    policy = dict(part.split(" ", 1) for part in http.get(path).headers["content-security-policy"].split("; "))

    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert {policy["default-src"], policy["base-uri"], policy["form-action"], policy["frame-ancestors"]} == {"'none'"}
    assert "http" not in " ".join(policy.values())


def test_files_are_kept_forever_under_an_address_that_changes_with_them(http: TestClient) -> None:
    static = read_static_files()
    address = static.address("core/dom.js")
    answer = http.get(address, headers={"Accept-Encoding": "identity"})

    assert answer.content == (STATIC / "core/dom.js").read_bytes()
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert http.get(address, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert http.get("/static/0000000000000000/core/dom.js").status_code == 404
    with pytest.raises(KeyError):
        static.address("missing.js")


def test_plotly_comes_from_its_own_package_and_is_compressed(http: TestClient) -> None:
    static = read_static_files()
    with http.stream("GET", static.address(PLOTLY), headers={"Accept-Encoding": "gzip"}) as answer:
        sent = b"".join(answer.iter_raw())

    assert answer.headers["content-encoding"] == "gzip"
    assert b"plotly.js v" in gzip.decompress(sent)[:200]
    assert len(sent) < len(static.files[PLOTLY].content) / 2


@pytest.mark.parametrize(
    "name", ["../routes.py", "..%2froutes.py", "%2e%2e/static_files.py", "/etc/passwd", "core/", ""]
)
def test_no_other_file_is_served(http: TestClient, name: str) -> None:
    version = read_static_files().version

    assert http.get(f"/static/{version}/{name}").status_code in (401, 404)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.relative_to(STATIC).as_posix())
def test_a_script_reads_no_text_as_markup_or_code_and_loads_nothing_from_elsewhere(script: Path) -> None:
    source = script.read_text()

    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", source)
    assert "http://www.w3.org/2000/svg" in source or not re.search(r"https?://", source)
    for imported in re.findall(r'from "([^"]+)"', source):
        assert (script.parent / imported).is_file(), imported
    assert len(source.splitlines()) <= 260
