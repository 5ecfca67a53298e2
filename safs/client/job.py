"""A job of the service, from afar."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Self

import httpx

from safs.client.connection import Connection, Json
from safs.client.errors import JobFailed, ServiceError
from safs.client.stream import Event, follow
from safs.result_folder import RESULT_FILES

CHUNK_BYTES = 1 << 20


class RemoteJob:
    """A job as it was when last looked at.

    Attributes:
        view: what ``GET /v1/jobs/{id}`` answered.
    """

    def __init__(self, connection: Connection, view: Json) -> None:
        self._connection = connection
        self.view = view

    def __repr__(self) -> str:
        return f"RemoteJob({self.id!r}, {self.state!r})"

    @property
    def id(self) -> str:
        return str(self.view["id"])

    @property
    def state(self) -> str:
        """``queued``, ``running``, ``cancelling``, ``cancelled``, ``succeeded`` or ``failed``."""
        return str(self.view["state"])

    @property
    def stage(self) -> str | None:
        """What it is doing, or was doing last."""
        stage: str | None = self.view["stage"]
        return stage

    @property
    def progress(self) -> Json | None:
        """How far it is; None before its first event."""
        progress: Json | None = self.view["progress"]
        return progress

    def refresh(self) -> Self:
        """Looks again."""
        self.view = self._connection.get(f"/v1/jobs/{self.id}")
        return self

    def wait(self, timeout_s: float | None = None, on_event: Callable[[Event], None] | None = None) -> Self:
        """Returns when the job has succeeded; ``on_event`` is told each of its events once, from the first.

        Raises:
            JobFailed: the job failed or was cancelled.
            TimeoutError: ``timeout_s`` has passed; the job goes on.
            ServiceError: the service could not be reached for long.
        """
        for event in self.follow(timeout_s=timeout_s):
            if on_event is not None:
                on_event(event)
        self._connection.backoff.patiently(self.refresh)
        if self.state != "succeeded":
            reason = (self.view["error"] or {}).get("message")
            raise JobFailed(self.id, self.state, reason=reason, stage=self.stage)
        return self

    def follow(self, *, after: int = 0, timeout_s: float | None = None) -> Iterator[Event]:
        """The events after number ``after`` as they happen, each once and in order, until the job has ended.

        A connection that drops is taken up again where it broke. Raises ``TimeoutError`` and ``ServiceError`` as
        ``wait`` does.
        """
        return follow(self._connection, self.id, after=after, timeout_s=timeout_s)

    def events(self, *, after: int = 0) -> Iterator[Event]:
        """The events so far, after number ``after``."""
        following: int | None = after
        while following is not None:
            page = self._connection.get(f"/v1/jobs/{self.id}/events", {"after": str(following)})
            yield from page["items"]
            following = page["next_after"]

    def trials(self, stage: str | None = None) -> Iterator[Json]:
        """The trials so far, of one stage or of all."""
        return self._connection.items(f"/v1/jobs/{self.id}/trials", {"stage": stage} if stage else {})

    def curve(self, stage: str, number: int) -> list[Json]:
        """The metrics of each epoch of a trial that is done."""
        epochs: list[Json] = self._connection.get(f"/v1/jobs/{self.id}/trials/{stage}/{number}/curve")["epochs"]
        return epochs

    def cancel(self) -> Self:
        """Asks the job to stop; ``wait`` tells when it has."""
        self.view = self._connection.request("POST", f"/v1/jobs/{self.id}/cancel").json()
        return self

    def config(self) -> Json:
        """The config of a job that has succeeded: what rebuilds and repeats its result."""
        return self._connection.get(f"/v1/jobs/{self.id}/config")

    def report(self) -> Json:
        """The report of a job that has succeeded."""
        return self._connection.get(f"/v1/jobs/{self.id}/report")

    def download(self, directory: str | Path) -> Path:
        """The folder with the job's four files, each checked against the service's sha256.

        A file appears under its name only when it is whole. A connection that drops is taken up again where it broke.

        Raises:
            ServiceError: the job has no result (yet), or what arrived is not what was sent.
        """
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        for part, file in RESULT_FILES.items():
            self._fetch(part, folder / file.filename)
        return folder

    def _fetch(self, part: str, target: Path) -> None:
        incoming = target.with_name(f".{target.name}.incoming")
        try:
            with incoming.open("w+b") as file:
                arriving = _Arriving(file)
                self._connection.backoff.patiently(lambda: self._receive(part, arriving))
                file.seek(0)
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != arriving.sha256:
                detail = f"{target.name} arrived with sha256 {found}, but the service has {arriving.sha256}"
                raise ServiceError("corrupt_download", detail)
            incoming.replace(target)
        finally:
            incoming.unlink(missing_ok=True)

    def _receive(self, part: str, arriving: "_Arriving") -> None:
        """The rest of the file: all of it, unless a connection broke off in the middle of this very content."""
        with self._connection.stream(f"/v1/jobs/{self.id}/{part}", headers=arriving.wanted()) as response:
            if response.status_code != httpx.codes.PARTIAL_CONTENT:
                arriving.begin(response.headers.get("ETag", ""))
            for chunk in response.iter_bytes():  # As they come: what has arrived is not fetched again.
                arriving.file.write(chunk)


class _Arriving:
    """A file of which a part has arrived."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self._etag = ""

    @property
    def sha256(self) -> str:
        """What the service says of the whole."""
        return self._etag.removeprefix("W/").strip('"')

    def begin(self, etag: str) -> None:
        """Drops what has arrived."""
        self.file.seek(0)
        self.file.truncate()
        self._etag = etag

    def wanted(self) -> dict[str, str]:
        """Headers that ask for what is missing."""
        begun = self.file.tell()
        return {"Range": f"bytes={begun}-", "If-Range": self._etag} if begun else {}
