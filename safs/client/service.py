"""The client of a service."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

import httpx

from safs.client.body import as_json, with_upload, with_weights
from safs.client.checkpoints import as_safetensors
from safs.client.connection import Backoff, Connection, Json
from safs.client.job import CHUNK_BYTES, RemoteJob
from safs.client.networks import captured, is_module, with_network
from safs.client.packing import packed
from safs.client.parts import IN_PARTS_BYTES, upload_in_parts

DEFAULT_URL = "http://127.0.0.1:8000"


class Client:
    """A client of one service. Threads may share it.

    Args:
        url: address of the service, without ``/v1``. None takes SAFS_URL, or http://127.0.0.1:8000.
        transport: an httpx transport in place of the network.
        api_key: the key as `safs keys create` printed it. None takes SAFS_API_KEY, or no key.
        backoff: how failed requests are retried.
    """

    def __init__(
        self,
        url: str | None = None,
        transport: httpx.BaseTransport | None = None,
        *,
        api_key: str | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        key = os.environ.get("SAFS_API_KEY") if api_key is None else api_key
        address = url or os.environ.get("SAFS_URL") or DEFAULT_URL
        self._connection = Connection(address, transport, backoff or Backoff(), key)

    def submit(
        self,
        spec: Mapping[str, Any] | None = None,
        *,
        weights: str | Path | None = None,
        input: tuple[int, int] | None = None,
        **sections: Any,
    ) -> RemoteJob:
        """Queues a job and returns it. A request that is retried queues one job.

        Args:
            spec: the job spec or a part of it. ``sections`` (``model=``, ``data=``, ``sparsity=``, ...) override it.
                Values may be paths and numpy's scalars. ``model=`` may be a ``torch.nn.Module``: it is captured on this
                machine (``safs.capture``), and its graph and weights are uploaded. ``data`` may be the data themselves,
                which are packed and uploaded: a path, ``(x_train, y_train, x_test, y_test)``, or a data set, as
                ``packed`` takes them.
            weights: a safetensors file with dense weights, which is uploaded first, or a ``.pt``, ``.pth`` or ``.ckpt``
                file of torch.save, which is converted on this machine before. ``~`` is expanded.
            input: channels and size of the images that a module takes, such as (3, 32). None takes them from the data,
                if these are arrays.

        Raises:
            ServiceError: the service refused the job, or the module cannot be captured; nothing was queued.
        """
        return RemoteJob(self._connection, self._post(spec, weights, input, sections, validate_only=False))

    def check(
        self,
        spec: Mapping[str, Any] | None = None,
        *,
        weights: str | Path | None = None,
        input: tuple[int, int] | None = None,
        **sections: Any,
    ) -> Json:
        """The complete job spec, what the checks found, and the expected time (``estimate``).

        Takes and raises as ``submit``, and queues nothing.
        """
        return self._post(spec, weights, input, sections, validate_only=True)

    def upload(self, path: str | Path, *, resume: str | None = None) -> str:
        """Uploads a file and returns its id. ``~`` is expanded.

        Args:
            path: a safetensors file, for ``model.weights`` or ``model.network``; or an ``.npz`` or an archive of
                pictures, for ``data.upload``. From 100 MB on it is sent in parts, each with its sha256, and a part is
                sent again if the connection breaks.
            resume: id of an upload in parts that an error named; the parts that have arrived are not sent again.
        """
        path = Path(path).expanduser()
        if resume is not None or path.stat().st_size >= IN_PARTS_BYTES:
            return upload_in_parts(self._connection, path, resume)
        with path.open("rb") as file:
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(os.fstat(file.fileno()).st_size),
            }
            params = {"filename": path.name}
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
        """The names that a job may use, by kind, each with ``name``, ``summary`` and ``details``."""
        return self._connection.get("/v1/catalog")

    def close(self) -> None:
        """Closes the connections."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _post(
        self,
        spec: Mapping[str, Any] | None,
        weights: str | Path | None,
        input: tuple[int, int] | None,
        sections: Json,
        *,
        validate_only: bool,
    ) -> Json:
        wanted = {**(spec or {}), **sections}
        data = wanted.get("data")
        own_data = data is not None and not isinstance(data, Mapping)
        if own_data:
            wanted["data"] = with_upload((spec or {}).get("data"), "")
        if is_module(module := wanted.get("model")):
            with captured(module, input, data) as file:
                wanted = with_network(wanted, self.upload(file))
        body = as_json(wanted)
        if weights is not None:
            body = with_weights(body, "")  # refused before the upload
            with as_safetensors(Path(weights).expanduser()) as file:
                body = with_weights(body, self.upload(file))
        if own_data:
            with packed(data) as file:
                body["data"] = with_upload(body["data"], self.upload(file))
        if validate_only:
            response = self._connection.request("POST", "/v1/jobs", json=body, params={"validate_only": "true"})
        else:
            response = self._connection.post_once("/v1/jobs", json=body)
        answer: Json = response.json()
        return answer


class _Chunks:
    """The bytes of a file, from its start each time that they are sent."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        yield from iter(lambda: self._file.read(CHUNK_BYTES), b"")
