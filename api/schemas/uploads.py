"""Bodies of uploaded files, whole and in parts."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.base import Response
from store import records


class Upload(Response):
    """An uploaded file that a job can name in `model.weights` or `data.upload`."""

    id: str = Field(description="Id of the upload.", examples=["upload_01kb2v9zq3n8f4x7c5m2d"])
    filename: str = Field(description="Name of the file, for people.")
    sha256: str = Field(description="SHA-256 of the file, in hexadecimal.")
    size_bytes: int = Field(description="Size of the file in bytes.")
    kind: records.UploadKind = Field(
        description="What the file holds: `weights` for `model.weights`; `arrays` or `pictures` for `data.upload`."
    )
    tensors: int | None = Field(
        description="Number of tensors in the file; null for a data set, and for uploads of version 0.1."
    )
    images: int | None = Field(description="Number of images in the file; null for weights.")
    created_at: datetime = Field(description="Time of the upload, in UTC.")

    @classmethod
    def of(cls, upload: records.Upload) -> Self:
        """The body for an upload of the store."""
        return cls.model_validate(upload)


class IncomingUploadRequest(BaseModel):
    """A large file that is to arrive in parts."""

    model_config = ConfigDict(extra="forbid")

    filename: str = Field("upload", min_length=1, max_length=200, description="Name of the file, for people.")
    size_bytes: int = Field(ge=1, description="Size of the whole file in bytes.")


class IncomingPart(Response):
    """A part that has arrived."""

    number: int = Field(description="Number of the part, from 1.")
    sha256: str = Field(description="SHA-256 of the part, in hexadecimal.")
    size_bytes: int = Field(description="Size of the part in bytes.")


class IncomingUpload(Response):
    """An upload in parts, and the parts that have arrived."""

    id: str = Field(description="Id of the upload in parts.", examples=["incoming_01kb2v9zq3n8f4x7c5m2d"])
    filename: str = Field(description="Name of the file, for people.")
    size_bytes: int = Field(description="Size of the whole file in bytes.")
    part_bytes: int = Field(description="Size in bytes of every part but the last.")
    parts: list[IncomingPart] = Field(description="Parts that have arrived, in order; none once it is complete.")
    missing: list[int] = Field(description="Numbers of the parts that are missing.")
    upload_id: str | None = Field(description="Id of the upload that the parts became; null before.")
    created_at: datetime = Field(description="Time of the beginning, in UTC. It expires a day later.")
