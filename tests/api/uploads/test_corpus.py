"""Every hostile file is refused by the real service, with its reason, and nothing of it is left."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text

from api.settings import ApiSettings
from migrations import upgrade
from tests.api.conftest import running
from tests.api.uploads.corpus import WEIGHTS, file, hostile

CASES = {name: (content, words) for name, content, words in hostile()}
OCTETS = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, ApiSettings]]:
    """A real server, one for all files: what one leaves behind would meet the next."""
    home = tmp_path_factory.mktemp("home")
    settings = ApiSettings(
        home=home, database_url=f"sqlite:///{home}/safs.db", free_disk_bytes=0, upload_limit_bytes=20_000_000
    )
    upgrade(settings.database_url)
    with running(settings) as (address, _), httpx.Client(base_url=address, headers=OCTETS, timeout=120) as client:
        yield client, settings


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_file_is_refused_with_its_reason_and_leaves_nothing(
    served: tuple[httpx.Client, ApiSettings], name: str
) -> None:
    client, settings = served
    content, words = CASES[name]

    response = client.post("/v1/uploads", content=content)

    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, "invalid_upload"), response.text
    assert words in problem["detail"]
    assert len(problem["detail"]) < 400
    assert problem["detail"].isprintable()
    assert _kept(settings) == ([], 0)


def test_the_corpus_is_as_large_as_we_say() -> None:
    assert len(CASES) >= 115


def test_a_file_that_is_refused_does_not_harm_the_one_that_has_the_same_bytes_up_to_there(
    served: tuple[httpx.Client, ApiSettings],
) -> None:
    client, settings = served
    refused = client.post("/v1/uploads", content=WEIGHTS + b"\0")
    taken = client.post("/v1/uploads", content=WEIGHTS)

    assert (refused.status_code, taken.status_code) == (422, 201)
    assert [path.read_bytes() for path in _files(settings)] == [WEIGHTS]


@pytest.mark.parametrize("header", [b"{}", b" " * 8, b"[" * 8], ids=["empty", "spaces", "brackets"])
def test_rubbish_without_an_end_is_refused_while_it_is_still_being_sent(
    served: tuple[httpx.Client, ApiSettings], header: bytes
) -> None:
    client, _ = served
    sent = 0

    def rubbish() -> Iterator[bytes]:
        nonlocal sent
        yield file(header)
        for _ in range(160):
            sent += 1
            yield b"\0" * 100_000

    try:
        response = client.post("/v1/uploads", content=rubbish())
    except httpx.WriteError:  # The service has hung up on it, as well it may.
        return

    assert response.status_code == 422


def _kept(settings: ApiSettings) -> tuple[list[Path], int]:
    engine = create_engine(settings.database_url)
    try:
        with engine.connect() as connection:
            rows = sum(
                connection.scalar(text(f"SELECT count(*) FROM {name}")) or 0 for name in ("uploads", "artifacts")
            )
    finally:
        engine.dispose()
    return _files(settings), rows


def _files(settings: ApiSettings) -> list[Path]:
    return [path for path in settings.artifacts_folder.rglob("*") if path.is_file() and path.name != ".lock"]
