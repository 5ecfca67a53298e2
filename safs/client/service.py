"""The service, from afar."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

import httpx

from safs.client.connection import Backoff, Connection, Json
from safs.client.job import CHUNK_BYTES, RemoteJob


class Client:
    """Speaks to one service.

    Args:
        url: where it is, without ``/v1``.
        transport: an httpx transport in place of the network.
        api_key: as `safs keys create` showed it; by default the environment's SAFS_API_KEY, if it is set.
        backoff: how connections that drop are taken up again.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        transport: httpx.BaseTransport | None = None,
        *,
        api_key: str | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        key = os.environ.get("SAFS_API_KEY") if api_key is None else api_key
        self._connection = Connection(url, transport, backoff or Backoff(), key)

    def submit(
        self, spec: Mapping[str, Any] | None = None, *, weights: str | Path | None = None, **sections: Any
    ) -> RemoteJob:
        """The job that was queued: one, also where the connection breaks off and the request is sent again.

        Args:
            spec: the job spec, or a part of it; ``sections`` (``model=``, ``data=``, ``sparsity=`` ...) win over it.
            weights: a dense state dict (safetensors), which is uploaded first.

        Raises:
            ServiceError: the service refused the job; nothing was queued.
        """
        return RemoteJob(self._connection, self._post(spec, weights, sections, validate_only=False))

    def check(
        self, spec: Mapping[str, Any] | None = None, *, weights: str | Path | None = None, **sections: Any
    ) -> Json:
        """What the job would be, what the checks found, and how long it would take (``estimate``).

        Takes and raises as ``submit``, and queues nothing.
        """
        return self._post(spec, weights, sections, validate_only=True)

    def upload(self, path: str | Path) -> str:
        """The id under which the service keeps a safetensors file, for ``model.weights``."""
        with Path(path).open("rb") as file:
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(os.fstat(file.fileno()).st_size),
            }
            params = {"filename": Path(path).name}
            content = _Chunks(file)
            answer = self._connection.request("POST", "/v1/uploads", content=content, headers=headers, params=params)
        return str(answer.json()["id"])

    def job(self, job_id: str) -> RemoteJob:
        """The job with this id."""
        return RemoteJob(self._connection, self._connection.get(f"/v1/jobs/{job_id}"))

    def jobs(self, *, state: str | None = None, owner: str | None = None) -> Iterator[RemoteJob]:
        """The jobs, the newest first.

        Args:
            state: only jobs in this state; None for all.
            owner: only jobs of this owner; None for all that the key may see.
        """
        wanted = {"state": state, "owner": owner}
        for view in self._connection.items("/v1/jobs", {name: value for name, value in wanted.items() if value}):
            yield RemoteJob(self._connection, view)

    def catalog(self) -> dict[str, list[Json]]:
        """What a job may name, by kind: models, datasets, operators ..., each with ``name`` and ``summary``."""
        return self._connection.get("/v1/catalog")

    def close(self) -> None:
        """Closes the connections."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _post(
        self, spec: Mapping[str, Any] | None, weights: str | Path | None, sections: Json, *, validate_only: bool
    ) -> Json:
        body = {**(spec or {}), **sections}
        if weights is not None:
            body["model"] = {**body.get("model", {}), "weights": self.upload(weights)}
        if validate_only:
            response = self._connection.request("POST", "/v1/jobs", json=body, params={"validate_only": "true"})
        else:
            response = self._connection.post_once("/v1/jobs", json=body)
        answer: Json = response.json()
        return answer


class _Chunks:
    """A file's bytes, from its start each time that they are sent."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        yield from iter(lambda: self._file.read(CHUNK_BYTES), b"")
