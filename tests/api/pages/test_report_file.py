"""report.html: the page of a finished job as one file."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import expect

from tests.api.conftest import FILES, ScriptedRunner
from tests.api.pages.conftest import Tab
from tests.api.pages.test_access import REPORT

MARKUP = "</script><script>document.title=1</script><b>bold</b>"


@pytest.fixture
def file(
    submit: Callable[..., str],
    runner: ScriptedRunner,
    http: TestClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The file of a job whose name is markup."""
    job_id = submit(name=MARKUP)
    runner.start()
    for number in range(4):
        runner.trial("activations", number, [0.5, 0.6 + number / 100])
    monkeypatch.setitem(FILES, "report", (json.dumps(REPORT).encode(), "application/json"))
    runner.succeed()
    answer = http.get(f"/v1/jobs/{job_id}/report.html")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith("attachment")
    path = tmp_path / "report.html"
    path.write_bytes(answer.content)
    return path


def test_the_file_shows_the_page_without_the_service_and_loads_nothing(tab: Tab, file: Path) -> None:
    page = tab.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())

    expect(page.get_by_role("heading", name=MARKUP)).to_be_visible()
    expect(page.get_by_role("row", name="Activation search 3")).to_contain_text("63.00%")
    expect(page.get_by_role("img", name="Activation map of 4 trials")).to_be_visible()
    sizes = page.get_by_role("region", name="Sizes by format")
    expect(sizes.get_by_role("row", name="compact")).to_contain_text("24 KiB10.0%9 of 9")
    expect(sizes.get_by_role("row", name="onnx")).to_contain_text("<b>no</b> operator")
    expect(page.get_by_role("region", name="Milliseconds by batch")).to_contain_text("323.00 ms1.50 ms2.00 ×8 of 9")
    page.get_by_role("heading", name="Layers").scroll_into_view_if_needed()
    expect(page.locator(".plot .main-svg").first).to_be_visible()
    assert page.locator("main b").count() == 0
    assert [url[:5] for url in asked if not url.startswith(("data:", "blob:"))] == ["file:"]


def test_a_job_without_a_result_has_no_file(
    http: TestClient, submit: Callable[..., str], runner: ScriptedRunner
) -> None:
    job_id = submit()
    address = f"/v1/jobs/{job_id}/report.html"
    assert http.get(address).json()["code"] == "job_not_finished"
    runner.start()
    runner.fail("it broke", "dense")

    assert http.get(address).json()["code"] == "no_result"


def test_the_file_is_sent_once_for_each_version(file: Path, http: TestClient) -> None:
    (job,) = http.get("/v1/jobs").json()["items"]
    address = f"/v1/jobs/{job['id']}/report.html"
    first = http.get(address)

    assert http.get(address, headers={"If-None-Match": first.headers["etag"]}).status_code == 304
