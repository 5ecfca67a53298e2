"""The token of a key appears in the request only: not in the log, in a response or in the database."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from api.settings import ApiSettings
from store import api_keys
from store.session import Database
from tests.api.conftest import MINIMAL, MakeKey


def test_a_token_never_appears_in_the_log_in_answers_or_in_the_database(
    settings: ApiSettings,
    serve: Callable[..., Any],
    make_key: MakeKey,
    app_database: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    good, expired = make_key("vision", "admin"), make_key("vision", "read", lives_s=-1)
    secrets = [headers["Authorization"].rpartition("_")[2] for headers in (good, expired)]
    wrong = {"Authorization": good["Authorization"][:-1] + "x"}
    answers = []
    with serve() as (url, _), httpx.Client(base_url=url, trust_env=False) as http:
        for headers in (good, expired, wrong, {"Authorization": good["Authorization"].replace(" ", "\t")}):
            answers += [
                http.get("/v1/jobs", headers=headers),
                http.post("/v1/jobs", json=MINIMAL | {"sparsity": 7}, headers=headers),
                http.post("/v1/jobs", content=b"{", headers=headers),
                http.get("/v1/jobs/none", headers=headers),
                http.get("/nothing", headers=headers),
            ]
            # Into the address it does not belong; still it is not repeated.
            answers.append(http.get("/v1/jobs", params={"api_key": headers["Authorization"]}, headers=headers))
        with app_database.begin() as tx:
            tx.execute(text("DROP TABLE api_keys"))
        answers.append(http.get("/v1/jobs", headers=wrong))  # a key that was found is not looked up again so soon

    lines = [record for record in caplog.records if not record.name.startswith("http")]  # without this client's own
    told = [f"{caplog.handler.format(record)} {record.__dict__}" for record in lines]
    told += [answer.text + str(dict(answer.headers)) for answer in answers]

    assert answers[0].status_code == 200
    assert answers[-1].status_code == 503
    assert {200, 401, 404, 422, 503} <= {getattr(record, "status", 0) for record in lines}
    for secret in secrets:
        assert [line for line in told if secret[:-1] in line] == []
    for file in Path(settings.database_url.removeprefix("sqlite:///")).parent.glob("safs.db*"):
        assert not any(secret.encode() in file.read_bytes() for secret in secrets)


def test_the_representation_of_a_key_has_no_secret(app_database: Database) -> None:
    with app_database.begin() as tx:
        key, token = api_keys.create(tx, "vision", [api_keys.Scope.READ])

    assert token not in repr(key)
    assert token.rpartition("_")[2] not in repr(key)
