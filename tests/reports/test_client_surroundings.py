"""The client behind proxies, with unusual variables, and with the values that people have in Python."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from safs.client import Backoff, Client, RemoteJob, ServiceError

URL = "http://safs.example:8000"
JOB = {"model": {"architecture": "mlp"}, "data": {"dataset": "digits"}, "sparsity": 0.5}


def no_pause(_: float) -> None:
    """Tests do not sleep."""


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "SAFS_URL"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("variable", "value", "advice"),
    [
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "correct or unset it"),
        ("ALL_PROXY", "socks5://127.0.0.1:1080", r"pip install 'httpx\[socks\]'"),
        ("https_proxy", "ftp://proxy:3128", "name an http:// proxy, or unset https_proxy"),
        ("HTTP_PROXY", "http://proxy:port", "name an http:// proxy, or unset HTTP_PROXY"),
        ("NO_PROXY", "[::1]:8000", "a list of host names, separated by commas"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named_with_the_way_out(
    variable: str, value: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ServiceError, match=advice) as refused:
        Client("https://safs.example")

    assert refused.value.code == "invalid_environment"
    assert variable in str(refused.value)
    assert "safs.example" not in str(refused.value)
    Client("http://127.0.0.1:8000").close()


def test_a_proxy_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")

    with Client(URL) as client, pytest.raises(ServiceError, match=r"proxy of HTTP_PROXY.*NO_PROXY=safs\.example"):
        client.catalog()


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, json={})

    monkeypatch.setenv("SAFS_URL", URL)
    for client in (Client(transport=httpx.MockTransport(answer)), Client("http://o", httpx.MockTransport(answer))):
        client.catalog()

    assert asked == [f"{URL}/v1/catalog", "http://o/v1/catalog"]


@pytest.fixture
def sent() -> list[Any]:
    """Bodies of the jobs that a client has submitted."""
    return []


@pytest.fixture
def client(sent: list[Any]) -> Client:
    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        return httpx.Response(202, json={"id": "job_1", "state": "queued"})

    return Client(URL, httpx.MockTransport(answer))


def test_numpys_scalars_and_paths_are_submitted_as_numbers_and_text(client: Client, sent: list[Any]) -> None:
    client.submit(
        model={"architecture": np.str_("mlp")},
        data={"dataset": "npz", "path": Path("folder") / "parts.npz", "batch_size": np.int64(32)},
        sparsity=np.float32(0.5),
        final={"candidates": ("default", "joint"), "repeats": np.array(2)},
        train={"nesterov": np.bool_(True), "betas": np.array([0.5, 0.25])},
    )

    assert sent == [
        {
            "model": {"architecture": "mlp"},
            "data": {"dataset": "npz", "path": "folder/parts.npz", "batch_size": 32},
            "sparsity": 0.5,
            "final": {"candidates": ["default", "joint"], "repeats": 2},
            "train": {"nesterov": True, "betas": [0.5, 0.25]},
        }
    ]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"sparsity": float("nan")}, "sparsity is nan, which is not a finite number"),
        ({"train": {"rates": [1.0, np.inf]}}, r"train\.rates\[1\] is inf"),
        ({"model": {1: "a"}}, "the key 1 in model is not a text"),
        ({"data": {"splits": {1, 2}}}, r"data\.splits is a set, which JSON does not have"),
        ({"name": b"raw"}, "name is a bytes"),
    ],
)
def test_what_json_does_not_have_is_refused_in_a_sentence(
    sections: dict[str, Any], message: str, client: Client, sent: list[Any]
) -> None:
    with pytest.raises(ServiceError, match=message) as refused:
        client.submit(JOB, **sections)

    assert refused.value.code == "invalid_spec"
    assert sent == []


def test_a_model_that_is_a_name_is_refused_with_the_mapping_that_it_should_be(client: Client, sent: list[Any]) -> None:
    with pytest.raises(ServiceError, match=r"model is 'mlp'; give a mapping such as \{'architecture': 'mlp'\}"):
        client.submit(JOB, model="mlp", weights="~/dense.safetensors")

    assert sent == []


def behind_a_collecting_proxy(views: list[str], events: list[int]) -> Callable[[httpx.Request], httpx.Response]:
    """A service whose streams never come through, since they have no end. Each look at the job takes the next state."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["Accept"] == "text/event-stream":
            raise httpx.ReadTimeout("timed out", request=request)
        if request.url.path.endswith("/events"):
            after = int(request.url.params["after"])
            page = [{"number": number, "kind": "note"} for number in events if number > after][:2]
            following = page[-1]["number"] if page and page[-1]["number"] != events[-1] else None
            return httpx.Response(200, json={"items": page, "next_after": following})
        state = views.pop(0) if len(views) > 1 else views[0]
        return httpx.Response(200, json={"id": "job_1", "state": state, "stage": None, "error": None})

    return answer


def test_a_job_is_waited_for_behind_a_proxy_that_holds_streams_back() -> None:
    views = ["queued", "running", "running", "succeeded"]
    transport = httpx.MockTransport(behind_a_collecting_proxy(views, [1, 2, 3, 4, 5]))
    received: list[int] = []

    with Client(URL, transport, backoff=Backoff(attempts=1, sleep=no_pause)) as client:
        job = client.job("job_1").wait(on_event=lambda event: received.append(event["number"]))

    assert job.state == "succeeded"
    assert received == [1, 2, 3, 4, 5]


def test_a_job_in_a_notebook_is_a_table_of_escaped_text() -> None:
    view = JOB | {"id": "job_1", "name": "<b>mine</b>", "state": "queued", "progress": None, "error": None, "spec": JOB}
    with Client(URL) as client:
        shown = RemoteJob(client._connection, view)._repr_html_()

    assert "<td>&lt;b&gt;mine&lt;/b&gt;</td>" in shown
    assert "<td>queued</td>" in shown


def test_the_package_is_typed() -> None:
    import safs

    assert (Path(safs.__file__).parent / "py.typed").exists()
