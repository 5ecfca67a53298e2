"""Jobs and uploads of other owners are answered like missing ones."""

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from safetensors.torch import save
from torch import zeros

from tests.api.conftest import MINIMAL, MakeKey
from tests.api.endpoints import PARTS, endpoints

Headers = dict[str, str]


@pytest.fixture
def job_id(http: TestClient, make_key: MakeKey, runner: Any) -> str:
    """A job of ``vision`` that has all that a job can have."""
    job: str = http.post("/v1/jobs", json=MINIMAL, headers=make_key("vision", "submit")).json()["id"]
    runner.start()
    runner.trial("tune", 0, [0.5, 0.6])
    runner.note("it is done")
    runner.succeed()
    return job


@pytest.fixture
def upload_id(http: TestClient, make_key: MakeKey) -> str:
    """An upload of ``vision``."""
    headers = make_key("vision", "submit") | {"Content-Type": "application/octet-stream"}
    found: str = http.post("/v1/uploads", content=save({"w": zeros(3)}), headers=headers).json()["id"]
    return found


@pytest.mark.usefixtures("no_exports")
def test_every_endpoint_about_a_job_or_an_upload_of_somebody_else_answers_as_if_it_were_not_there(
    app: FastAPI, http: TestClient, make_key: MakeKey, job_id: str, upload_id: str
) -> None:
    stranger, owner = make_key("other", "read", "submit"), make_key("vision", "read", "submit")
    admin = make_key("ops", "admin")
    theirs, tested = {"job_id": job_id, "upload_id": upload_id}, 0

    for endpoint in endpoints(app):
        if not any(f"{{{name}}}" in endpoint.path for name in theirs):
            continue
        for accept in ("application/json", "text/event-stream"):

            def ask(parts: dict[str, str], key: Headers, accept: str = accept, endpoint: Any = endpoint) -> Any:
                return http.request(endpoint.method, endpoint.address(parts), headers={"Accept": accept, **key})

            refused, missing = ask(theirs, stranger), ask(PARTS, stranger)
            assert refused.status_code == missing.status_code == 404, endpoint.path
            assert anonymous(refused, theirs) == anonymous(missing, PARTS), endpoint.path
            assert set(refused.headers) == set(missing.headers)
            # Results of named networks have no network.json, and the files of this one cannot be exported.
            without = {"/v1/jobs/{job_id}/network": 404, "/v1/jobs/{job_id}/exports/{format}": 422}
            expected = {without[endpoint.path]} if endpoint.path in without else {200, 409}
            for key in (owner, admin) if accept == "application/json" else ():
                assert ask(theirs, key).status_code in expected, endpoint.path
        tested += 1

    assert tested >= 10


def anonymous(response: Any, parts: dict[str, str]) -> str:
    """The body without the request id and the ids in the request's path."""
    text = str(response.json() | {"request_id": ""})
    for name in ("job_id", "upload_id"):
        text = text.replace(parts[name], name)
    return text


def test_lists_hold_the_owners_own_jobs_and_an_admins_all(http: TestClient, make_key: MakeKey, runner: Any) -> None:
    local = http.post("/v1/jobs", json=MINIMAL).json()
    ids = {}
    for owner in ("vision", "other"):
        key = make_key(owner, "submit")
        job = http.post("/v1/jobs", json=MINIMAL, headers=key).json()
        ids[owner] = job["id"]
        assert job["owner"] == owner
    vision, admin = make_key("vision", "read"), make_key("ops", "admin")

    def listed(key: Headers, **query: str) -> list[str]:
        return [job["id"] for job in http.get("/v1/jobs", params=query, headers=key).json()["items"]]

    assert local["owner"] is None
    assert listed(vision) == listed(vision, owner="vision") == listed(admin, owner="vision") == [ids["vision"]]
    assert listed(admin) == [ids["other"], ids["vision"], local["id"]]
    assert listed(vision, state="running") == listed(admin, owner="nobody") == []
    refused = http.get("/v1/jobs?owner=other", headers=vision)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


def test_another_key_of_the_owner_sees_what_the_first_one_submitted(http: TestClient, make_key: MakeKey) -> None:
    job = http.post("/v1/jobs", json=MINIMAL, headers=make_key("vision", "submit")).json()["id"]

    assert http.get(f"/v1/jobs/{job}", headers=make_key("vision", "read")).status_code == 200


def test_a_job_may_name_its_owners_uploads_alone_and_an_admins_any(
    http: TestClient, make_key: MakeKey, upload_id: str
) -> None:
    def refusal(owner: str, scope: str, upload: str) -> Any:
        spec = MINIMAL | {"model": {"architecture": "lenet5", "weights": upload}}
        problem = http.post("/v1/jobs", json=spec, headers=make_key(owner, scope)).json()
        return problem["code"], problem["detail"].replace(upload, "it")

    assert refusal("other", "submit", upload_id) == refusal("other", "submit", "upload_missing")
    assert refusal("other", "submit", upload_id)[0] == "unknown_upload"
    # Found, but three zeros are no LeNet-5.
    assert refusal("vision", "submit", upload_id)[0] == refusal("ops", "admin", upload_id)[0] == "invalid_weights"


def test_cancelling_somebody_elses_job_leaves_it_in_the_queue(http: TestClient, make_key: MakeKey) -> None:
    owner, stranger = make_key("vision", "submit", "read"), make_key("other", "submit")
    address = http.post("/v1/jobs", json=MINIMAL, headers=owner).headers["location"]

    refused = http.post(f"{address}/cancel", headers=stranger)

    assert (refused.status_code, refused.json()["code"]) == (404, "job_not_found")
    assert http.get(address, headers=owner).json()["state"] == "queued"


def test_a_key_can_be_asked_whose_it_is(http: TestClient, make_key: MakeKey) -> None:
    nobody = http.get("/v1/me").json()
    key = make_key("vision", "read", "submit")
    me = http.get("/v1/me", headers=key).json()

    assert nobody == {"owner": None, "scopes": ["submit", "read", "admin"], "key": None, "expires_at": None}
    assert me == {
        "owner": "vision",
        "scopes": ["read", "submit"],
        "key": key["Authorization"][12:20],
        "expires_at": None,
    }
