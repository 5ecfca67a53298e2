"""The runners of the service."""

from collections.abc import Callable

from fastapi.testclient import TestClient

from store import runners
from tests.api.conftest import MakeKey, ScriptedRunner


def test_runners_are_listed_with_their_jobs_and_resources(
    http: TestClient, submit: Callable[..., str], runner: ScriptedRunner
) -> None:
    job_id = submit()
    resources = {"cores": {"total": 2.0, "free": 1.5}, "gpus": {"total": 1.0, "free": 0.75}}
    with runner.database.begin() as tx:
        for name in ("scripted", "spare:2"):
            runners.announce(tx, name, version="1.0", cluster="10.0.0.1:6379", resources=resources, expires_s=60)
    runner.start()
    runner.enter("dense")

    busy, idle = http.get("/v1/runners").json()

    assert (busy["name"], busy["state"], busy["job_id"], busy["stage"]) == ("scripted", "busy", job_id, "dense")
    assert (idle["name"], idle["state"], idle["job_id"], idle["stage"]) == ("spare:2", "idle", None, None)
    assert (idle["resources"], idle["cluster"], idle["version"]) == (resources, "10.0.0.1:6379", "1.0")
    assert 0 <= idle["seen_s"] < 60


def test_only_admins_see_runners(http: TestClient, make_key: MakeKey) -> None:
    reader, admin = make_key("vision", "read", "submit"), make_key("ops", "admin")

    assert http.get("/v1/runners", headers=reader).status_code == 403
    assert http.get("/v1/runners", headers=admin).json() == []
