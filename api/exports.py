"""Exports of results: made at the first request in a process of their own, then files of the job like the others."""

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from anyio import to_thread

from api.errors import BusyError
from api.gate.concurrency import ConcurrencyLimit
from safs.deploy.formats import FORMATS
from safs.result_folder import RESULT_FILES
from store.artifacts import stored_files
from store.artifacts.stored_files import ArtifactStore
from store.records import JobArtifact
from store.session import Database

MAX_WAIT_S = 45.0
"""Seconds a request waits for its export. Clients give up a silent connection after 60 s; the export continues."""


class Exporter(Protocol):
    """The signature of ``safs.deploy.in_subprocess.export_in_subprocess``."""

    def __call__(self, files: Mapping[str, Path], format: str, target: Path, *, data_root: Path | None) -> None: ...


def artifact_name(format: str) -> str:
    """The name under which an export is a file of its job."""
    return f"export-{format}"


class Exports:
    """Makes exports, one at a time. Requests for the same export wait for the same process.

    Args:
        max_wait_s: seconds a request waits.
    """

    def __init__(
        self,
        database: Database,
        artifacts: ArtifactStore,
        exporter: Exporter,
        data_root: Path | None,
        *,
        max_wait_s: float = MAX_WAIT_S,
    ) -> None:
        self._database, self._artifacts = database, artifacts
        self._exporter, self._data_root, self._max_wait_s = exporter, data_root, max_wait_s
        self._limit = ConcurrencyLimit("exports", 1, per_owner=1, max_wait_s=600.0)
        self._running: dict[tuple[str, str], asyncio.Task[JobArtifact]] = {}

    async def make(self, job_id: str, format: str, owner: str | None) -> JobArtifact:
        """The export of a succeeded job, as a file of it.

        Raises:
            BusyError: it is not ready after ``max_wait_s``; it is made further, and a later request finds it.
            SafsError: the result cannot be exported.
        """
        key = job_id, format
        if key not in self._running:
            self._running[key] = task = asyncio.create_task(self._make(job_id, format, owner))
            task.add_done_callback(partial(self._forget, key))
        try:
            async with asyncio.timeout(self._max_wait_s):
                return await asyncio.shield(self._running[key])
        except TimeoutError:
            raise BusyError(
                f"the export of job {job_id} to {format} is still being made after {self._max_wait_s:g} s; send the "
                "request again later"
            ) from None

    async def drain(self) -> None:
        """Wait for the exports that are being made, without their errors."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _forget(self, key: tuple[str, str], task: asyncio.Task[JobArtifact]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()  # Retrieved here in case that no request waits any more.

    async def _make(self, job_id: str, format: str, owner: str | None) -> JobArtifact:
        async with self._limit.slot(owner):
            return await to_thread.run_sync(self._write, job_id, format)

    def _write(self, job_id: str, format: str) -> JobArtifact:
        with self._database.read() as tx:
            found = stored_files.of_job(tx, job_id)
        if (made := found.get(artifact_name(format))) is not None:
            return made  # The request looked for the file just before another one's export was finished.
        files = {
            file.filename: self._artifacts.intact_path(found[name].sha256)
            for name, file in RESULT_FILES.items()
            if name in found
        }
        entry = FORMATS[format]
        with TemporaryDirectory(prefix="safs-exported-") as folder:
            target = Path(folder) / entry.download
            self._exporter(files, format, target, data_root=self._data_root)
            stored = self._artifacts.put(target)
        name = artifact_name(format)
        with self._database.begin() as tx:
            stored_files.attach_later(tx, job_id, name, stored, entry.media_type)
        return JobArtifact(name, stored.sha256, stored.size_bytes, entry.media_type)
