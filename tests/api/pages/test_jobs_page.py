"""The list of jobs in a browser."""

from collections.abc import Callable

from fastapi.testclient import TestClient
from playwright.sync_api import expect

from tests.api.conftest import ScriptedRunner
from tests.api.pages.conftest import Tab

MARKUP = '<img src=x onerror="document.title=1"><b>bold</b>'


def test_the_first_visit_shows_how_to_begin(tab: Tab, url: str) -> None:
    tab.page.goto(url)

    expect(tab.page.get_by_role("heading", name="No jobs yet")).to_be_visible()
    expect(tab.page.get_by_text("safs submit --model")).to_be_visible()


def test_jobs_appear_and_change_without_a_reload(
    tab: Tab, url: str, submit: Callable[..., str], runner: ScriptedRunner
) -> None:
    job_id = submit(name="first")
    tab.page.goto(url)
    row = tab.page.locator(f"[data-job={job_id}]")
    expect(row).to_contain_text("queued")
    tab.page.evaluate("window.stayed = true")
    row.get_by_role("checkbox").check()

    runner.start()
    second = submit(name="second")

    expect(row).to_contain_text("running")
    expect(tab.page.locator(f"[data-job={second}]")).to_be_visible()
    expect(row.get_by_role("checkbox")).to_be_checked()
    assert tab.page.evaluate("window.stayed")
    runner.succeed()
    expect(row).to_contain_text("90.0%")


def test_filters_are_part_of_the_address(tab: Tab, url: str, submit: Callable[..., str]) -> None:
    for name in ("alpha one", "alpha two", "beta"):
        submit(name=name)
    tab.page.goto(url)

    tab.page.get_by_label("Name contains").fill("ALPHA")
    expect(tab.page.locator("tbody tr")).to_have_count(2)
    assert tab.page.url.endswith("?text=ALPHA")
    tab.page.get_by_label("Order").select_option("Oldest first")
    expect(tab.page.locator("tbody tr").first).to_contain_text("alpha one")
    tab.page.reload()
    expect(tab.page.locator("tbody tr").first).to_contain_text("alpha one")
    tab.page.get_by_label("Network").fill("resnet")
    expect(tab.page.get_by_text("No job fits these filters.")).to_be_visible()


def test_a_column_sorts_all_jobs_and_the_list_says_what_was_reused(
    tab: Tab, url: str, submit: Callable[..., str], runner: ScriptedRunner
) -> None:
    source = submit(name="source", sparsity=0.9)
    runner.start()
    runner.succeed()
    submit(name="another", sparsity=0.99)
    follower = submit(name="follower", sparsity=0.95)
    runner.start_if_any()
    runner.start()
    runner.reuse("dense", source)
    runner.reuse("prune", source)
    page = tab.page
    page.goto(url)
    names = page.locator("tbody th > a")
    expect(page.locator(f"[data-job={follower}] .lineage")).to_have_text(
        f"↳ reused dense training, pruning of {source}"
    )
    expect(page.get_by_role("columnheader", name="Submitted")).to_have_attribute("aria-sort", "descending")

    page.get_by_role("button", name="Sparsity").click()
    expect(names).to_have_text(["another", "follower", "source"])
    page.get_by_role("button", name="Sparsity").click()
    expect(page.get_by_role("columnheader", name="Sparsity")).to_have_attribute("aria-sort", "ascending")
    expect(page.locator("tbody tr").first).to_contain_text("source")
    assert page.url.endswith("?order=sparsity")
    page.get_by_role("button", name="Best").click()
    expect(page.locator("tbody tr").first).to_contain_text("90.0%")


def test_names_are_text_and_never_markup(tab: Tab, url: str, submit: Callable[..., str]) -> None:
    submit(name=MARKUP)
    tab.page.goto(url)

    expect(tab.page.get_by_role("link", name=MARKUP)).to_be_visible()
    assert tab.page.locator("main img, main b").count() == 0


def test_two_chosen_jobs_can_be_compared(tab: Tab, url: str, http: TestClient, submit: Callable[..., str]) -> None:
    ids = [submit(name="one"), submit(name="two")]
    tab.page.goto(url)
    compare = tab.page.locator("a", has_text="Compare")
    expect(compare).to_have_attribute("aria-disabled", "true")

    for job_id in ids:
        tab.page.locator(f"[data-job={job_id}]").get_by_role("checkbox").check()

    expect(compare).to_have_attribute("href", f"/compare?jobs={ids[0]},{ids[1]}")
