"""The page of a job with 10,000 trials: few requests, one selection in all panels, and nothing that takes long."""

import pytest
from playwright.sync_api import expect

from benchmarks.pages import fill
from tests.api.pages.conftest import Tab

TRIALS = 10_000
MOST_REQUESTS = 60


@pytest.fixture
def large_job(api_database_url: str) -> str:
    """The id of a job with many trials."""
    return fill(api_database_url, jobs=1, trials=TRIALS)


def test_ten_thousand_trials_are_drawn_from_few_requests(tab: Tab, large_job: str, url: str) -> None:
    page = tab.page
    data: list[str] = []
    page.on("request", lambda request: data.append(request.url) if "/static/" not in request.url else None)
    page.goto(f"{url}/jobs/{large_job}")

    history = page.get_by_role("img", name="Validation accuracy of 10000 trials")
    expect(history).to_be_visible()
    expect(page.get_by_text("1 to 25 of 9,", exact=False).or_(page.get_by_text("1 to 25 of 10,000"))).to_be_visible()
    history.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{url}/jobs/{large_job}?trials=joint-0")
    page.get_by_label("Order of trials").select_option("Oldest first")
    expect(page.get_by_label("Select trial 0 of Joint search")).to_be_checked()
    assert len(data) < MOST_REQUESTS
    tab.expected = (404,)  # this job has no report
