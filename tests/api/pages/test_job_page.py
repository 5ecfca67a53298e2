"""The page of a job in a browser."""

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from store import jobs
from store.records import JobState
from tests.api.conftest import ScriptedRunner
from tests.api.pages.conftest import Tab
from tests.api.pages.test_access import REPORT
from tests.api.test_importances import run_trials


def open_job(page: Page, url: str, job_id: str) -> None:
    page.goto(f"{url}/jobs/{job_id}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def test_a_running_job_is_patched_in_place(
    tab: Tab, url: str, submit: Callable[..., str], runner: ScriptedRunner
) -> None:
    job_id = submit(name="live")
    runner.start()
    runner.enter("tune")
    runner.trial("tune", 0, [0.5, 0.6])
    open_job(tab.page, url, job_id)
    expect(tab.page.locator(".badge").first).to_have_text("◔running")
    expect(tab.page.get_by_role("row", name="Tuning 0")).to_contain_text("60.00%")
    tab.page.get_by_label("Select trial 0 of Tuning").check()
    tab.page.evaluate("window.stayed = true")

    runner.tell_trial("tune", 1, 0.75)
    runner.note("the learning rate was halved")

    expect(tab.page.get_by_role("row", name="Tuning 1")).to_contain_text("75.00%")
    expect(tab.page.locator(".log")).to_contain_text("the learning rate was halved")
    expect(tab.page.get_by_label("Select trial 0 of Tuning")).to_be_checked()
    assert tab.page.url.endswith("?trials=tune-0")
    runner.succeed()
    expect(tab.page.locator(".badge").first).to_have_text("✓succeeded")
    expect(tab.page.get_by_role("link", name="checkpoint.safetensors")).to_be_visible()
    assert tab.page.evaluate("window.stayed")


@pytest.mark.exhaustive
def test_a_job_with_several_sparsities_lists_its_points_with_their_files(
    tab: Tab, url: str, submit: Callable[..., str], runner: ScriptedRunner
) -> None:
    job_id = submit(sparsity=[0.9, 0.95])
    formats = [{"format": "compact", "error": None}, {"format": "onnx", "error": "no operator"}]
    point = {"live": 6_147, "validation_accuracy": 0.9, "test_accuracy": 0.91, "size_bytes": 26_000}
    point |= {"deploy": {"formats": formats}}
    front = [point | {"sparsity": sparsity, "recommended": sparsity == 0.95} for sparsity in (0.9, 0.95)]
    runner.start()
    runner.succeed({"report": (json.dumps(REPORT | {"front": front}).encode(), "application/json")})

    open_job(tab.page, url, job_id)

    rows = tab.page.get_by_role("region", name="Sparsities").get_by_role("row")
    expect(rows).to_have_count(3)
    expect(rows.nth(2)).to_contain_text("95%recommended90.0%91.0%6,147")
    link = rows.nth(2).get_by_role("link", name="checkpoint")
    expect(link).to_have_attribute("href", f"/v1/jobs/{job_id}/checkpoint?sparsity=0.95")
    export = rows.nth(1).get_by_role("link", name="compact")
    expect(export).to_have_attribute("href", f"/v1/jobs/{job_id}/exports/compact?sparsity=0.9")
    expect(rows.nth(1).get_by_role("link", name="onnx")).to_have_count(0)


@pytest.mark.exhaustive
def test_a_job_with_a_target_tells_what_was_measured(
    tab: Tab, url: str, submit: Callable[..., str], runner: ScriptedRunner
) -> None:
    job_id = submit(sparsity=None, target={"flops": 0.2})
    target = {"measure": "flops", "asked": 0.2, "estimated": 0.1993, "measured": 0.2012, "reached": True, "cpu": None}
    target |= {"sparsity": 0.95578, "prunings": [{"sparsity": 0.98191, "estimated": 0.2, "measured": 0.1373}]}
    runner.start()
    runner.succeed({"report": (json.dumps(REPORT | {"target": target}).encode(), "application/json")})

    open_job(tab.page, url, job_id)

    expect(
        tab.page.get_by_text("Target flops 0.2: 0.201 measured, 0.199 estimated at sparsity 95.578%")
    ).to_contain_text("corrected from 98.191%, where it was 0.137.")


def test_the_reason_of_a_failure_is_shown(
    tab: Tab, url: str, submit: Callable[..., str], runner: ScriptedRunner
) -> None:
    job_id = submit()
    runner.start()
    runner.fail("the loss is <b>not finite</b>", "dense")
    open_job(tab.page, url, job_id)

    expect(tab.page.get_by_role("alert")).to_contain_text("Dense training: the loss is <b>not finite</b>")


def test_a_job_is_cancelled_after_a_question(
    tab: Tab, url: str, submit: Callable[..., str], runner: ScriptedRunner
) -> None:
    job_id = submit()
    open_job(tab.page, url, job_id)

    tab.page.get_by_role("button", name="Cancel job").click()
    tab.page.get_by_role("button", name="Keep it running").click()
    expect(tab.page.get_by_role("dialog")).to_be_hidden()
    tab.page.get_by_role("button", name="Cancel job").click()
    tab.page.get_by_role("button", name="Cancel the job").click()

    expect(tab.page.locator(".badge").first).to_have_text("⊘cancelled")
    with runner.database.read() as tx:
        assert jobs.get(tx, job_id).state is JobState.CANCELLED


def test_a_job_that_does_not_exist_is_no_empty_page(tab: Tab, url: str) -> None:
    tab.expected = (404,)
    tab.page.goto(f"{url}/jobs/job_missing")

    expect(tab.page.get_by_role("heading", name="There is no such job")).to_be_visible()


@pytest.mark.exhaustive  # tests/api/test_importances.py is the plain part
def test_what_decides_a_search_is_told(tab: Tab, url: str, submit: Callable[..., str], runner: ScriptedRunner) -> None:
    job_id = submit()
    runner.start()
    run_trials(runner)
    runner.succeed()
    open_job(tab.page, url, job_id)
    tab.page.get_by_role("heading", name="Recipe").scroll_into_view_if_needed()
    expect(tab.page.locator("figure[data-name=optimizer]")).to_contain_text("explains")
