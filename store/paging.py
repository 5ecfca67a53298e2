"""Keyset pagination: a token holds the key of the last row, so inserted and deleted rows do not shift the pages."""

import binascii
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from math import isfinite
from typing import TypeVar

from store.errors import InvalidPageToken
from store.records import Page

Item = TypeVar("Item")


class FreeText(str):
    """A part of a key that a user wrote, of at most 64 letters. Other texts are words of ours."""


Part = str | int | float
Key = tuple[Part, ...]

_LONGEST_TOKEN = 1200
_LONGEST_TEXT = 64
_SURROGATES = re.compile("[\ud800-\udfff]")
_WORD = re.compile(r"[a-z0-9_]{1,64}")


def page_of(kind: str, rows: Sequence[Item], limit: int, key: Callable[[Item], Key]) -> Page[Item]:
    """The page from ``rows``, of which the caller has fetched one more than ``limit`` to see if another page follows.

    Args:
        kind: name of the list, which the token is valid for.
        key: returns the key of a row.
    """
    items = tuple(rows[:limit])
    return Page(items, _token(kind, key(items[-1])) if len(rows) > limit else None)


def key_of(kind: str, token: str, types: tuple[type[Part], ...]) -> Key:
    """The key in ``token``: that of the last row of the page before.

    Raises:
        InvalidPageToken: the token was not issued for the list ``kind``.
    """
    if len(token) > _LONGEST_TOKEN:
        raise _invalid(token)
    try:
        found_kind, *key = json.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (binascii.Error, ValueError, TypeError):
        raise _invalid(token) from None
    if found_kind != kind or len(key) != len(types) or not all(map(_is_part, key, types)):
        raise _invalid(token)
    return tuple(key)


def _token(kind: str, key: Key) -> str:
    return urlsafe_b64encode(json.dumps([kind, *key]).encode()).decode().rstrip("=")


def _is_part(value: object, kind: type) -> bool:
    match value:
        case str() if kind is FreeText:
            return len(value) <= _LONGEST_TEXT and "\0" not in value and not _SURROGATES.search(value)
        case str():
            return kind is str and _WORD.fullmatch(value) is not None
        case int():
            return type(value) is kind and 0 <= value < 2**31
        case float():
            return kind is float and isfinite(value)
        case _:
            return False


def _invalid(token: str) -> InvalidPageToken:
    shortened = token if len(token) <= 80 else f"{token[:80]}..."
    return InvalidPageToken(
        f"{shortened!r} is not a page token of this list; use the token of the page before, or none for the first page"
    )
