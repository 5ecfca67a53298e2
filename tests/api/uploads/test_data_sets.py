"""Uploads of data sets: what is well-formed is kept under an id, which a job names in ``data.upload``."""

import pytest
from fastapi.testclient import TestClient

from api.uploads.archive_contents import PICTURE_SUFFIXES
from safs.data.class_folders import SUFFIXES
from tests.api.uploads.corpus import WEIGHTS
from tests.api.uploads.data_sets import blobs, folders, npz, parts, tarred, zipped
from tests.api.uploads.test_uploads import OCTETS

JOB = {"model": {"architecture": "lenet5"}, "sparsity": 0.9}


def _sent(http: TestClient, content: bytes, name: str = "data") -> dict[str, object]:
    response = http.post(f"/v1/uploads?filename={name}", content=content, headers=OCTETS)
    assert response.status_code == 201, response.text
    upload: dict[str, object] = response.json()
    return upload


def _job(upload: dict[str, object], **data: object) -> dict[str, object]:
    return JOB | {"data": {"dataset": "upload", "upload": upload["id"]} | data}


def test_arrays_are_kept_and_a_job_is_checked_against_them(http: TestClient) -> None:
    upload = _sent(http, parts())

    checked = http.post("/v1/jobs?validate_only=true", json=_job(upload))

    assert (upload["kind"], upload["images"], upload["tensors"]) == ("arrays", 90, None)
    assert checked.status_code == 200, checked.text
    found = checked.json()
    assert (found["classes"], found["train"], found["validation"], found["test"]) == (3, 54, 6, 30)
    assert (found["data"]["images"], found["data"]["values"], found["data"]["warnings"]) == (60, "uint8", [])


def test_a_check_warns_of_a_probable_mistake(http: TestClient) -> None:
    x, y = blobs()
    upload = _sent(http, npz(x=x, y=y, x_test=x[:30], y_test=y[:30]))

    found = http.post("/v1/jobs?validate_only=true", json=_job(upload)).json()

    assert "nearly identical to a training image" in found["data"]["warnings"][0]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(zipped(folders()), id="zip"),
        pytest.param(zipped(folders(outer="photos/")), id="zip with an outer folder"),
        pytest.param(tarred(folders()), id="tar.gz"),
        pytest.param(tarred(folders(outer="./"), "w"), id="tar"),
        pytest.param(zipped(folders() | {"__MACOSX/class0/._0.png": b"x", "readme.txt": b"x"}), id="zip of a Mac"),
    ],
)
def test_pictures_are_kept_and_a_job_is_checked_against_them(http: TestClient, content: bytes) -> None:
    upload = _sent(http, content)

    checked = http.post("/v1/jobs?validate_only=true", json=_job(upload))

    assert (upload["kind"], upload["images"]) == ("pictures", 20)
    assert checked.status_code == 200, checked.text
    assert (checked.json()["classes"], checked.json()["channels"]) == (2, 3)


def test_a_job_on_an_upload_is_queued(http: TestClient) -> None:
    upload = _sent(http, parts())

    queued = http.post("/v1/jobs", json=_job(upload))

    assert queued.status_code == 202, queued.text
    assert queued.json()["spec"]["data"]["upload"] == upload["id"]


def test_a_mistake_in_the_data_names_the_upload_and_no_path_of_the_service(http: TestClient) -> None:
    x, y = blobs()
    upload = _sent(http, npz(x=x, y=y + 1))

    refused = http.post("/v1/jobs", json=_job(upload))

    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (422, "data_unavailable")
    assert "store y - 1" in problem["detail"]
    assert problem["errors"][0]["field"] == "data.upload"


def test_a_mistake_in_folders_names_the_upload_and_no_path_of_the_service(http: TestClient) -> None:
    upload = _sent(http, zipped(folders(classes=1)))

    problem = http.post("/v1/jobs", json=_job(upload)).json()

    assert problem["detail"] == "the upload has 1 class folder; it needs one for each class, two or more."


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"data": {"dataset": "upload"}}, "needs data.upload"),
        ({"data": {"dataset": "digits", "upload": "upload_1"}}, "takes no data.upload"),
        ({"data": {"dataset": "upload", "upload": "upload_1"}}, "there is no upload 'upload_1'"),
    ],
)
def test_a_job_must_name_an_upload_that_exists(http: TestClient, section: dict[str, object], words: str) -> None:
    refused = http.post("/v1/jobs", json=JOB | section)

    assert refused.status_code == 422
    assert words in refused.json()["detail"]
    assert refused.json()["errors"][0]["field"] == "data.upload"


def test_weights_are_no_data_and_data_are_no_weights(http: TestClient) -> None:
    weights, data = _sent(http, WEIGHTS, "dense.safetensors"), _sent(http, parts())

    as_data = http.post("/v1/jobs", json=_job(weights)).json()
    as_weights = http.post(
        "/v1/jobs",
        json=JOB | {"model": {"architecture": "lenet5", "weights": data["id"]}, "data": {"dataset": "digits"}},
    ).json()

    assert (as_data["code"], as_weights["code"]) == ("unknown_upload", "unknown_upload")
    assert "('dense.safetensors') holds weights, and data.upload needs arrays or pictures" in as_data["detail"]
    assert "holds arrays, and model.weights needs weights" in as_weights["detail"]


def test_the_parser_knows_the_suffixes_of_pictures() -> None:
    assert set(PICTURE_SUFFIXES) == SUFFIXES
