"""The state of the service."""

from collections.abc import Callable

from fastapi.testclient import TestClient

from tests.api.conftest import ScriptedRunner


def test_status_tells_what_waits_and_who_works(
    http: TestClient, submit: Callable[..., str], runner: ScriptedRunner
) -> None:
    job_id = submit()
    submit()
    runner.start()
    status = http.get("/v1/status").json()

    assert (status["jobs"]["queued"], status["jobs"]["running"]) == (1, 1)
    (held,) = status["held"]
    assert (held["job_id"], held["runner"], held["state"]) == (job_id, "scripted", "running")
    assert 0 < held["lease_left_s"] <= 600
    assert status["late_leases"] == 0
    assert status["home_free_bytes"] > 0
    assert "safs-service" in status["versions"]
