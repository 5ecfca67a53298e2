"""Bodies of the catalog: what a job can name."""

from typing import Any

from pydantic import BaseModel, Field, RootModel

from api.schemas.base import Response


class CatalogEntry(Response):
    """A name that a job spec can use."""

    name: str = Field(description="Name as it is written in a job spec.")
    summary: str = Field(description="One sentence that describes the entry.")
    details: dict[str, Any] = Field(description="Further properties of the entry; they depend on the kind.")


class Catalog(RootModel[dict[str, list[CatalogEntry]]]):
    """All names that a job spec can use, by kind."""


class CatalogKind(BaseModel):
    """All names of one kind."""

    kind: str = Field(description="Kind of the entries.", examples=["operators"])
    items: list[CatalogEntry] = Field(description="Entries of this kind.")
