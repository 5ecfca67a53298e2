"""Bases of response bodies."""

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

ItemT = TypeVar("ItemT")


class Response(BaseModel):
    """Base of response bodies; reads attributes of the store's records."""

    model_config = ConfigDict(from_attributes=True)


class Page(Response, Generic[ItemT]):
    """A page of a list."""

    items: list[ItemT] = Field(description="Items of this page.")
    next_page_token: str | None = Field(
        description="`page_token` of the request for the next page; null on the last page."
    )
