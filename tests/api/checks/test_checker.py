"""The real process that checks jobs; the tests share one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.checks import checker as checking
from api.checks.checker import PROGRAM, Checker, UnexpectedCheckError
from api.checks.process import ForkServer
from api.checks.requests import Answer, CheckRequest, EstimateRequest, Trial
from api.schemas.checks import CheckedJob
from safs.errors import SafsError, SparsityError, UnknownNameError
from safs.spec.job import JobSpec
from tests.checks_in_process import InThisProcess

JOB: dict[str, Any] = {
    "model": {"architecture": "lenet5"},
    "data": {"dataset": "digits"},
    "sparsity": 0.9,
    "preset": "quick",
}
SPEC = JobSpec.model_validate(JOB)


@pytest.fixture(scope="module")
def process() -> Iterator[ForkServer]:
    process = ForkServer(PROGRAM, idle_s=600.0)
    yield process
    process.close()


@pytest.fixture
def checker(process: ForkServer) -> Checker:
    return Checker(process, estimate_limit_s=250.0)


def check(checker: Checker, spec: JobSpec = SPEC) -> CheckedJob:
    return checker.check(spec, data_root=None, weights=None, upload=None, preview=True)


def test_the_process_finds_what_a_check_here_finds(checker: Checker) -> None:
    found = check(checker)

    assert found == check(Checker(InThisProcess(), estimate_limit_s=0))
    assert (found.weights, found.classes, len(found.sites)) == (61_470, 10, 4)


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        ({"model": {"architecture": "lenet6"}}, UnknownNameError, "model.architecture"),
        ({"sparsity": 0.99999, "prune": {"distribution": "uniform"}}, SparsityError, "sparsity"),
    ],
)
def test_a_refusal_arrives_as_the_error_that_it_is(
    checker: Checker, change: dict[str, Any], error: type[SafsError], field: str
) -> None:
    with pytest.raises(error) as refused:
        check(checker, JobSpec.model_validate(JOB | change))

    assert refused.value.field == field
    assert refused.value.message == str(refused.value)


def test_a_job_is_timed(checker: Checker) -> None:
    made = checker.estimate(SPEC, check(checker))

    assert made["untimed"] is None
    assert 0 < made["low_s"] < made["seconds"] < made["high_s"]
    assert made["in_flight"] >= 1


@pytest.mark.parametrize(("limit_s", "reason"), [(0.0, "turned off"), (0.01, "longer than 0.01 s")])
def test_an_estimate_without_timing_gives_the_reason(process: ForkServer, limit_s: float, reason: str) -> None:
    checker = Checker(process, estimate_limit_s=limit_s)

    made = checker.estimate(SPEC, check(checker))

    assert made["seconds"] is None
    assert reason in made["untimed"]
    assert made["trials"]["expected"] > 0


def test_timing_has_a_memory_limit(process: ForkServer) -> None:
    spec = JobSpec.model_validate(JOB | {"model": {"architecture": "vgg16"}})
    found = check(Checker(process, estimate_limit_s=0), spec)
    request = EstimateRequest(spec=spec, preflight=found.preflight, memory_bytes=2**26)

    answer = Answer.model_validate_json(process.ask(request.model_dump_json().encode(), limit_s=250.0))

    assert answer.result["seconds"] is None
    assert "memory" in answer.result["untimed"]


def test_the_catalog_is_asked_for_once(process: ForkServer) -> None:
    class Counting(InThisProcess):
        asked = 0

        def ask(self, body: bytes, *, limit_s: float, kind: bytes = b"-") -> bytes:
            self.asked += 1
            return process.ask(body, limit_s=limit_s, kind=kind)

    counting = Counting()
    checker = Checker(counting, estimate_limit_s=0)

    assert checker.catalog() == checker.catalog()
    assert counting.asked == 1
    assert {"lenet5", "torchvision/resnet18"} <= {entry.name for entry in checker.catalog()["models"]}


def test_importances_are_computed(checker: Checker) -> None:
    trials = [
        Trial(config={"conv1": name}, epochs=1, accuracy=0.5 + 0.1 * (name == "relu")) for name in ("relu", "tanh")
    ]

    assert checker.importances(trials * 8) == {"conv1": 1.0}
    assert checker.importances([]) == {}


def test_a_defect_arrives_with_its_traceback(process: ForkServer) -> None:
    class Garbled(InThisProcess):
        def ask(self, body: bytes, *, limit_s: float, kind: bytes = b"-") -> bytes:
            return process.ask(b'{"kind": "check"}', limit_s=limit_s)

    with pytest.raises(UnexpectedCheckError, match=r"Traceback(.|\n)*ValidationError"):
        check(Checker(Garbled(), estimate_limit_s=0))


def test_a_defect_in_timing_leaves_an_estimate_without_seconds(
    process: ForkServer, caplog: pytest.LogCaptureFixture
) -> None:
    class Garbled(InThisProcess):
        def ask(self, body: bytes, *, limit_s: float, kind: bytes = b"-") -> bytes:
            return process.ask(body.replace(b'"untimed":null', b'"untimed":0'), limit_s=limit_s)

    made = Checker(Garbled(), estimate_limit_s=250.0).estimate(SPEC, check(Checker(process, estimate_limit_s=0)))

    assert (made["seconds"], made["untimed"]) == (None, "timing failed unexpectedly; the service's log has the reason")
    assert "ValidationError" in caplog.text


def test_requests_and_answers_are_json(process: ForkServer, tmp_path: Path) -> None:
    request = CheckRequest(spec=SPEC, data_root=tmp_path).model_dump_json().encode()

    answer = json.loads(process.ask(request, limit_s=checking.CHECK_S))

    assert json.loads(request)["spec"]["model"]["architecture"] == "lenet5"
    assert answer["result"]["weights"] == 61_470
