"""Signing in and out, and keys, in a browser."""

import re

from playwright.sync_api import expect

from tests.api.conftest import MakeKey
from tests.api.pages.conftest import OpenTab, Tab


def test_a_reader_signs_in_sees_only_their_jobs_and_signs_out(tab: Tab, url: str, make_key: MakeKey) -> None:
    token = make_key("vision", "read", "submit")["Authorization"].removeprefix("Bearer ")
    tab.expected = (401,)
    page = tab.page
    page.goto(f"{url}/?state=queued")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

    page.get_by_label("API key").fill("safs_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("no key of this service")
    page.get_by_label("API key").fill(token)
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    assert page.url == f"{url}/?state=queued"
    expect(page.locator("#who")).to_have_text("vision")
    expect(page.get_by_role("link", name="Keys")).to_be_hidden()
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert "safs_" not in stored
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.goto(url)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_an_address_of_another_site_is_not_followed_after_the_sign_in(tab: Tab, url: str, make_key: MakeKey) -> None:
    token = make_key("vision", "read")["Authorization"].removeprefix("Bearer ")
    tab.expected = (401,)
    for wanted in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"):
        tab.page.context.clear_cookies()
        tab.page.goto(f"{url}/sign-in?next={wanted}")
        tab.page.get_by_label("API key").fill(token)
        tab.page.get_by_role("button", name="Sign in").click()
        expect(tab.page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
        assert tab.page.url.startswith(f"{url}/")


def test_an_admin_makes_a_key_that_is_shown_once_and_revokes_it(open_tab: OpenTab, url: str, make_key: MakeKey) -> None:
    admin = open_tab()
    admin.expected = (401,)
    token = make_key("ops", "admin")["Authorization"].removeprefix("Bearer ")
    page = admin.page
    page.goto(f"{url}/keys")
    page.get_by_label("API key").fill(token)
    page.keyboard.press("Enter")
    page.get_by_role("textbox", name="Owner").fill("vision")
    page.get_by_role("button", name="Create key").click()
    shown = page.get_by_role("status").locator("code").inner_text()
    assert re.fullmatch(r"safs_[0-9a-f]{8}_[0-9a-f]{48}", shown)
    page.reload()
    row = page.get_by_role("row", name=shown.split("_")[1])
    expect(row).to_contain_text("vision")
    expect(page.get_by_text(shown)).to_have_count(0)

    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("button", name="Revoke the key").click()

    expect(row).to_contain_text("revoked")


def test_a_job_of_another_owner_does_not_exist(
    open_tab: OpenTab, url: str, http: object, make_key: MakeKey, submit: object
) -> None:
    job_id = submit(name="secret plan")  # type: ignore[operator]
    token = make_key("vision", "read")["Authorization"].removeprefix("Bearer ")
    tab = open_tab()
    tab.expected = (401, 404)
    tab.page.goto(f"{url}/jobs/{job_id}")
    tab.page.get_by_label("API key").fill(token)
    tab.page.keyboard.press("Enter")

    expect(tab.page.get_by_role("heading", name="There is no such job")).to_be_visible()
    assert "secret plan" not in tab.page.content()
