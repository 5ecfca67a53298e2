"""The catalog tells the names that a job may use."""

from fastapi.testclient import TestClient

from safs.activations.operators import OPERATORS


def test_the_catalog_has_every_kind_with_a_line_for_people(http: TestClient) -> None:
    found = http.get("/v1/catalog").json()

    assert {"models", "datasets", "operators", "methods", "strategies", "presets"} <= set(found)
    assert all(entry["name"] and entry["summary"] for entries in found.values() for entry in entries)


def test_one_kind_has_the_names_of_its_registry(http: TestClient) -> None:
    found = http.get("/v1/catalog/operators").json()

    assert found["kind"] == "operators"
    assert [entry["name"] for entry in found["items"]] == list(OPERATORS)
    assert "formula" in found["items"][0]["details"]


def test_an_unknown_kind_is_answered_with_the_known_ones(http: TestClient) -> None:
    assert "operators" in http.get("/v1/catalog/operator").json()["detail"]
