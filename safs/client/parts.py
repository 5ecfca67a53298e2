"""Uploads of large files in parts, which continue where they broke off."""

import base64
import hashlib
from pathlib import Path

from safs.client.connection import Connection
from safs.client.errors import ServiceError

IN_PARTS_BYTES = 100_000_000
"""Size of a file from which it is sent in parts."""


def upload_in_parts(connection: Connection, path: Path, resume: str | None) -> str:
    """Upload the file and return the id of the upload.

    Args:
        resume: id of an upload in parts; only its missing parts are sent. None begins one.

    Raises:
        ServiceError: the service refused the file, or could not be reached for a long time; the message names the id to
            resume.
    """
    size_bytes = path.stat().st_size
    if resume is None:
        wanted = {"filename": path.name, "size_bytes": size_bytes}
        begun = connection.request("POST", "/v1/incoming-uploads", json=wanted).json()
    else:
        begun = connection.retry_get(f"/v1/incoming-uploads/{resume}")
        _check_same(path, size_bytes, begun)
    address = f"/v1/incoming-uploads/{begun['id']}"
    try:
        with path.open("rb") as file:
            for number in begun["missing"]:
                file.seek((number - 1) * begun["part_bytes"])
                _send(connection, f"{address}/parts/{number}", file.read(begun["part_bytes"]))
        done = connection.backoff.retry(lambda: connection.request("POST", f"{address}/complete"))
    except ServiceError as error:
        if error.may_pass:
            error.args = (f"{error.detail}; go on with Client.upload({str(path)!r}, resume={begun['id']!r})",)
        raise
    return str(done.json()["id"])


def _check_same(path: Path, size_bytes: int, begun: dict[str, object]) -> None:
    """Refuse to send the rest of another file."""
    parts, part_bytes = begun["parts"], begun["part_bytes"]
    assert isinstance(parts, list)
    assert isinstance(part_bytes, int)
    with path.open("rb") as file:
        for part in parts:
            file.seek((part["number"] - 1) * part_bytes)
            if hashlib.sha256(file.read(part_bytes)).hexdigest() != part["sha256"]:
                raise ServiceError("invalid_data", f"{path} is not the file whose upload is to be resumed")
    if begun["size_bytes"] != size_bytes:
        raise ServiceError("invalid_data", f"{path} is not the file whose upload is to be resumed")


def _send(connection: Connection, address: str, content: bytes) -> None:
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    headers = {"Content-Type": "application/octet-stream", "Content-Digest": f"sha-256=:{digest}:"}
    connection.backoff.retry(lambda: connection.request("PUT", address, content=content, headers=headers))
