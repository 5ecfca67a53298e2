"""A real browser before a real server: Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from api.settings import ApiSettings
from store.session import Database
from store.sqlite_urls import sqlite_url as sqlite_url_of
from store.upkeep.restore import clear
from tests.api.conftest import running, settings_of

expect.set_options(timeout=20_000)

CHROMIUM = os.environ.get("SAFS_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
SKIP = "no Chromium: install it with `apt-get install chromium`, or name it in SAFS_TEST_CHROMIUM"
_NOTE_VIOLATIONS = (
    "document.addEventListener('securitypolicyviolation', (found) => "
    "noteViolation(`${found.violatedDirective} ${found.blockedURI} ${found.sample}`))"
)


@dataclass
class Tab:
    """A page of the browser, with everything that went wrong in it."""

    page: Page
    problems: list[str] = field(default_factory=list)
    """Errors of scripts and messages of the level ``error``."""
    violations: list[str] = field(default_factory=list)
    """Events ``securitypolicyviolation``: what the Content-Security-Policy has refused."""
    expected: tuple[int, ...] = ()
    """Statuses of errors that the test causes on purpose; the browser reports each as an error."""

    @property
    def unexpected(self) -> list[str]:
        """The problems without the expected ones."""
        return [one for one in self.problems if not any(f"status of {status} " in one for status in self.expected)]


@dataclass(frozen=True)
class Site:
    """A running server."""

    settings: ApiSettings
    address: str


OpenTab = Callable[..., Tab]
"""Function (**options of a browser context) that opens a page with a session of its own."""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium for the tests of this folder. Without Chromium on this machine, they are skipped."""
    if CHROMIUM is None:
        pytest.skip(SKIP)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite_file: Path) -> Iterator[Site]:
    """A real server for the tests of this folder that need none of their own."""
    home = tmp_path_factory.mktemp("site")
    shutil.copy(migrated_sqlite_file, home / "safs.db")
    settings = settings_of(home, sqlite_url_of(home / "safs.db"))
    with running(settings) as (address, _):
        yield Site(settings, address)


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> ApiSettings:
    """Those of the shared server, over an empty database. A test that makes keys gets settings of its own, since the
    server remembers for a second that there are none."""
    if "make_key" in request.fixturenames:
        return settings_of(request.getfixturevalue("tmp_path") / "home", request.getfixturevalue("api_database_url"))
    site: Site = request.getfixturevalue("site")
    database = Database(site.settings.database_url)
    with database.begin() as tx:
        clear(tx)
    database.dispose()
    return site.settings


@pytest.fixture
def api_database_url(request: pytest.FixtureRequest) -> str:
    """The database of ``settings``."""
    if "make_key" in request.fixturenames:
        return str(request.getfixturevalue("sqlite_url"))
    return str(request.getfixturevalue("settings").database_url)


@pytest.fixture
def url(request: pytest.FixtureRequest, settings: ApiSettings) -> Iterator[str]:
    """The address of the server with these settings."""
    if "make_key" not in request.fixturenames:
        yield request.getfixturevalue("site").address
        return
    with running(settings) as (address, _):
        yield address


@pytest.fixture
def open_tab(browser: Browser) -> Iterator[OpenTab]:
    """Opens pages; at the end, none of them may have broken the Content-Security-Policy or have had an error."""
    contexts: list[BrowserContext] = []
    tabs: list[Tab] = []

    def open_one(**options: object) -> Tab:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        contexts.append(context)
        tab = Tab(context.new_page())
        context.expose_function("noteViolation", lambda found: tab.violations.append(found))
        context.add_init_script(_NOTE_VIOLATIONS)
        tab.page.on("pageerror", lambda error: tab.problems.append(str(error)))
        tab.page.on("console", lambda said: tab.problems.append(said.text) if _is_error(said) else None)
        tabs.append(tab)
        return tab

    yield open_one
    for context in contexts:
        context.close()
    assert [tab.violations for tab in tabs] == [[] for _ in tabs]
    assert [tab.unexpected for tab in tabs] == [[] for _ in tabs]


def _is_error(said: ConsoleMessage) -> bool:
    """True for an error that the page is to blame for, unlike a server that has ended before the page."""
    return said.type == "error" and "net::ERR_" not in said.text


@pytest.fixture
def tab(open_tab: OpenTab) -> Tab:
    """One page."""
    return open_tab()
