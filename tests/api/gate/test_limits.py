"""Limits of keys and owners: 429, with a correct Retry-After."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.errors import RateLimitedError
from api.gate.rate_limit import RateLimiter
from api.settings import ApiSettings
from store.api_keys import KeyLimits
from tests.api.conftest import MINIMAL, MakeKey, from_this_machine


class Clock:
    """A clock that the test sets."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_bucket_holds_a_minute_of_requests_and_the_next_may_come_when_it_is_said_and_not_before() -> None:
    clock = Clock()
    rates = RateLimiter(clock)
    for _ in range(6):
        rates.take("a", 6)

    with pytest.raises(RateLimitedError, match="6 requests per minute") as refused:
        rates.take("a", 6)
    rates.take("b", 6)
    clock.now_s += refused.value.retry_after_s - 1
    with pytest.raises(RateLimitedError):
        rates.take("a", 6)
    clock.now_s += 1
    rates.take("a", 6)

    assert refused.value.retry_after_s == 10


def test_an_idle_bucket_is_full_and_never_fuller() -> None:
    clock = Clock()
    rates = RateLimiter(clock)
    rates.take("a", 3)
    clock.now_s += 3600

    for _ in range(3):
        rates.take("a", 3)
    with pytest.raises(RateLimitedError):
        rates.take("a", 3)


def test_a_key_above_its_requests_a_minute_is_told_when_to_come_again(settings: ApiSettings, make_key: MakeKey) -> None:
    few, own = make_key("vision", "read"), make_key("vision", "read", limits=KeyLimits(requests_per_minute=3))
    app = create_app(settings.model_copy(update={"requests_per_minute": 2}))
    with from_this_machine(app) as http:
        statuses = [[http.get("/v1/jobs", headers=key).status_code for _ in range(4)] for key in (few, own)]
        response = http.get("/v1/jobs", headers=few)

    assert statuses == [[200, 200, 429, 429], [200, 200, 200, 429]]
    assert (response.json()["code"], response.json()["retryable"]) == ("rate_limited", True)
    assert 1 <= int(response.headers["retry-after"]) <= 30


def refusal(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_an_owner_with_a_full_queue_is_refused_until_a_job_leaves_it(settings: ApiSettings, make_key: MakeKey) -> None:
    vision, other = make_key("vision", "submit"), make_key("other", "submit")
    more = make_key("vision", "submit", limits=KeyLimits(queued_jobs=2))
    with from_this_machine(create_app(settings.model_copy(update={"queued_jobs": 1}))) as http:

        def submit(key: dict[str, str]) -> Any:
            return http.post("/v1/jobs", json=MINIMAL, headers=key)

        first, full, others, by_another_key = submit(vision), submit(vision), submit(other), submit(more)
        http.post(f"{first.headers['location']}/cancel", headers=vision)
        http.post(f"{by_another_key.headers['location']}/cancel", headers=vision)
        after = submit(vision)

    assert [response.status_code for response in (first, others, by_another_key, after)] == [202] * 4
    assert refusal(full) == (429, "quota_exceeded")
    assert full.headers["retry-after"] == "60"
    assert "vision has 1 queued jobs, and the limit is 1" in full.json()["detail"]


def test_an_owner_without_gpu_hours_left_is_refused(settings: ApiSettings, make_key: MakeKey) -> None:
    vision, unlimited = make_key("vision", "submit"), make_key("vision", "submit", limits=KeyLimits(gpu_hours=5))
    with from_this_machine(create_app(settings.model_copy(update={"gpu_hours": 0.0}))) as http:
        refused = http.post("/v1/jobs", json=MINIMAL, headers=vision)
        checked = http.post("/v1/jobs?validate_only=true", json=MINIMAL, headers=vision)
        taken = http.post("/v1/jobs", json=MINIMAL, headers=unlimited)

    assert refusal(refused) == (429, "quota_exceeded")
    assert (checked.status_code, taken.status_code) == (200, 202)


def test_this_machine_without_keys_has_no_limits(settings: ApiSettings) -> None:
    none = {"requests_per_minute": 1, "queued_jobs": 0, "gpu_hours": 0.0}
    with from_this_machine(create_app(settings.model_copy(update=none))) as http:
        assert [http.post("/v1/jobs", json=MINIMAL).status_code for _ in range(3)] == [202] * 3


def test_what_is_refused_counts_as_a_request_too(http: TestClient, make_key: MakeKey) -> None:
    key = make_key("vision", "read", limits=KeyLimits(requests_per_minute=2))

    statuses = [http.post("/v1/jobs", headers=key).status_code for _ in range(3)]

    assert statuses == [403, 403, 429]
