"""Liveness without a database, readiness with all that the service needs."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from api.app import create_app
from api.settings import ApiSettings
from store.session import Database
from tests.api.conftest import from_this_machine


@pytest.fixture
def without_database(tmp_path: Path) -> ApiSettings:
    """Settings whose database does not answer."""
    return ApiSettings(home=tmp_path, database_url="postgresql://safs:hunter2@127.0.0.1:1/safs", free_disk_bytes=0)


def test_a_migrated_database_and_a_free_disk_are_ready(http: TestClient) -> None:
    assert http.get("/livez").json() == {"status": "ok"}
    assert http.get("/readyz").json() == {"status": "ok"}


def test_the_process_lives_without_a_database_but_is_not_ready(without_database: ApiSettings) -> None:
    with from_this_machine(create_app(without_database)) as http:
        lives, ready, jobs = http.get("/livez"), http.get("/readyz"), http.get("/v1/jobs")

    assert lives.status_code == 200
    assert (ready.status_code, ready.json()["code"]) == (503, "not_ready")
    assert (jobs.status_code, jobs.json()["code"], jobs.json()["retryable"]) == (503, "database_unavailable", True)
    assert int(jobs.headers["retry-after"]) > 0
    assert "127.0.0.1:1" not in jobs.text + ready.text


def test_a_database_that_was_not_migrated_is_not_ready(tmp_path: Path) -> None:
    with from_this_machine(create_app(ApiSettings(home=tmp_path, free_disk_bytes=0))) as http:
        ready, jobs = http.get("/readyz"), http.get("/v1/jobs")

    assert "safs migrate" in ready.json()["detail"]
    assert str(tmp_path) not in ready.text + jobs.text
    assert (jobs.status_code, jobs.json()["code"]) == (503, "schema_missing")


def test_a_schema_of_a_newer_version_is_not_ready(settings: ApiSettings) -> None:
    database = Database(settings.database_url)
    with database.begin() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.dispose()
    with from_this_machine(create_app(settings)) as http:
        ready = http.get("/readyz")

    assert (ready.status_code, ready.json()["code"]) == (503, "not_ready")
    assert "newer version of the program" in ready.json()["detail"]
    assert str(settings.home.parent) not in ready.text


@pytest.mark.parametrize("full", ["home", "artifacts_folder"])
def test_the_disks_of_the_home_and_of_the_artifacts_are_both_looked_at(
    settings: ApiSettings, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    """Fake disks: artifacts on a mount of their own."""
    free = {settings.home: 10_000, settings.artifacts_folder: 10_000, getattr(settings, full): 999}
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free[folder]))
    settings.artifacts_folder.mkdir(parents=True)
    with from_this_machine(create_app(settings.model_copy(update={"free_disk_bytes": 1_000}))) as http:
        response = http.get("/readyz")

    assert (response.status_code, response.json()["code"]) == (503, "not_ready")
    assert "has 999 free bytes" in response.json()["detail"]
    assert ("artifacts" in response.json()["detail"]) == (full == "artifacts_folder")
    assert str(settings.home) not in response.text


def test_a_full_disk_is_not_ready(settings: Any) -> None:
    with from_this_machine(create_app(settings.model_copy(update={"free_disk_bytes": 10**18}))) as http:
        response = http.get("/readyz")

    assert (response.status_code, response.json()["code"]) == (503, "not_ready")
    assert "SAFS_FREE_DISK_BYTES" in response.json()["detail"]
    assert str(settings.home) not in response.text
