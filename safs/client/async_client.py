"""The client for asyncio: each request of the client runs in a thread, and the event loop goes on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx

from safs.client.connection import Backoff, Json
from safs.client.job import RemoteJob
from safs.client.service import Client
from safs.client.stream import Event

if TYPE_CHECKING:
    from pandas import DataFrame

Item = TypeVar("Item")


class AsyncClient:
    """A client of one service for asyncio. Arguments and errors are those of ``Client``.

    A task that is cancelled ends at once; its request ends in its thread, at the latest after a minute of silence.
    """

    def __init__(
        self,
        url: str | None = None,
        transport: httpx.BaseTransport | None = None,
        *,
        api_key: str | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self._client = Client(url, transport, api_key=api_key, backoff=backoff)

    async def submit(
        self,
        spec: Mapping[str, Any] | None = None,
        *,
        weights: str | Path | None = None,
        input: tuple[int, int] | None = None,
        **sections: Any,
    ) -> "AsyncJob":
        """Queues a job and returns it, as ``Client.submit``."""
        return AsyncJob(await asyncio.to_thread(self._client.submit, spec, weights=weights, input=input, **sections))

    async def check(
        self,
        spec: Mapping[str, Any] | None = None,
        *,
        weights: str | Path | None = None,
        input: tuple[int, int] | None = None,
        **sections: Any,
    ) -> Json:
        """Checks a job and queues nothing, as ``Client.check``."""
        return await asyncio.to_thread(self._client.check, spec, weights=weights, input=input, **sections)

    async def upload(self, path: str | Path) -> str:
        """Uploads a file of weights or of a data set and returns its id."""
        return await asyncio.to_thread(self._client.upload, path)

    async def job(self, job_id: str) -> "AsyncJob":
        """The job with this id."""
        return AsyncJob(await asyncio.to_thread(self._client.job, job_id))

    async def jobs(self, *, state: str | None = None, owner: str | None = None) -> AsyncIterator["AsyncJob"]:
        """The jobs, the newest first, as ``Client.jobs``."""
        async for job in _in_thread(self._client.jobs(state=state, owner=owner)):
            yield AsyncJob(job)

    async def catalog(self) -> dict[str, list[Json]]:
        """The names that a job may use, by kind."""
        return await asyncio.to_thread(self._client.catalog)

    async def aclose(self) -> None:
        """Closes the connections."""
        await asyncio.to_thread(self._client.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class AsyncJob:
    """A job as of the last request, for asyncio.

    Attributes:
        remote: the same job for code without asyncio, with its ``id``, ``state``, ``stage``, ``progress`` and ``view``.
    """

    def __init__(self, remote: RemoteJob) -> None:
        self.remote = remote

    def __repr__(self) -> str:
        return f"AsyncJob({self.id!r}, {self.state!r})"

    @property
    def id(self) -> str:
        return self.remote.id

    @property
    def state(self) -> str:
        """``queued``, ``running``, ``cancelling``, ``cancelled``, ``succeeded`` or ``failed``."""
        return self.remote.state

    async def refresh(self) -> Self:
        """Fetches the job again."""
        await asyncio.to_thread(self.remote.refresh)
        return self

    async def wait(self, timeout_s: float | None = None, on_event: Callable[[Event], None] | None = None) -> Self:
        """Waits until the job has succeeded, as ``RemoteJob.wait``. ``on_event`` is called in the event loop."""
        async for event in self.follow(timeout_s=timeout_s):
            if on_event is not None:
                on_event(event)
        await asyncio.to_thread(self.remote.raise_unless_succeeded)
        return self

    async def follow(self, *, after: int = 0, timeout_s: float | None = None) -> AsyncIterator[Event]:
        """The events after number ``after`` as they happen, until the job has ended."""
        async for event in _in_thread(self.remote.follow(after=after, timeout_s=timeout_s)):
            yield event

    async def cancel(self) -> Self:
        """Requests that the job stops."""
        await asyncio.to_thread(self.remote.cancel)
        return self

    async def report(self) -> Json:
        """The report of a job that has succeeded."""
        return await asyncio.to_thread(self.remote.report)

    async def trials_frame(self, stage: str | None = None) -> "DataFrame":
        """The trials until now as a pandas DataFrame, as ``RemoteJob.trials_frame``."""
        return await asyncio.to_thread(self.remote.trials_frame, stage)

    async def front(self) -> list[Json]:
        """The points of a job with several sparsities, as ``RemoteJob.front``."""
        return await asyncio.to_thread(self.remote.front)

    async def download(self, directory: str | Path, *, sparsity: float | None = None) -> Path:
        """Downloads the files of the result, or of a point of its front, and returns their folder."""
        return await asyncio.to_thread(self.remote.download, directory, sparsity=sparsity)

    async def export(self, format: str, directory: str | Path, *, sparsity: float | None = None) -> Path:
        """Downloads the result, or a point of its front, in another format and returns its folder."""
        return await asyncio.to_thread(self.remote.export, format, directory, sparsity=sparsity)


async def _in_thread(items: Iterator[Item]) -> AsyncIterator[Item]:
    """The items, each fetched in a thread."""
    end = object()
    while True:
        item: Any = await asyncio.to_thread(next, items, end)
        if item is end:
            return
        yield item
