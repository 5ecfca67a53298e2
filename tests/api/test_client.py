"""The Python client against a real server."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import save_file

from safs.client import AsyncClient, Backoff, Client, JobFailed, ServiceError

JOB: dict[str, Any] = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99}


def _no_pause(_: float) -> None:
    """A backoff that does not sleep."""


IMPATIENT = Backoff(attempts=3, sleep=_no_pause)


@pytest.fixture
def client(url: str) -> Any:
    with Client(url, backoff=IMPATIENT) as client:
        yield client


def test_submit_wait_and_download_chain(client: Client, runner: Any, tmp_path: Path) -> None:
    job = client.submit(JOB)
    runner.start()
    work = Thread(target=lambda: (runner.note("one", "two"), runner.succeed()))
    work.start()
    told: list[int] = []

    folder = job.wait(on_event=lambda event: told.append(event["number"])).download(tmp_path / "result")

    work.join()
    assert told == [1, 2]
    assert job.state == "succeeded"
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoint.safetensors",
        "config.json",
        "report.html",
        "report.json",
        "report.png",
    ]
    assert json.loads((folder / "report.json").read_text()) == job.report() == {"result": "safs"}


def test_sections_win_over_the_spec_and_weights_are_uploaded_first(client: Client, tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(3)}, tmp_path / "dense.safetensors")

    with pytest.raises(ServiceError) as refused:
        client.submit(JOB, sparsity=0.5, weights=tmp_path / "dense.safetensors")

    upload_id = client.upload(tmp_path / "dense.safetensors")
    assert refused.value.code == "invalid_weights"
    assert refused.value.errors[0]["field"] == "model.weights"
    assert upload_id.startswith("upload_")
    assert client.check(JOB, sparsity=0.5)["spec"]["sparsity"] == 0.5
    assert list(client.jobs()) == []


def test_a_refusal_carries_code_detail_and_fields(client: Client) -> None:
    with pytest.raises(ServiceError) as refused:
        client.submit(model={"architecture": "lenet"}, data={"dataset": "digits"}, sparsity=0.9)

    assert (refused.value.code, refused.value.status) == ("unknown_name", 422)
    assert refused.value.errors[0]["field"] == "model.architecture"
    assert "lenet5" in str(refused.value)


def test_an_upload_that_is_refused_halfway_says_why(client: Client, tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(10_000_000)}, tmp_path / "large.safetensors")
    (tmp_path / "dense.pth").write_bytes(b"\x80\x02" * 400_000)

    with pytest.raises(ServiceError) as too_large:
        client.upload(tmp_path / "large.safetensors")
    with pytest.raises(ServiceError) as pickled:
        client.upload(tmp_path / "dense.pth")

    assert (too_large.value.code, pickled.value.code) == ("upload_too_large", "invalid_upload")


def test_waiting_for_a_job_that_fails_says_why(client: Client, runner: Any, tmp_path: Path) -> None:
    job = client.submit(JOB)
    runner.start()
    runner.enter("dense")
    runner.fail("the loss is not finite", "dense")

    with pytest.raises(JobFailed, match=r"failed in stage dense: the loss is not finite") as failed:
        job.wait()

    assert (failed.value.state, failed.value.stage) == ("failed", "dense")
    with pytest.raises(ServiceError, match="the loss is not finite"):
        job.download(tmp_path / "result")


def test_a_cancelled_job_ends_the_wait(client: Client, runner: Any) -> None:
    waiting, running = client.submit(JOB), client.submit(JOB)
    assert waiting.cancel().state == "cancelled"
    runner.start()
    assert running.cancel().state == "cancelling"
    runner.stop()

    with pytest.raises(JobFailed, match="is cancelled"):
        running.wait()


def test_a_wait_ends_in_time_and_the_job_goes_on(client: Client, runner: Any) -> None:
    job = client.submit(JOB)
    runner.start()

    with pytest.raises(TimeoutError, match="goes on"):
        job.wait(timeout_s=0.3)

    assert job.refresh().state == "running"


def test_events_trials_and_curves_are_read_page_by_page(client: Client, runner: Any) -> None:
    job = client.submit(JOB)
    runner.start()
    runner.note(*(str(number) for number in range(1, 251)))
    for number in range(102):
        runner.trial("activations", number, [0.5, 0.6])
    runner.trial("tune", 0, [0.7])

    assert [event["number"] for event in job.events()] == list(range(1, 251))
    assert [event["number"] for event in job.events(after=248)] == [249, 250]
    assert len(list(job.trials())) == 103
    assert [trial["accuracy"] for trial in job.trials("tune")] == [0.7]
    assert [epoch["validation_accuracy"] for epoch in job.curve("activations", 3)] == [0.5, 0.6]


def test_jobs_and_catalog_are_listed(client: Client, runner: Any) -> None:
    first, second = client.submit(JOB), client.submit(JOB, name="second")
    runner.start()

    assert [job.id for job in client.jobs()] == [second.id, first.id]
    assert [job.id for job in client.jobs(state="queued")] == [second.id]
    assert client.job(second.id).view["name"] == "second"
    assert "lenet5" in [entry["name"] for entry in client.catalog()["models"]]


def test_the_async_client_submits_waits_and_downloads(url: str, runner: Any, tmp_path: Path) -> None:
    received: list[int] = []
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async def use() -> tuple[str, Path, list[str]]:
        async with AsyncClient(url, backoff=IMPATIENT) as client:
            job = await client.submit(JOB)
            runner.start()
            Thread(target=lambda: (runner.note("one", "two"), runner.succeed())).start()
            others = asyncio.create_task(tick())
            await job.wait(timeout_s=60, on_event=lambda event: received.append(event["number"]))
            others.cancel()
            folder = await job.download(tmp_path / "result")
            return job.state, folder, [each.id async for each in client.jobs()]

    state, folder, ids = asyncio.run(use())

    assert (state, received, len(ids)) == ("succeeded", [1, 2], 1)
    assert len(list(folder.iterdir())) == 5
    assert ticks > 2, "the event loop goes on while the job is waited for"


def test_a_server_that_restarts_costs_no_event_and_doubles_none(serve: Callable[..., Any], runner: Any) -> None:
    with ExitStack() as first, ExitStack() as second:
        url, server = first.enter_context(serve())

        def restart(_: float) -> None:
            first.close()
            runner.note("four", "five")
            second.enter_context(serve(int(url.rpartition(":")[2])))
            runner.succeed()

        client = Client(url, backoff=Backoff(sleep=restart))
        job = client.submit(JOB)
        runner.start()
        runner.note("one", "two", "three")
        told = []
        for event in job.follow():
            told.append(event["number"])
            if event["number"] == 3:
                server.should_exit = True
        client.close()

    assert told == [1, 2, 3, 4, 5]


class DroppingTransport(httpx.BaseTransport):
    """Cuts every stream of events after ``lines`` lines, as a bad network does."""

    def __init__(self, lines: int) -> None:
        self.real = httpx.HTTPTransport()
        self.lines = lines
        self.connections = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self.real.handle_request(request)
        if "text/event-stream" not in response.headers.get("content-type", ""):
            return response
        self.connections += 1
        return httpx.Response(response.status_code, headers=response.headers, stream=_Cut(response, self.lines))

    def close(self) -> None:
        self.real.close()


class _Cut(httpx.SyncByteStream):
    def __init__(self, response: httpx.Response, lines: int) -> None:
        self.response = response
        self.lines = lines

    def __iter__(self) -> Any:
        for number, line in enumerate(self.response.iter_lines()):
            if number == self.lines:
                raise httpx.ReadError("connection reset by peer")
            yield f"{line}\n".encode()

    def close(self) -> None:
        self.response.close()


@pytest.mark.parametrize("lines", [4, 5, 6, 7, 9])
def test_a_network_that_drops_costs_no_event_and_doubles_none(url: str, runner: Any, lines: int) -> None:
    transport = DroppingTransport(lines)
    with Client(url, transport, backoff=IMPATIENT) as client:
        job = client.submit(JOB)
        runner.start()
        runner.note(*(str(number) for number in range(1, 8)))
        runner.succeed()

        told = [event["number"] for event in job.follow()]

    assert told == [1, 2, 3, 4, 5, 6, 7]
    assert transport.connections > 1


def test_a_service_that_stays_away_ends_the_wait_after_growing_pauses(serve: Callable[..., Any]) -> None:
    pauses: list[float] = []
    with ExitStack() as running:
        url, _ = running.enter_context(serve())
        client = Client(url, backoff=Backoff(first_s=1, longest_s=5, attempts=5, sleep=pauses.append))
        job = client.submit(JOB)

    with client, pytest.raises(ServiceError, match="safs up") as unreachable:
        job.wait()

    assert unreachable.value.code == "unreachable"
    assert pauses == [1, 2, 4, 5, 5]


def test_a_download_that_is_not_what_was_sent_leaves_no_file(tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/jobs/job_1":
            return httpx.Response(200, json={"id": "job_1", "state": "succeeded"})
        etag = sha256(b"what was sent").hexdigest()
        return httpx.Response(200, content=b"what arrived", headers={"ETag": f'"{etag}"'})

    with Client(transport=httpx.MockTransport(answer)) as client, pytest.raises(ServiceError) as corrupt:
        client.job("job_1").download(tmp_path)

    assert corrupt.value.code == "corrupt_download"
    assert list(tmp_path.iterdir()) == []


def test_an_answer_of_something_else_than_the_service_is_an_error_too() -> None:
    gateway = httpx.MockTransport(lambda request: httpx.Response(502, text="<html>Bad Gateway</html>"))

    with Client(transport=gateway) as client, pytest.raises(ServiceError, match="Bad Gateway") as error:
        client.catalog()

    assert (error.value.code, error.value.status) == ("http_502", 502)


def test_the_client_imports_neither_torch_nor_pydantic() -> None:
    program = "import sys, safs.client; print(sorted({'torch', 'pydantic', 'numpy'} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
