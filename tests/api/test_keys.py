"""API keys as a resource."""

from fastapi.testclient import TestClient

from tests.api.conftest import MakeKey


def test_an_admin_creates_lists_and_revokes_keys(http: TestClient, make_key: MakeKey) -> None:
    admin = make_key("ops", "admin")
    wanted = {"owner": "vision", "scopes": ["read"], "lives_s": 3600, "limits": {"queued_jobs": 3}}
    created = http.post("/v1/keys", json=wanted, headers=admin)
    key = created.json()
    bearer = {"Authorization": f"Bearer {key['token']}"}

    assert created.status_code == 201
    assert (key["owner"], key["scopes"], key["state"]) == ("vision", ["read"], "active")
    assert key["limits"] == {"requests_per_minute": None, "queued_jobs": 3, "gpu_hours": None}
    assert http.get("/v1/me", headers=bearer).json()["key"] == key["key"]

    listed = http.get("/v1/keys", headers=admin)
    assert {one["owner"] for one in listed.json()} == {"vision", "ops"}
    assert "token" not in listed.json()[0]
    assert key["token"] not in listed.text

    assert http.post(f"/v1/keys/{key['key']}/revoke", headers=admin).json()["state"] == "revoked"
    missing = http.post("/v1/keys/00000000/revoke", headers=admin)
    assert (missing.status_code, missing.json()["code"]) == (404, "key_not_found")


def test_an_invalid_key_is_refused_at_its_fields(http: TestClient) -> None:
    refused = http.post("/v1/keys", json={"owner": "a b", "scopes": [], "colour": "red"})

    assert refused.status_code == 422
    assert {error["field"] for error in refused.json()["errors"]} == {"owner", "scopes", "colour"}


def test_who_may_submit_and_read_may_not_manage_keys(http: TestClient, make_key: MakeKey) -> None:
    headers = make_key("vision", "submit", "read")

    for answer in (
        http.get("/v1/keys", headers=headers),
        http.post("/v1/keys", json={"owner": "vision", "scopes": ["admin"]}, headers=headers),
        http.post("/v1/keys/00000000/revoke", headers=headers),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
