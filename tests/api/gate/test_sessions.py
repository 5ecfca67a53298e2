"""Sessions of browsers: how they begin and end, and which requests they do not allow."""

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.requests import Request

from api.app import create_app
from api.gate.key_cache import TTL_S
from api.gate.sessions import RENEWED_EVERY_S, Sessions, read_secret
from api.settings import ApiSettings
from store import api_keys
from store.session import Database
from tests.api.conftest import MINIMAL, GateClock, MakeKey, from_this_machine

OURS = {"Sec-Fetch-Site": "same-origin"}
IDLE_S, LIVES_S = 1000.0, 5000.0


def token_of(headers: dict[str, str]) -> str:
    return headers["Authorization"].removeprefix("Bearer ")


def sign_in(http: TestClient, token: str) -> str:
    answer = http.post("/sign-in", json={"key": token}, headers=OURS)
    assert answer.status_code == 204, answer.text
    return answer.headers["set-cookie"]


@pytest.fixture
def clock() -> GateClock:
    """Seconds since 1970."""
    return GateClock(1_000_000.0)


@pytest.fixture
def sessions(clock: GateClock) -> Sessions:
    return Sessions(lambda: b"s" * 32, idle_s=IDLE_S, lives_s=LIVES_S, clock=clock)


def request_with(cookie: str = "", scheme: str = "http") -> Request:
    headers = [(b"host", b"safs.example"), (b"cookie", cookie.partition(";")[0].encode())]
    scope = {"type": "http", "method": "GET", "scheme": scheme, "path": "/", "query_string": b"", "headers": headers}
    return Request(scope)


def test_a_session_ends_when_it_is_idle_and_in_the_end_anyway(sessions: Sessions, clock: GateClock) -> None:
    begun = clock.now_s
    session = sessions.start("0123abcd")
    cookie = sessions.cookie(session, request_with())

    clock.now_s = begun + IDLE_S
    assert sessions.read(request_with(cookie)) == session
    clock.now_s = begun + IDLE_S + 1
    assert sessions.read(request_with(cookie)) is None

    for used_at in range(int(begun), int(begun + LIVES_S), int(IDLE_S / 2)):
        clock.now_s = used_at
        session = sessions.renewed(session) or session
    used = sessions.cookie(session, request_with())
    clock.now_s = begun + LIVES_S
    assert sessions.read(request_with(used)) == session
    clock.now_s = begun + LIVES_S + 1
    assert sessions.read(request_with(used)) is None


def test_a_cookie_in_use_is_replaced_at_most_once_a_minute(sessions: Sessions, clock: GateClock) -> None:
    session = sessions.start("0123abcd")
    clock.now_s += RENEWED_EVERY_S - 1
    assert sessions.renewed(session) is None
    clock.now_s += 1
    newer = sessions.renewed(session)
    assert newer is not None
    assert (newer.id, newer.started_at) == (session.id, session.started_at)


def test_a_changed_cookie_is_no_session(sessions: Sessions, clock: GateClock) -> None:
    cookie = sessions.cookie(sessions.start("0123abcd"), request_with()).partition(";")[0]
    stranger = Sessions(lambda: b"t" * 32, idle_s=IDLE_S, lives_s=LIVES_S, clock=clock)

    assert sessions.read(request_with(cookie)) is not None
    assert stranger.read(request_with(cookie)) is None
    another, later = cookie.replace("0123abcd", "0123abce"), cookie.replace(".1000000.", ".9999999.")
    for changed in (cookie[:-1], cookie + "0", another, later, ""):
        assert sessions.read(request_with(changed)) is None, changed


def test_the_cookie_is_for_this_service_alone(sessions: Sessions) -> None:
    session = sessions.start("0123abcd")
    plain, tls = sessions.cookie(session, request_with()), sessions.cookie(session, request_with(scheme="https"))

    for cookie in (plain, tls):
        assert {"HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={LIVES_S:.0f}"} <= set(cookie.split("; "))
    assert "Secure" in tls
    assert tls.startswith("__Host-safs_session=")
    assert "Domain" not in tls


def test_the_secret_is_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    secret = read_secret(None, home)

    assert len(secret) == 32
    assert read_secret(None, home) == secret
    assert [path.name for path in home.iterdir()] == ["session-secret"]
    assert (home / "session-secret").stat().st_mode & 0o777 == 0o600
    assert read_secret("given" * 8, home) == b"given" * 8


def test_a_session_has_the_rights_of_its_key_and_no_more(http: TestClient, make_key: MakeKey) -> None:
    cookie = sign_in(http, token_of(make_key("vision", "read")))

    assert "safs_session=" in cookie
    assert http.get("/v1/me").json()["owner"] == "vision"
    assert http.get("/v1/keys").status_code == 403
    assert http.post("/v1/jobs", json=MINIMAL, headers=OURS).status_code == 403
    assert http.post("/sign-out", headers=OURS).status_code == 204
    assert http.get("/v1/me").status_code == 401


def test_a_copied_cookie_is_refused_after_the_sign_out(http: TestClient, make_key: MakeKey) -> None:
    copied = sign_in(http, token_of(make_key("vision", "read"))).partition(";")[0]
    http.post("/sign-out", headers=OURS)

    assert http.get("/v1/me", headers={"Cookie": copied}).status_code == 401


def test_a_copied_cookie_is_refused_by_all_processes_after_the_sign_out(
    settings: ApiSettings, gate_clock: GateClock, http: TestClient, make_key: MakeKey
) -> None:
    copied = sign_in(http, token_of(make_key("vision", "read"))).partition(";")[0]
    with from_this_machine(create_app(settings)) as another:
        before = another.get("/v1/me", headers={"Cookie": copied}).status_code
        http.post("/sign-out", headers=OURS)
        gate_clock.now_s += TTL_S + 0.1
        after = another.get("/v1/me", headers={"Cookie": copied})

    assert (before, after.status_code) == (200, 401)
    assert "signed out" in after.json()["detail"]


def test_a_page_of_another_origin_can_neither_use_a_session_nor_begin_one(http: TestClient, make_key: MakeKey) -> None:
    token = token_of(make_key("vision", "submit", "read"))
    sites = [{"Sec-Fetch-Site": site} for site in ("cross-site", "same-site", "none")]
    strangers = [{}, {"Origin": "https://evil.example"}, {"Origin": "null"}, *sites]
    for headers in strangers:
        assert http.post("/sign-in", json={"key": token}, headers=headers).status_code == 403, headers
    sign_in(http, token)

    for headers in strangers:
        assert http.post("/v1/jobs", json=MINIMAL, headers=headers).status_code == 403, headers
        assert http.post("/sign-out", headers=headers).status_code == 403, headers
    assert http.post("/v1/jobs", json=MINIMAL, headers={"Origin": "http://127.0.0.1:8000"}).status_code == 202


def test_a_session_ends_with_its_key(
    gate_clock: GateClock, http: TestClient, make_key: MakeKey, app_database: Database
) -> None:
    token = token_of(make_key("vision", "read"))
    sign_in(http, token)
    before = http.get("/v1/me").status_code
    with app_database.begin() as tx:
        api_keys.revoke(tx, token.split("_")[1])
    gate_clock.now_s += TTL_S + 0.1

    assert (before, http.get("/v1/me").status_code) == (200, 401)
    refused = http.post("/sign-in", json={"key": token}, headers=OURS)
    assert (refused.status_code, "is revoked" in refused.text, token in refused.text) == (401, True, False)


def test_few_keys_can_be_tried_in_a_minute(http: TestClient, make_key: MakeKey) -> None:
    make_key("vision", "read")
    answers = [http.post("/sign-in", json={"key": f"safs_{n:08x}"}, headers=OURS) for n in range(11)]

    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert int(answers[-1].headers["retry-after"]) <= 6


def test_a_session_outlives_the_process(settings: ApiSettings, http: TestClient, make_key: MakeKey) -> None:
    cookie = sign_in(http, token_of(make_key("vision", "read"))).partition(";")[0]

    with from_this_machine(create_app(settings)) as another:
        assert another.get("/v1/me", headers={"Cookie": cookie}).status_code == 200
