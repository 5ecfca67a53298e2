"""A job of a service, as its client sees it."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self
from zipfile import ZipFile

import httpx

from safs.client.connection import Connection, Json
from safs.client.display import as_html, progress_line
from safs.client.errors import JobFailed, ServiceError
from safs.client.frame import trials_frame
from safs.client.stream import Event, follow
from safs.deploy.formats import FORMATS
from safs.result_folder import POINT_PARTS, REPORT_PAGE, RESULT_FILES

if TYPE_CHECKING:
    from pandas import DataFrame

CHUNK_BYTES = 1 << 20


class RemoteJob:
    """A job as of the last request; ``refresh`` updates it.

    Attributes:
        view: the response to ``GET /v1/jobs/{id}``.
    """

    def __init__(self, connection: Connection, view: Json) -> None:
        self._connection = connection
        self.view = view

    def __repr__(self) -> str:
        return f"RemoteJob({self.id!r}, {self.state!r})"

    def _repr_html_(self) -> str:
        """The job as a table, for notebooks."""
        return as_html(self.view)

    @property
    def id(self) -> str:
        return str(self.view["id"])

    @property
    def state(self) -> str:
        """``queued``, ``running``, ``cancelling``, ``cancelled``, ``succeeded`` or ``failed``."""
        return str(self.view["state"])

    @property
    def stage(self) -> str | None:
        """Current or last stage; None before the first."""
        stage: str | None = self.view["stage"]
        return stage

    @property
    def progress(self) -> Json | None:
        """Progress of the job; None before its first event."""
        progress: Json | None = self.view["progress"]
        return progress

    def refresh(self) -> Self:
        """Fetches the job again."""
        self.view = self._connection.get(f"/v1/jobs/{self.id}")
        return self

    def wait(
        self,
        timeout_s: float | None = None,
        on_event: Callable[[Event], None] | None = None,
        *,
        progress: bool = False,
    ) -> Self:
        """Waits until the job has succeeded.

        Args:
            timeout_s: seconds to wait; None waits without limit.
            on_event: called once with each event of the job, from the first.
            progress: print a line with the progress and keep it up to date, in a terminal or a notebook.

        Raises:
            JobFailed: the job failed or was cancelled.
            TimeoutError: ``timeout_s`` has passed; the job continues.
            ServiceError: the service could not be reached for a long time.
        """
        shown = ""
        for event in self.follow(timeout_s=timeout_s):
            if on_event is not None:
                on_event(event)
            if progress and event["kind"] in ("stage_started", "trial_done", "stage_done"):
                line = progress_line(self.refresh().view)
                print(f"\r{line:<{len(shown)}}", end="", flush=True)
                shown = line
        if shown:
            print()
        return self.raise_unless_succeeded()

    def raise_unless_succeeded(self) -> Self:
        """Fetches a job that has ended; raises ``JobFailed`` if it failed or was cancelled."""
        self._connection.backoff.retry(self.refresh)
        if self.state != "succeeded":
            reason = (self.view["error"] or {}).get("message")
            raise JobFailed(self.id, self.state, reason=reason, stage=self.stage)
        return self

    def follow(self, *, after: int = 0, timeout_s: float | None = None) -> Iterator[Event]:
        """The events after number ``after`` as they happen, each once and in order, until the job has ended.

        A broken connection continues where it broke. Raises ``TimeoutError`` and ``ServiceError`` as ``wait`` does.
        """
        return follow(self._connection, self.id, after=after, timeout_s=timeout_s)

    def events(self, *, after: int = 0) -> Iterator[Event]:
        """The events until now, after number ``after``."""
        following: int | None = after
        while following is not None:
            page = self._connection.get(f"/v1/jobs/{self.id}/events", {"after": str(following)})
            yield from page["items"]
            following = page["next_after"]

    def trials(self, stage: str | None = None) -> Iterator[Json]:
        """The trials until now, of one stage or of all, in the order in which they ran."""
        return self._connection.items(f"/v1/jobs/{self.id}/trials", {"stage": stage} if stage else {})

    def trials_frame(self, stage: str | None = None) -> "DataFrame":
        """The trials until now as a pandas DataFrame, with a column for each site and each hyperparameter.

        Raises:
            ServiceError: pandas is not installed (``no_pandas``).
        """
        columns = self._connection.get(f"/v1/jobs/{self.id}/trials/columns", {"stage": stage} if stage else {})
        return trials_frame(columns)

    def curve(self, stage: str, number: int) -> list[Json]:
        """The metrics of each epoch of a finished trial."""
        epochs: list[Json] = self._connection.get(f"/v1/jobs/{self.id}/trials/{stage}/{number}/curve")["epochs"]
        return epochs

    def cancel(self) -> Self:
        """Requests that the job stops; ``wait`` returns when it has."""
        self.view = self._connection.request("POST", f"/v1/jobs/{self.id}/cancel").json()
        return self

    def config(self, *, sparsity: float | None = None) -> Json:
        """The config of a job that has succeeded: what rebuilds and repeats its result.

        Args:
            sparsity: a point of the job's front in place of the recommended one.
        """
        params = {} if sparsity is None else {"sparsity": str(sparsity)}
        return self._connection.get(f"/v1/jobs/{self.id}/config", params)

    def report(self) -> Json:
        """The report of a job that has succeeded."""
        return self._connection.get(f"/v1/jobs/{self.id}/report")

    def front(self) -> list[Json]:
        """The points of a job with several sparsities, as ``front`` in report.json; empty for other jobs."""
        points: list[Json] = self.report().get("front", [])
        return points

    def download(self, directory: str | Path, *, sparsity: float | None = None) -> Path:
        """Downloads the files of the result and returns their folder; ``~`` is expanded.

        Each file is checked against the service's sha256 and appears under its name when it is complete. A broken
        connection continues where it broke.

        Args:
            sparsity: a point of the job's front, whose checkpoint and configuration are downloaded in place of those
                of the recommended point.

        Raises:
            ServiceError: the job has no result (yet), or no such point, or there is a checksum mismatch.
        """
        folder = Path(directory).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        for part in RESULT_FILES:
            self._fetch_part(part, folder, sparsity)
        self._fetch_page(folder)
        return folder

    def export(self, format: str, directory: str | Path, *, sparsity: float | None = None) -> Path:
        """Downloads the result in another format and returns its folder; ``~`` is expanded.

        The first request makes the export, which takes seconds.

        Args:
            format: a name of ``safs.deploy.formats.FORMATS``: compact, onnx, pt2, torch or c.
            sparsity: a point of the job's front in place of the recommended one.

        Raises:
            UnknownNameError: there is no such format.
            ServiceError: the job has no result (yet), or no such point, or it cannot be exported in this format.
        """
        entry = FORMATS[format]
        folder = Path(directory).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        self._fetch(f"exports/{format}{_query(sparsity)}", folder / entry.download)
        if len(entry.files) > 1:
            with ZipFile(folder / entry.download) as archive:
                for name in entry.files:
                    (folder / name).write_bytes(archive.read(name))
            (folder / entry.download).unlink()
        for part in entry.beside:
            self._fetch_part(part, folder, sparsity)
        return folder

    def _fetch_page(self, folder: Path) -> None:
        """Downloads the job's page as one file, for people; services before version 0.2 have none."""
        try:
            self._fetch(REPORT_PAGE, folder / REPORT_PAGE)
        except ServiceError as error:
            if error.code != "not_found":
                raise

    def _fetch_part(self, part: str, folder: Path, sparsity: float | None) -> None:
        """Downloads a file of the result; of the point at ``sparsity`` if each point has its own."""
        file = RESULT_FILES[part]
        try:
            self._fetch(part + _query(sparsity if part in POINT_PARTS else None), folder / file.filename)
        except ServiceError as error:
            if not file.optional or error.code != "no_result":
                raise
            (folder / file.filename).unlink(missing_ok=True)  # from another result

    def _fetch(self, part: str, target: Path) -> None:
        incoming = target.with_name(f".{target.name}.incoming")
        try:
            with incoming.open("w+b") as file:
                arriving = _Arriving(file)
                self._connection.backoff.retry(lambda: self._receive(part, arriving))
                file.seek(0)
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != arriving.sha256:
                detail = f"{target.name} arrived with sha256 {found}, but the service has {arriving.sha256}"
                raise ServiceError("corrupt_download", detail)
            incoming.replace(target)
        finally:
            incoming.unlink(missing_ok=True)

    def _receive(self, part: str, arriving: "_Arriving") -> None:
        """Receives the missing part of the file: all of it, or the rest of content that a broken connection left."""
        with self._connection.stream(f"/v1/jobs/{self.id}/{part}", headers=arriving.wanted()) as response:
            if response.status_code != httpx.codes.PARTIAL_CONTENT:
                arriving.begin(response.headers.get("ETag", ""))
            for chunk in response.iter_bytes():  # as they arrive, so that they are not fetched again
                arriving.file.write(chunk)


def _query(sparsity: float | None) -> str:
    """The query of a request for the point at ``sparsity``, or for the recommended one."""
    return "" if sparsity is None else f"?sparsity={sparsity}"


class _Arriving:
    """A file that has arrived in part."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self._etag = ""

    @property
    def sha256(self) -> str:
        """Hash of the complete file, from the service."""
        return self._etag.removeprefix("W/").strip('"')

    def begin(self, etag: str) -> None:
        """Discards what has arrived."""
        self.file.seek(0)
        self.file.truncate()
        self._etag = etag

    def wanted(self) -> dict[str, str]:
        """Headers that request the missing part."""
        begun = self.file.tell()
        return {"Range": f"bytes={begun}-", "If-Range": self._etag} if begun else {}
