"""Pages for everybody: axe-core finds nothing serious; telephones; the keyboard alone; a server that goes away."""

import json
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.api.conftest import FILES, ScriptedRunner
from tests.api.pages.conftest import OpenTab, Tab

REPORT = {
    "result": "joint",
    "rows": [
        {
            "name": name,
            "label": f"<i>{name}</i>",
            "validation_accuracy": 0.9,
            "test_accuracy": 0.8,
            "sparsity": 0.99,
            "weights": 1000,
            "live_weights": 10,
        }
        for name in ("dense", "pruned", "default", "joint")
    ],
    "sparsity": {"weights": 1000, "live": 10, "layers": [{"name": "conv1.weight", "weights": 1000, "live": 10}]},
    "sites": [
        {"path": path, "own": "relu", "chosen": chosen, "scalars": {}}
        for path, chosen in (("conv1", "swish"), ("conv2", "relu"))
    ],
    "layers": {
        name: {
            "layers": [
                {
                    "name": "<b>conv1</b>.weight",
                    "weights": 1000,
                    "live": 10,
                    "flops_sparse": 99,
                    "gradient_norm": 0.5,
                }
            ],
            "sites": [{"path": "conv1", "dead_static": 0.1, "dead_dynamic": 0.1}],
        }
        for name in ("dense", "pruned", "default", "joint")
    },
    "deploy": {
        "checkpoint_bytes": 250_000,
        "bound_bytes": 22_000,
        "formats": [
            {
                "format": "compact",
                "size_bytes": 25_000,
                "error": None,
                "equality": {"images": 9, "equal_predictions": 9},
            },
            {"format": "onnx", "size_bytes": None, "error": "<b>no</b> operator", "equality": None},
        ],
        "cpu": "<i>CPU</i>",
        "threads": 2,
        "times": [
            {"batch": 32, "dense_ms": 3.0, "sparse_ms": 1.5, "equality": {"images": 9, "equal_predictions": 8}},
        ],
        "error": None,
    },
}
"""A report with what the panels read."""


@pytest.fixture
def finished(submit: Callable[..., str], runner: ScriptedRunner, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a job with trials of two stages and a report."""
    job_id = submit(name="a finished job")
    runner.start()
    for number, operator in enumerate(("relu", "swish", "tanh", "gelu", "elu", "acon", "symlog", "softplus")):
        config = {"conv1": operator, "conv2": "relu"}
        runner.trial("activations", number, [0.5, 0.55 + number / 100], config=config)
        runner.trial("tune", number, [0.5, 0.65 + number / 100])
    monkeypatch.setitem(FILES, "report", (json.dumps(REPORT).encode(), "application/json"))
    runner.succeed()
    return job_id


FIRST = ("/", "/jobs/{job}")
ALL = (*FIRST, "/new", "/compare?jobs={job},{job}", "/health", "/keys")


def settle(page: Page) -> None:
    """Wait until the page has drawn what it asked for."""
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.wait_for_load_state("networkidle")


def findings(tab: Tab) -> list[tuple[str, list[str]]]:
    """The serious findings of axe-core on the open page, with the elements that they are about."""
    found = Axe().run(tab.page).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    return [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in serious]


@pytest.mark.parametrize(
    ("theme", "paths"),
    [("light", FIRST), pytest.param("dark", ALL, marks=pytest.mark.exhaustive)],
    ids=["first", "all"],
)
def test_axe_finds_nothing_serious(
    open_tab: OpenTab, url: str, finished: str, theme: str, paths: tuple[str, ...]
) -> None:
    tab = open_tab(color_scheme=theme)
    for path in paths:
        tab.page.goto(url + path.format(job=finished))
        settle(tab.page)
        assert findings(tab) == [], path


@pytest.mark.parametrize("paths", [FIRST, pytest.param(ALL, marks=pytest.mark.exhaustive)], ids=["first", "all"])
def test_no_page_is_wider_than_a_telephone(open_tab: OpenTab, url: str, finished: str, paths: tuple[str, ...]) -> None:
    tab = open_tab(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    for path in paths:
        tab.page.goto(url + path.format(job=finished))
        settle(tab.page)
        wide = tab.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360, path


def test_the_keyboard_is_enough(tab: Tab, url: str, finished: str) -> None:
    page = tab.page
    page.goto(url)
    expect(page.locator("tbody tr")).to_have_count(1)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.get_by_role("link", name="a finished job").focus()
    page.keyboard.press("Enter")

    history = page.get_by_role("img", name="Validation accuracy of 16 trials")
    expect(history).to_be_visible()
    history.focus()
    for key in ("ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    expect(page).to_have_url(f"{url}/jobs/{finished}?trials=tune-0")
    page.get_by_role("img", name="Activation map of 8 trials").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    expect(page).to_have_url(f"{url}/jobs/{finished}?trials=tune-0%2Cactivations-2")
    page.get_by_role("button", name="Colour theme: auto").focus()
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_a_server_that_goes_and_comes_back_loses_nothing(
    tab: Tab, serve: Callable[..., object], submit: Callable[..., str], runner: ScriptedRunner
) -> None:
    tab.expected = (500, 503)  # a server that stops cancels what it still works on
    job_id = submit(name="long")
    runner.start()
    with serve() as (address, _):
        tab.page.goto(f"{address}/jobs/{job_id}")
        runner.tell_trial("tune", 0, 0.5)
        expect(tab.page.get_by_role("row", name="Tuning 0")).to_be_visible()
    expect(tab.page.get_by_text("The service does not answer.")).to_be_visible()
    runner.tell_trial("tune", 1, 0.75)
    with serve(int(address.rpartition(":")[2])):
        expect(tab.page.get_by_role("row", name="Tuning 1")).to_contain_text("75.00%")
        expect(tab.page.get_by_text("The service does not answer.")).to_be_hidden()
