"""A client of the service: submit a job, wait for it, fetch its result. Imports no torch.

>>> from safs.client import Client
>>> folder = (  # doctest: +SKIP
...     Client("http://127.0.0.1:8000")
...     .submit(model={"architecture": "lenet5"}, data={"dataset": "digits"}, sparsity=0.99)
...     .wait()
...     .download("result")
... )
>>> network = safs.load(folder)  # doctest: +SKIP
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

import httpx

Json = dict[str, Any]
Event = Json
"""``number``, ``kind``, ``at`` and ``data``."""

RESULT_FILES: Mapping[str, str] = {
    "checkpoint": "checkpoint.safetensors",
    "config": "config.json",
    "report": "report.json",
    "picture": "report.png",
}
"""The links of a job that has succeeded, and the names that its files have on disk."""

FINAL_STATES = frozenset({"succeeded", "failed", "cancelled"})
SILENCE_S = 60.0
"""A stream that says nothing for so long, not even a keep-alive, counts as lost."""
CHUNK_BYTES = 1 << 20


class ServiceError(Exception):
    """The service refused a request, or could not be reached.

    ``code`` is the problem's stable code (``unreachable`` where no answer came, ``http_<status>`` where it came from
    something else than the service), ``errors`` say which fields are wrong.
    """

    def __init__(self, code: str, detail: str, *, errors: list[Json] | None = None, status: int | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = errors or []
        self.status = status


class JobFailed(Exception):
    """The job that was waited for ended without a result: it failed or was cancelled."""

    def __init__(self, job: "RemoteJob") -> None:
        self.job = job
        self.state = job.state
        self.reason: str = (job.view.get("error") or {}).get("message") or f"it was {job.state}"
        stage = f" in stage {job.stage}" if job.stage else ""
        super().__init__(f"job {job.id} {job.state}{stage}: {self.reason}")


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between attempts to reach the service again: doubling from ``first_s``, never above ``longest_s``."""

    first_s: float = 0.5
    longest_s: float = 15.0
    attempts: int = 12
    """In a row without an answer, before the client gives up."""
    sleep: Callable[[float], None] = time.sleep

    def pause(self, attempt: int) -> None:
        """Waits before attempt number ``attempt`` (1 is the first repetition)."""
        self.sleep(min(self.longest_s, self.first_s * 2 ** (attempt - 1)))


class Client:
    """Speaks to one service.

    Args:
        url: where the service is, without ``/v1``.
        transport: an httpx transport, for tests and for special networks.
        backoff: how a dropped stream of events is taken up again.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        transport: httpx.BaseTransport | None = None,
        *,
        backoff: Backoff | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.backoff = backoff or Backoff()
        self._http = httpx.Client(
            base_url=self.url,
            transport=transport,
            timeout=httpx.Timeout(30.0, read=SILENCE_S),
            trust_env=not _is_loopback(self.url),  # a proxy of the environment cannot reach this machine's loopback
        )

    def submit(
        self, spec: Mapping[str, Any] | None = None, *, weights: str | Path | None = None, **sections: Any
    ) -> "RemoteJob":
        """The job that was queued.

        Args:
            spec: the job spec, whole or in part; ``sections`` (``model=``, ``data=``, ``sparsity=`` ...) win over it.
            weights: a dense state dict (safetensors), uploaded first.

        Raises:
            ServiceError: the service refused the job; nothing was queued.
        """
        return RemoteJob(self, self._post_job(spec, weights, sections, {}))

    def check(
        self, spec: Mapping[str, Any] | None = None, *, weights: str | Path | None = None, **sections: Any
    ) -> Json:
        """What ``submit`` would queue: the resolved ``spec``, and what the checks found. Queues nothing."""
        return self._post_job(spec, weights, sections, {"validate_only": "true"})

    def upload(self, path: str | Path) -> str:
        """The id under which the service keeps a safetensors file."""
        with Path(path).open("rb") as file:
            size = str(os.fstat(file.fileno()).st_size)
            headers = {"Content-Type": "application/octet-stream", "Content-Length": size}
            chunks = iter(lambda: file.read(CHUNK_BYTES), b"")
            return str(self.request("POST", "/v1/uploads", content=chunks, headers=headers).json()["id"])

    def job(self, job_id: str) -> "RemoteJob":
        """The job with this id."""
        return RemoteJob(self, self.request("GET", f"/v1/jobs/{job_id}").json())

    def jobs(self, *, state: str | None = None) -> "Iterator[RemoteJob]":
        """All jobs, the newest first, fetched a page at a time."""
        for view in self.pages("/v1/jobs", {"state": state} if state else {}):
            yield RemoteJob(self, view)

    def catalog(self, kind: str | None = None) -> Json | list[Json]:
        """What the service knows: all kinds, or the entries of one (models, datasets, operators ...)."""
        answer = self.request("GET", f"/v1/catalog/{kind}" if kind else "/v1/catalog").json()
        found: Json | list[Json] = answer["items"] if kind else answer
        return found

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer, read whole; the arguments are those of ``httpx.Client.request``.

        Raises:
            ServiceError: no answer came, or one that says what is wrong.
        """
        with _network_errors(self.url):
            response = self._http.request(method, path, **options)
            _raise_for_problem(response)
            return response

    @contextmanager
    def stream(self, path: str, **options: Any) -> Iterator[httpx.Response]:
        """A GET whose answer is read piece by piece.

        Raises:
            ServiceError: the service answered with a problem; httpx's own errors pass.
        """
        with self._http.stream("GET", path, **options) as response:
            if response.is_error:
                response.read()
                _raise_for_problem(response)
            yield response

    def pages(self, path: str, params: Mapping[str, str]) -> Iterator[Json]:
        """The items of every page of a list."""
        query = dict(params)
        while True:
            page = self.request("GET", path, params=query).json()
            yield from page["items"]
            if page["next_page_token"] is None:
                return
            query["page_token"] = page["next_page_token"]

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _post_job(
        self, spec: Mapping[str, Any] | None, weights: str | Path | None, sections: Json, params: Mapping[str, str]
    ) -> Json:
        body = {**(spec or {}), **sections}
        if weights is not None:
            body["model"] = {**body.get("model", {}), "weights": self.upload(weights)}
        answer: Json = self.request("POST", "/v1/jobs", json=body, params=params).json()
        return answer


@dataclass(slots=True)
class RemoteJob:
    """A job of the service, as it was when last looked at."""

    client: Client = field(repr=False)
    view: Json = field(repr=False)
    """What ``GET /v1/jobs/{id}`` answered."""

    @property
    def id(self) -> str:
        return str(self.view["id"])

    @property
    def state(self) -> str:
        """``queued``, ``running``, ``cancelling``, ``cancelled``, ``succeeded`` or ``failed``."""
        return str(self.view["state"])

    @property
    def stage(self) -> str | None:
        stage: str | None = self.view["stage"]
        return stage

    @property
    def progress(self) -> Json:
        return dict(self.view["progress"] or {})

    @property
    def finished(self) -> bool:
        return self.state in FINAL_STATES

    def refresh(self) -> Self:
        """Looks again."""
        self.view = self.client.request("GET", f"/v1/jobs/{self.id}").json()
        return self

    def wait(self, timeout_s: float | None = None, on_event: Callable[[Event], None] | None = None) -> Self:
        """Returns when the job has succeeded; ``on_event`` is told each of its events once, in order.

        Raises:
            JobFailed: the job failed or was cancelled.
            TimeoutError: ``timeout_s`` has passed; the job goes on.
            ServiceError: the service could not be reached for a long time.
        """
        for event in self.follow(timeout_s=timeout_s):
            if on_event is not None:
                on_event(event)
        if self.refresh().state != "succeeded":
            raise JobFailed(self)
        return self

    def follow(self, *, after: int = 0, timeout_s: float | None = None) -> Iterator[Event]:
        """The events after number ``after`` as they happen, until the job has ended.

        A connection that drops is taken up again where it broke.

        Raises:
            TimeoutError, ServiceError: as ``wait``.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        failures = 0
        while True:
            try:
                for event in self._stream(after, deadline):
                    failures = 0
                    if event is None:
                        continue
                    if event["kind"] == "end":
                        return
                    after = event["number"]
                    yield event
                error: Exception | None = None
            except (httpx.TransportError, ServiceError) as dropped:
                if isinstance(dropped, ServiceError) and not _is_passing(dropped):
                    raise
                error = dropped
            _check_deadline(self, deadline)
            failures += 1
            if failures > self.client.backoff.attempts:
                raise ServiceError("unreachable", f"the events of job {self.id} stopped: {error}") from error
            self.client.backoff.pause(failures)

    def events(self, *, after: int = 0) -> Iterator[Event]:
        """The events so far, after number ``after``."""
        yield from self.client.pages(f"/v1/jobs/{self.id}/events", {"after": str(after)})

    def trials(self, stage: str | None = None) -> Iterator[Json]:
        """The trials so far, of one stage or of all."""
        yield from self.client.pages(f"/v1/jobs/{self.id}/trials", {"stage": stage} if stage else {})

    def curve(self, stage: str, number: int) -> list[Json]:
        """The metrics of each epoch of a trial."""
        path = f"/v1/jobs/{self.id}/trials/{stage}/{number}/curve"
        epochs: list[Json] = self.client.request("GET", path).json()["epochs"]
        return epochs

    def cancel(self) -> Self:
        """Asks the job to stop; ``wait`` tells when it has."""
        self.view = self.client.request("POST", f"/v1/jobs/{self.id}/cancel").json()
        return self

    def report(self) -> Json:
        """The report of a job that has succeeded."""
        report: Json = self.client.request("GET", f"/v1/jobs/{self.id}/report").json()
        return report

    def download(self, directory: str | Path) -> Path:
        """The folder with the job's four files, each checked against the service's sha256.

        A file appears under its name only when it is whole.

        Raises:
            ServiceError: the job has no result (yet), or what arrived is not what was sent.
        """
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        for link, name in RESULT_FILES.items():
            self._fetch(link, folder / name)
        return folder

    def _fetch(self, link: str, target: Path) -> None:
        part = target.with_name(f".{target.name}.part")
        digest = hashlib.sha256()
        try:
            with (
                _network_errors(self.client.url),
                self.client.stream(f"/v1/jobs/{self.id}/{link}") as response,
                part.open("wb") as file,
            ):
                for chunk in response.iter_bytes(CHUNK_BYTES):
                    digest.update(chunk)
                    file.write(chunk)
            expected = response.headers.get("ETag", "").strip('"')
            if digest.hexdigest() != expected:
                detail = f"{target.name} arrived with sha256 {digest.hexdigest()}, the service has {expected}"
                raise ServiceError("corrupt_download", detail)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    def _stream(self, after: int, deadline: float | None) -> Iterator[Event | None]:
        """Events of one connection; None for each sign of life that is no event."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        left_s = SILENCE_S if deadline is None else max(0.05, min(SILENCE_S, deadline - time.monotonic()))
        timeout = httpx.Timeout(30.0, read=left_s)
        with self.client.stream(f"/v1/jobs/{self.id}/events", headers=headers, timeout=timeout) as response:
            if response.status_code == httpx.codes.NO_CONTENT:  # the job has ended, and nothing came after ``after``
                yield {"kind": "end"}
                return
            lines: list[str] = []
            for line in response.iter_lines():
                _check_deadline(self, deadline)
                if line:
                    lines.append(line)
                    continue
                yield _parse_event(lines)
                lines = []


def _parse_event(lines: list[str]) -> Event | None:
    """One block of a text/event-stream; None where it is a comment."""
    fields = dict(line.split(": ", 1) for line in lines if not line.startswith(":") and ": " in line)
    if fields.get("event") == "end":
        return {"kind": "end"}
    if "data" not in fields:
        return None
    event: Event = json.loads(fields["data"])
    return event


def _check_deadline(job: RemoteJob, deadline: float | None) -> None:
    if deadline is not None and time.monotonic() >= deadline:
        raise TimeoutError(f"job {job.id} has not ended in time; it goes on, and can be waited for again")


def _is_passing(error: ServiceError) -> bool:
    """Whether the service, or the proxy before it, may answer better soon."""
    return error.status is None or error.status >= 500 or error.status == httpx.codes.TOO_MANY_REQUESTS


@contextmanager
def _network_errors(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        detail = f"no answer from {url} ({error or type(error).__name__}); is the service running? `safs up` starts one"
        raise ServiceError("unreachable", detail) from error


def _raise_for_problem(response: httpx.Response) -> None:
    if not response.is_error:
        return
    try:
        problem = response.json()
        code, detail, errors = problem["code"], problem["detail"], problem["errors"]
    except (ValueError, KeyError, TypeError):  # not from the service itself
        code, detail, errors = f"http_{response.status_code}", response.text[:200] or response.reason_phrase, []
    raise ServiceError(code, detail, errors=errors, status=response.status_code)


def _is_loopback(url: str) -> bool:
    host = httpx.URL(url).host
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
