"""Files in the form of a new job: the user's own network and data, sent at once or in parts."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Page, Route, expect

import safs
from tests.api.pages.conftest import Tab
from tests.api.pages.test_new_job import open_form
from tests.api.uploads.data_sets import blobs, folders, npz, zipped
from tests.models.declared.networks import Own

CHECK_MS = 120_000
"""Milliseconds in which a network is checked, in a process that imports PyTorch, on a busy machine."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a captured network for grey images of 8 x 8 pixels and 10 classes."""
    return safs.capture(Own(), (1, 8)).save(tmp_path_factory.mktemp("network") / "own.safetensors")


def choose(page: Page, label: str, file: Path) -> None:
    page.get_by_label(label, exact=True).set_input_files(file)


@pytest.mark.exhaustive  # the import of PyTorch in the process that checks the network takes seconds
def test_a_captured_network_shows_its_layers_and_sites_before_it_is_queued(
    tab: Tab, url: str, http: TestClient, network: Path
) -> None:
    page = tab.page
    open_form(page, url)
    choose(page, "or your own network (file)", network)

    expect(page.get_by_text("own.safetensors:")).to_be_visible(timeout=CHECK_MS)
    expect(page.locator("#field-model-architecture")).to_have_value("")
    layers = page.get_by_role("region", name="Layers, whose weights are pruned")
    expect(layers.locator("tbody tr")).to_have_count(3, timeout=CHECK_MS)
    expect(layers).to_contain_text("4 × 1 × 3 × 3")
    sites = page.get_by_role("region", name="Sites, in the order of their calls")
    assert sites.locator("tbody th").all_inner_texts() == ["relu", "act"]
    page.get_by_role("button", name="Start job").click()
    expect(page.locator(".badge").first).to_have_text("○queued", timeout=CHECK_MS)

    (job,) = http.get("/v1/jobs").json()["items"]
    assert job["spec"]["model"]["network"].startswith("upload_")


def test_own_data_show_images_with_their_classes_and_what_was_understood(tab: Tab, url: str, tmp_path: Path) -> None:
    file = tmp_path / "pictures.zip"
    file.write_bytes(zipped({name.replace("class0", "<b>cat"): one for name, one in folders(each=10).items()}))
    page = tab.page
    open_form(page, url)
    choose(page, "or your own data (file)", file)

    expect(page.get_by_text("pictures.zip: 20 images")).to_be_visible()
    shown = page.get_by_label("Images of the training data").get_by_role("img")
    expect(shown).to_have_count(20)
    assert page.evaluate("[...document.querySelectorAll('.samples img')].every((one) => one.naturalWidth === 12)")
    expect(page.locator(".samples")).to_contain_text("<b>cat")
    expect(page.locator(".understood")).to_contain_text("20 images of 12 × 12, 3 channels")
    expect(page.locator(".understood")).to_contain_text("<b>cat (10), class1 (10)")

    page.locator("#field-data-dataset").select_option("digits")
    expect(page.get_by_text("pictures.zip: 20 images")).to_be_hidden()
    expect(shown).to_have_count(0)
    expect(page.locator(".code")).not_to_contain_text("upload")


def test_a_file_that_is_refused_says_why_at_its_field(tab: Tab, url: str, tmp_path: Path) -> None:
    tab.expected = (422,)
    file = tmp_path / "data.npz"
    file.write_bytes(b"PK\x03\x04 and no archive")
    page = tab.page
    open_form(page, url)
    choose(page, "or your own data (file)", file)

    field = page.locator(".upload", has_text="or your own data")
    expect(field.get_by_role("alert")).to_contain_text("the file is truncated")
    expect(page.locator("#field-data-dataset")).to_have_value("digits")


@pytest.mark.exhaustive  # tests/api/uploads/test_parts.py has the parts.
def test_a_large_file_is_sent_in_parts_that_continue_after_a_broken_connection(
    tab: Tab, url: str, http: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("api.uploads.parts", "api.routes.upload_parts"):
        monkeypatch.setattr(f"{module}.PART_BYTES", 4000)
    file = tmp_path / "data.npz"
    x, y = blobs()
    file.write_bytes(npz(x=x, y=y))
    page = tab.page
    sent: list[str] = []

    def small(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace("64 * 2 ** 20", "1000"))

    def broken_once(route: Route) -> None:
        sent.append(route.request.url.rsplit("/", 1)[1])
        route.abort() if sent == ["1", "2"] else route.continue_()

    page.route("**/form/transfer.js", small)
    page.route("**/parts/*", broken_once)
    open_form(page, url)
    choose(page, "or your own data (file)", file)

    expect(page.get_by_text("the upload continues by itself")).to_be_visible()
    expect(page.get_by_text("data.npz: 60 images")).to_be_visible()
    assert sent == ["1", "2", "2", "3"]
    expect(page.locator(".samples img")).to_have_count(24)
