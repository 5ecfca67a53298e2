"""The form of a new job in a browser: from the first field to the download."""

import ast
import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from playwright.sync_api import Page, expect

from tests.api.conftest import FILES, ScriptedRunner
from tests.api.pages.conftest import Tab


def open_form(page: Page, url: str, query: str = "") -> None:
    page.goto(f"{url}/new{query}")
    expect(page.get_by_role("textbox", name="sparsity")).to_be_visible()


def test_a_job_goes_from_the_form_to_its_download(tab: Tab, url: str, http: TestClient, runner: ScriptedRunner) -> None:
    page = tab.page
    open_form(page, url)
    page.get_by_role("textbox", name="name").fill("from <i>the form</i>")
    page.get_by_role("textbox", name="sparsity").fill("0.985")
    page.get_by_text("Pruning", exact=True).click()
    page.get_by_role("combobox", name="method").fill("gradient")
    expect(page.get_by_text("922 of 61,470 weights stay", exact=True)).to_be_visible()
    page.get_by_text("5 layers, 4 sites").click()
    expect(page.get_by_role("row", name="relu1 relu")).to_be_visible()

    page.get_by_role("button", name="Start job").click()
    expect(page.get_by_role("heading", name="from <i>the form</i>")).to_be_visible()

    (job,) = http.get("/v1/jobs").json()["items"]
    assert (job["spec"]["sparsity"], job["spec"]["prune"]["score"]) == (0.985, "gradient")
    assert job["spec"]["preset"] == "quick"
    runner.start()
    runner.succeed()
    with page.expect_download() as download:
        page.get_by_role("link", name="checkpoint.safetensors").click()
    assert download.value.path().read_bytes() == FILES["checkpoint"][0]


@pytest.mark.exhaustive
def test_several_sparsities_are_given_with_commas(tab: Tab, url: str, http: TestClient) -> None:
    tab.expected = (422,)
    page = tab.page
    open_form(page, url)
    page.get_by_role("textbox", name="sparsity").fill("0.9, 1.5")
    expect(page.locator("#field-sparsity-error")).to_contain_text("less than 1")

    page.get_by_role("textbox", name="sparsity").fill("0.9, 95%")
    expect(page.locator("#field-sparsity-error")).to_be_hidden()
    page.get_by_role("button", name="Start job").click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("lenet5")
    (job,) = http.get("/v1/jobs").json()["items"]
    assert (job["spec"]["sparsity"], job["spec"]["front"]) == (0.95, [0.9, 0.95])


@pytest.mark.exhaustive
def test_a_job_with_a_target_is_cloned_with_it(
    tab: Tab, url: str, submit: Callable[..., str], http: TestClient
) -> None:
    tab.expected = (422,)
    job_id = submit(name="mine", sparsity=None, target={"flops": 0.3})
    page = tab.page
    open_form(page, url, f"?from={job_id}")
    expect(page.get_by_role("textbox", name="name")).to_have_value("mine")
    expect(page.get_by_role("textbox", name="sparsity")).to_have_value("")
    page.get_by_text("Cost of the result, in place of a sparsity").click()
    expect(page.locator("#field-target-flops")).to_have_value("0.3")

    page.get_by_role("textbox", name="sparsity").fill("0.9")
    expect(page.locator("#field-sparsity-error")).to_contain_text("give either sparsity or target")
    page.get_by_role("textbox", name="sparsity").fill("")
    page.locator("#field-target-flops").fill("0.000001")
    expect(page.locator("#field-target-flops-error")).to_contain_text("Choose at least")
    page.locator("#field-target-flops").fill("0.25")
    expect(page.locator("#field-target-flops-error")).to_be_hidden()
    page.get_by_role("textbox", name="name").fill("cloned")
    page.get_by_role("button", name="Start job").click()

    expect(page.get_by_role("heading", name="cloned")).to_be_visible()
    job = http.get("/v1/jobs").json()["items"][0]
    assert job["spec"]["sparsity"] is None
    assert job["spec"]["target"] == {"flops": 0.25, "bytes": None, "latency": None}


def test_errors_stand_at_their_fields_while_one_types(tab: Tab, url: str) -> None:
    tab.expected = (422,)
    page = tab.page
    open_form(page, url)

    page.get_by_role("textbox", name="sparsity").fill("1.5")
    expect(page.locator("#field-sparsity-error")).to_contain_text("less than 1")
    page.get_by_role("textbox", name="sparsity").fill("0.9")
    expect(page.locator("#field-sparsity-error")).to_be_hidden()
    page.locator("#field-model-architecture").fill("lenet")
    expect(page.locator("#field-model-architecture-error")).to_contain_text("lenet5")
    expect(page.locator("#field-model-architecture")).to_have_attribute("aria-invalid", "true")


@pytest.mark.parametrize(
    "fields",
    [
        {"prune": {"method": "greg1", "options": {"growth": "linear"}}},
        pytest.param({"sparsity": None, "target": {"flops": 0.3}}, marks=pytest.mark.exhaustive),
        pytest.param({"sparsity": None, "target": {"bytes": 20_000}}, marks=pytest.mark.exhaustive),
        pytest.param({"sparsity": [0.9, 0.95, 0.99], "accuracy_floor": 0.9}, marks=pytest.mark.exhaustive),
    ],
    ids=["method", "target", "bytes", "front"],
)
def test_the_copied_forms_are_this_job(
    tab: Tab, url: str, submit: Callable[..., str], http: TestClient, fields: dict[str, Any]
) -> None:
    job_id = submit(name="it's: #1", **fields)
    page = tab.page
    open_form(page, url, f"?from={job_id}")
    expect(page.get_by_role("textbox", name="name")).to_have_value("it's: #1")
    stored = http.get(f"/v1/jobs/{job_id}").json()["spec"]

    def accepted(body: Any) -> Any:
        return http.post("/v1/jobs?validate_only=true&timed=false", json=body).json()["spec"]

    assert accepted(yaml.safe_load(page.locator(".code").inner_text())) == stored
    page.get_by_role("button", name="curl").click()
    shell = page.locator(".code").inner_text()
    assert accepted(json.loads(shell.split("-d '")[1].strip()[:-1].replace("'\\''", "'"))) == stored
    page.get_by_role("button", name="Python").click()
    source = page.locator(".code").inner_text()
    literal = source.split("client.submit(")[1].split(")\n    job.wait")[0]
    assert accepted(ast.literal_eval(literal)) == stored
