"""Downloads: complete, by range, unchanged, before the job has ended, and without a result."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from fastapi.testclient import TestClient

CHECKPOINT = b"\x08\x00\x00\x00\x00\x00\x00\x00weights!" * 5000


@pytest.fixture
def job(submit: Callable[..., str], runner: Any) -> str:
    """The address of a job that has succeeded."""
    job_id = submit()
    runner.start()
    runner.succeed()
    return f"/v1/jobs/{job_id}"


@pytest.mark.parametrize(
    ("part", "filename", "media_type"),
    [
        ("checkpoint", "checkpoint.safetensors", "application/octet-stream"),
        ("config", "config.json", "application/json"),
        ("report", "report.json", "application/json"),
        ("picture", "report.png", "image/png"),
    ],
)
def test_a_result_comes_under_its_name_with_the_hash_of_its_content(
    http: TestClient, job: str, part: str, filename: str, media_type: str
) -> None:
    response = http.get(f"{job}/{part}")

    assert response.status_code == 200
    assert response.headers["etag"] == f'"{sha256(response.content).hexdigest()}"'
    assert response.headers["content-disposition"] == f'attachment; filename="{filename}"'
    assert response.headers["content-type"] == media_type
    assert int(response.headers["content-length"]) == len(response.content)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("bytes=0-7", CHECKPOINT[:8]),
        ("bytes=79990-", CHECKPOINT[79990:]),
        ("bytes=-5", CHECKPOINT[-5:]),
        ("bytes=79990-999999", CHECKPOINT[79990:]),
    ],
)
def test_a_range_is_that_part_of_the_file(http: TestClient, job: str, wanted: str, expected: bytes) -> None:
    response = http.get(f"{job}/checkpoint", headers={"Range": wanted})

    assert (response.status_code, response.content) == (206, expected)
    assert response.headers["content-range"].endswith(f"/{len(CHECKPOINT)}")


@pytest.mark.parametrize("wanted", ["bytes=80000-", "bytes=9-3", "bytes=", "lines=1-2", "bytes=-0", "bytes=a-b"])
def test_a_range_that_the_file_does_not_have_is_refused(http: TestClient, job: str, wanted: str) -> None:
    response = http.get(f"{job}/checkpoint", headers={"Range": wanted})

    assert (response.status_code, response.json()["code"]) == (416, "range_not_satisfiable")
    assert response.headers["content-range"] == f"bytes */{len(CHECKPOINT)}"


def test_a_range_of_another_version_is_answered_with_the_whole_file(http: TestClient, job: str) -> None:
    response = http.get(f"{job}/checkpoint", headers={"Range": "bytes=90000-", "If-Range": '"another"'})

    assert (response.status_code, response.content) == (200, CHECKPOINT)


@pytest.mark.parametrize("validator", ["etag", "last-modified"])
@pytest.mark.parametrize("wanted", ["bytes=x", "bytes=200000-", "lines=1-2", "bytes"])
def test_a_range_of_this_version_that_it_does_not_have_is_refused(
    http: TestClient, job: str, validator: str, wanted: str
) -> None:
    version = http.get(f"{job}/checkpoint").headers[validator]

    response = http.get(f"{job}/checkpoint", headers={"Range": wanted, "If-Range": version})

    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, response.json()["code"]) == (416, "range_not_satisfiable")
    assert response.headers["content-range"] == f"bytes */{len(CHECKPOINT)}"


@pytest.mark.parametrize("validator", ["etag", "last-modified"])
def test_a_range_of_this_version_is_that_part_of_the_file(http: TestClient, job: str, validator: str) -> None:
    version = http.get(f"{job}/checkpoint").headers[validator]

    response = http.get(f"{job}/checkpoint", headers={"Range": "bytes=0-7", "If-Range": version})

    assert (response.status_code, response.content) == (206, CHECKPOINT[:8])


@pytest.mark.parametrize("version", ["Thu, 01 Jan 1970 00:00:00 GMT", "W/{etag}", "", "nonsense"])
@pytest.mark.parametrize("wanted", ["bytes=x", "bytes=200000-", "bytes=0-7"])
def test_a_range_of_what_may_be_another_version_is_answered_with_the_whole_file(
    http: TestClient, job: str, version: str, wanted: str
) -> None:
    version = version.format(etag=http.get(f"{job}/checkpoint").headers["etag"])

    response = http.get(f"{job}/checkpoint", headers={"Range": wanted, "If-Range": version})

    assert (response.status_code, response.content) == (200, CHECKPOINT)


def test_content_that_the_caller_has_is_not_sent_again(http: TestClient, job: str) -> None:
    etag = http.get(f"{job}/report").headers["etag"]

    response = http.get(f"{job}/report", headers={"If-None-Match": etag})

    assert (response.status_code, response.content) == (304, b"")


def test_a_result_of_a_job_that_has_not_ended_is_not_there_yet(
    http: TestClient, submit: Callable[..., str], runner: Any
) -> None:
    job_id = submit()
    runner.start()

    response = http.get(f"/v1/jobs/{job_id}/report")

    assert (response.status_code, response.json()["code"]) == (409, "job_not_finished")
    assert response.json()["retryable"]
    assert "running" in response.json()["detail"]


def test_a_job_that_failed_has_no_result_and_says_why(
    http: TestClient, submit: Callable[..., str], runner: Any
) -> None:
    job_id = submit()
    runner.start()
    runner.fail("the loss is not finite", "dense")

    response = http.get(f"/v1/jobs/{job_id}/checkpoint")

    assert (response.status_code, response.json()["code"]) == (404, "no_result")
    assert "the loss is not finite" in response.json()["detail"]
    assert not response.json()["retryable"]


def test_content_that_is_gone_from_the_disk_is_a_problem(http: TestClient, job: str, runner: Any) -> None:
    digest = http.get(f"{job}/report").headers["etag"].strip('"')
    runner.store.path(digest).unlink()

    response = http.get(f"{job}/report")

    assert (response.status_code, response.json()["code"]) == (404, "artifact_not_found")


@pytest.mark.parametrize("harm", ["one bit", "its end"])
@pytest.mark.parametrize("wanted", [{}, {"Range": "bytes=0-7"}])
def test_no_byte_of_content_that_is_damaged_is_sent(
    http: TestClient, job: str, runner: Any, harm: str, wanted: dict[str, str]
) -> None:
    digest = http.get(f"{job}/checkpoint").headers["etag"].strip('"')
    path = runner.store.path(digest)
    path.chmod(0o644)
    path.write_bytes(CHECKPOINT[:-1] + (b"\x00" if harm == "one bit" else b""))

    response = http.get(f"{job}/checkpoint", headers=wanted)

    assert (response.status_code, response.json()["code"]) == (500, "artifact_damaged")
    assert "safs scrub" in response.json()["detail"]
    assert b"weights!" not in response.content
    assert http.get(f"{job}/report").status_code == 200
