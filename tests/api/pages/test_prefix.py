"""The pages behind a proxy that serves them under a prefix and strips it."""

from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Page, expect

from api.settings import ApiSettings
from tests.api.conftest import ScriptedRunner, running
from tests.api.pages.conftest import Tab

PREFIX = "/tools/safs"


@pytest.fixture
def behind_a_proxy(tab: Tab, settings: ApiSettings) -> Iterator[tuple[str, list[str]]]:
    """Opens a server under the prefix; yields its address with it and the addresses that the page asks for."""
    asked: list[str] = []
    with running(settings.model_copy(update={"root_path": PREFIX})) as (address, _):
        tab.page.route(
            f"{address}{PREFIX}/**", lambda route: route.continue_(url=route.request.url.replace(PREFIX, ""))
        )
        tab.page.on("request", lambda request: asked.append(request.url))
        yield f"{address}{PREFIX}", asked


def links_of(page: Page) -> list[str]:
    found: list[str] = page.evaluate("[...document.querySelectorAll('a[href]')].map((one) => one.href)")
    return found


@pytest.mark.exhaustive  # tests/reports/api/test_proxies_with_a_prefix.py is the plain part
def test_every_address_of_the_pages_has_the_prefix(
    tab: Tab,
    behind_a_proxy: tuple[str, list[str]],
    http: TestClient,
    submit: Callable[..., str],
    runner: ScriptedRunner,
) -> None:
    address, asked = behind_a_proxy
    job_id = submit(name="finished")
    runner.start()
    runner.trial("tune", 0, [0.5, 0.6])
    runner.succeed()
    page = tab.page
    page.goto(f"{address}/")
    page.get_by_role("link", name="finished").click()
    expect(page).to_have_url(f"{address}/jobs/{job_id}")
    expect(page.get_by_role("row", name="Tuning 0")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="config.json").click()
    assert download.value.url == f"{address}/v1/jobs/{job_id}/config"
    links = links_of(page)
    page.get_by_role("link", name="New job").click()
    expect(page.get_by_text("61,470 weights stay", exact=False).first).to_be_visible()
    expect(page.locator(".code")).to_contain_text("dataset: digits")
    page.get_by_role("button", name="Start job").click()
    expect(page.locator(".badge").first).to_have_text("○queued")
    assert page.url.startswith(f"{address}/jobs/job_")
    page.goto(f"{address}/health")
    expect(page.get_by_text("The service is ready.")).to_be_visible()

    links += links_of(page)
    assert [
        url for url in (*asked, *links) if not url.startswith((f"{address}/", f"{address}#", "data:", "blob:"))
    ] == []
