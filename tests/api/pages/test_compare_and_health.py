"""Comparing jobs, and the state of the service, in a browser."""

from collections.abc import Callable

from playwright.sync_api import expect

from store import runners
from tests.api.conftest import ScriptedRunner
from tests.api.pages.conftest import Tab


def test_jobs_stand_side_by_side_with_their_differences_first(
    tab: Tab, url: str, submit: Callable[..., str], runner: ScriptedRunner
) -> None:
    ids = [submit(name="<b>one</b>", seed=3), submit(name="two", sparsity=0.9)]
    runner.start()
    runner.trial("tune", 0, [0.5, 0.6])
    runner.succeed()
    page = tab.page
    page.goto(f"{url}/compare?jobs={','.join(ids)}")

    expect(page.get_by_role("heading", name="Compare 2 jobs")).to_be_visible()
    assert page.locator("tr.differs th").all_inner_texts() == ["sparsity", "seed"]
    results = page.get_by_label("Table of results")
    expect(results).to_contain_text("<b>one</b>")
    expect(results).to_contain_text("90.00%")
    expect(page.locator(".plot .legendtext", has_text="<b>one</b>").first).to_be_visible()


def test_too_few_jobs_are_explained(tab: Tab, url: str) -> None:
    tab.page.goto(f"{url}/compare")

    expect(tab.page.get_by_text("Select two to six jobs")).to_be_visible()


def test_health_shows_what_runs_and_who_is_idle_or_lost(
    tab: Tab, url: str, submit: Callable[..., str], runner: ScriptedRunner
) -> None:
    job_id = submit()
    submit()
    page = tab.page
    page.goto(f"{url}/health")
    expect(page.get_by_text("The service is ready.")).to_be_visible()
    expect(page.get_by_text("No runner is there")).to_be_visible()

    runner.start()
    with runner.database.begin() as tx:
        for name, expires_s in (("<b>idle</b>:1", 600.0), ("gone:1", -1.0)):
            resources = {"cores": {"total": 8.0, "free": 6.0}}
            runners.announce(tx, name, version="9.9", cluster=None, resources=resources, expires_s=expires_s)

    row = page.get_by_role("row", name="scripted")
    expect(row).to_contain_text(job_id)
    expect(row).to_contain_text("busy")
    expect(page.get_by_role("row", name="<b>idle</b>:1")).to_contain_text("idle")
    expect(page.get_by_role("row", name="<b>idle</b>:1")).to_contain_text("2 of 8")
    expect(page.get_by_role("row", name="gone:1")).to_contain_text("lost")
    expect(page.get_by_role("region", name="Resources of Ray")).to_contain_text("Cores in use2 of 8")
    expect(page.locator(".tile", has_text="queued")).to_contain_text("1")
