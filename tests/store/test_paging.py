"""Page tokens: valid ones decode to the key that they encode, all others are refused."""

import json
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.errors import InvalidPageToken
from store.paging import FreeText, Key, key_of, page_of


def token_of(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@settings(deadline=None, max_examples=50)
@given(stage=st.text("abcxyz019_", min_size=1, max_size=64), number=st.integers(0, 2**31 - 1))
def test_token_leads_back_to_the_last_row_of_its_page(stage: str, number: int) -> None:
    rows: list[Key] = [(stage, number), ("next", 0)]

    page = page_of("trials", rows, limit=1, key=lambda row: row)

    assert page.items == ((stage, number),)
    assert page.next_token is not None
    assert key_of("trials", page.next_token, (str, int)) == (stage, number)


def test_last_page_has_no_token() -> None:
    rows: list[Key] = [("a", 0), ("a", 1)]

    assert page_of("trials", rows, limit=2, key=lambda row: row).next_token is None


@settings(deadline=None, max_examples=50)
@given(token=st.text())
def test_any_text_that_we_did_not_make_is_refused(token: str) -> None:
    with pytest.raises(InvalidPageToken):
        key_of("trials", token, (str, int))


@pytest.mark.parametrize(
    "value",
    [
        ["trials", "tune"],
        ["trials", "tune", 1, 2],
        ["trials", 1, "tune"],
        ["trials", "tune", True],
        ["trials", "tune", 1.0],
        ["trials", "tune", -1],
        ["trials", "tune", 2**31],
        ["trials", "tune", None],
        ["trials", "Tune\0", 1],
        ["jobs", "tune", 1],
        {"trials": "tune"},
        "trials",
        7,
        None,
    ],
)
def test_json_of_another_shape_is_refused(value: object) -> None:
    with pytest.raises(InvalidPageToken):
        key_of("trials", token_of(value), (str, int))


def test_very_long_token_is_refused_and_shown_in_part() -> None:
    nested = urlsafe_b64encode(b"[" * 100_000).decode()

    with pytest.raises(InvalidPageToken) as caught:
        key_of("trials", nested, (str, int))

    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("text", ["x" * 65, "nul\0", "\ud800", 7, None])
def test_a_free_text_that_no_database_would_take_is_refused(text: object) -> None:
    with pytest.raises(InvalidPageToken):
        key_of("jobs_by_name", token_of(["jobs_by_name", text]), (FreeText,))


@settings(deadline=None, max_examples=50)
@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=64))
def test_a_free_text_comes_back_as_it_was(text: str) -> None:
    rows: list[Key] = [(text,), ("next",)]

    token = page_of("jobs_by_name", rows, limit=1, key=lambda row: row).next_token

    assert token is not None
    assert key_of("jobs_by_name", token, (FreeText,)) == (text,)
