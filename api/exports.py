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
from safs.result_folder import POINT_PARTS, RESULT_FILES, point_part
from store.artifacts import stored_files
from store.artifacts.stored_files import ArtifactStore
from store.records import JobArtifact
from store.session import Database

MAX_WAIT_S = 45.0
"""Seconds a request waits for its export. Clients give up a silent connection after 60 s; the export continues."""


class Exporter(Protocol):
    """The signature of ``safs.deploy.in_subprocess.export_in_subprocess``."""

    def __call__(self, files: Mapping[str, Path], format: str, target: Path, *, data_root: Path | None) -> None: ...


def artifact_name(format: str, sparsity: float | None = None) -> str:
    """The name under which an export is a file of its job.

    Args:
        sparsity: sparsity of the exported point of the job's front; None is the recommended one.

    >>> artifact_name("onnx"), artifact_name("onnx", 0.95)
    ('export-onnx', 'export-onnx@0.95')
    """
    name = f"export-{format}"
    return name if sparsity is None else point_part(name, sparsity)


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
        self._running: dict[tuple[str, str, float | None], asyncio.Task[JobArtifact]] = {}

    async def make(self, job_id: str, format: str, owner: str | None, sparsity: float | None = None) -> JobArtifact:
        """The export of a succeeded job, as a file of it.

        Args:
            sparsity: a point of the job's front that is not the recommended one, or None for that.

        Raises:
            BusyError: it is not ready after ``max_wait_s``; it is made further, and a later request finds it.
            SafsError: the result cannot be exported.
        """
        key = job_id, format, sparsity
        if key not in self._running:
            self._running[key] = task = asyncio.create_task(self._make(job_id, format, owner, sparsity))
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

    def _forget(self, key: tuple[str, str, float | None], task: asyncio.Task[JobArtifact]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()  # Retrieved here in case that no request waits any more.

    async def _make(self, job_id: str, format: str, owner: str | None, sparsity: float | None) -> JobArtifact:
        async with self._limit.slot(owner):
            return await to_thread.run_sync(self._write, job_id, format, sparsity)

    def _write(self, job_id: str, format: str, sparsity: float | None) -> JobArtifact:
        name = artifact_name(format, sparsity)
        with self._database.read() as tx:
            found = stored_files.of_job(tx, job_id)
        if (made := found.get(name)) is not None:
            return made  # The request looked for the file just before another one's export was finished.
        if sparsity is not None:
            found |= {part: found[point_part(part, sparsity)] for part in POINT_PARTS}
        files = {
            file.filename: self._artifacts.intact_path(found[part].sha256)
            for part, file in RESULT_FILES.items()
            if part in found
        }
        entry = FORMATS[format]
        with TemporaryDirectory(prefix="safs-exported-") as folder:
            target = Path(folder) / entry.download
            self._exporter(files, format, target, data_root=self._data_root)
            stored = self._artifacts.put(target)
        with self._database.begin() as tx:
            stored_files.attach_later(tx, job_id, name, stored, entry.media_type)
        return JobArtifact(name, stored.sha256, stored.size_bytes, entry.media_type)
