"""HTTP with the service: requests whose problems become ``ServiceError``, pages, and patience."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import count
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar
from uuid import uuid4

import httpx

from safs.client.errors import ServiceError

Json: TypeAlias = dict[str, Any]
Answer = TypeVar("Answer")

_CUT_OFF = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.ReadTimeout)
"""The request may have arrived, and no answer came."""
SILENCE_S = 60.0
"""A connection that says nothing for so long, not even a keep-alive, counts as lost."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between attempts to reach the service again: doubling from ``first_s``, never above ``longest_s``."""

    first_s: float = 0.5
    longest_s: float = 15.0
    attempts: int = 12
    """In a row without an answer, before the client gives up."""
    sleep: Callable[[float], None] = time.sleep

    def pause(self, failures: int, *, at_least_s: float | None = None, at_most_s: float | None = None) -> None:
        """Waits after so many failures in a row; ``at_least_s`` is what the service asked for, and may be longer."""
        pause_s = max(at_least_s or 0.0, min(self.longest_s, self.first_s * 2 ** (failures - 1)))
        self.sleep(pause_s if at_most_s is None else max(0.0, min(pause_s, at_most_s)))

    def patiently(
        self, call: Callable[[], Answer], passes: Callable[[ServiceError], bool] = attrgetter("may_pass")
    ) -> Answer:
        """What ``call`` returns, tried again after a ``ServiceError`` that ``passes``."""
        for failures in count(1):
            try:
                return call()
            except ServiceError as error:
                if not passes(error) or failures > self.attempts:
                    raise
                asked_s = error.retry_after_s
            self.pause(failures, at_least_s=asked_s)
        raise AssertionError("count ends nowhere")


class Connection:
    """Speaks HTTP to one service; safe to share between threads.

    Args:
        url: where the service is, without ``/v1``.
        transport: an httpx transport in place of the network.
        api_key: goes to ``url`` and nowhere else: redirects are not followed.
    """

    def __init__(
        self, url: str, transport: httpx.BaseTransport | None, backoff: Backoff, api_key: str | None = None
    ) -> None:
        if api_key and not re.fullmatch(r"[!-~]+", api_key):  # httpx would show it in its complaint
            raise ServiceError("invalid_key", "the API key (SAFS_API_KEY) has characters that no key has")
        self.url = url.rstrip("/")
        self.backoff = backoff
        try:
            self._http = httpx.Client(
                base_url=self.url,
                transport=transport,
                timeout=SILENCE_S,
                headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
                follow_redirects=False,
                trust_env=not _is_loopback(self.url),  # a proxy of the environment cannot reach this machine's loopback
            )
        except httpx.InvalidURL as error:
            raise _no_address(self.url, error) from error

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer, read whole; the arguments are those of ``httpx.Client.request``.

        A request that was refused because the key makes too many a minute, or because the service is busy, is made
        again when the service says.

        Raises:
            ServiceError: no answer came, or a problem.
        """
        return self.backoff.patiently(
            lambda: self._request(method, path, **options), lambda error: error.code in ("rate_limited", "busy")
        )

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self._network_errors():
            response = self._http.request(method, path, **options)
        _raise_for_problem(response)
        return response

    def post_once(self, path: str, **options: Any) -> httpx.Response:
        """The answer to a POST that takes effect once, however often it is sent: a connection that breaks off while
        nobody knows whether it arrived is taken up again.

        Raises as ``request``.
        """
        headers = {"Idempotency-Key": uuid4().hex}
        try:
            return self.request("POST", path, headers=headers, **options)
        except ServiceError as error:
            if not isinstance(error.__cause__, _CUT_OFF):
                raise
        self.backoff.pause(1)
        return self.backoff.patiently(lambda: self.request("POST", path, headers=headers, **options))

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Json:
        """The JSON object at ``path``; raises as ``request``."""
        found: Json = self.request("GET", path, params=params or {}).json()
        return found

    @contextmanager
    def stream(self, path: str, **options: Any) -> Iterator[httpx.Response]:
        """The answer to a GET, to be read piece by piece; raises as ``request``, also from the block that reads it."""
        with self._network_errors(), self._http.stream("GET", path, **options) as response:
            if response.is_error:
                response.read()
            _raise_for_problem(response)
            yield response

    def items(self, path: str, params: Mapping[str, str]) -> Iterator[Json]:
        """The items of a list, fetched a page at a time."""
        query = dict(params)
        while True:
            page = self.get(path, query)
            yield from page["items"]
            if page["next_page_token"] is None:
                return
            query["page_token"] = page["next_page_token"]

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    @contextmanager
    def _network_errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.UnsupportedProtocol as error:
            raise _no_address(self.url, error) from error
        except httpx.InvalidURL as error:  # the address itself was valid
            raise ServiceError("invalid_url", f"no request can be made with this id: {error}") from error
        except httpx.TransportError as error:
            what = str(error) or type(error).__name__
            detail = f"no answer from {self.url} ({what}); is the service running? `safs up` starts one"
            raise ServiceError("unreachable", detail) from error


def _no_address(url: str, error: Exception) -> ServiceError:
    what = str(error).rstrip(".")
    detail = f"{url!r} is no address of a service ({what}); give an address such as http://127.0.0.1:8000"
    return ServiceError("invalid_url", detail)


def _raise_for_problem(response: httpx.Response) -> None:
    if response.has_redirect_location:
        target = response.headers["Location"]
        detail = f"the service's address leads on to {target}, where no API key is sent; give its address itself as URL"
        raise ServiceError(f"http_{response.status_code}", detail, status=response.status_code)
    if not response.is_error:
        return
    try:
        problem = response.json()
        code, detail, errors = problem["code"], problem["detail"], problem["errors"]
    except (ValueError, KeyError, TypeError):  # not from the service itself
        code, detail, errors = f"http_{response.status_code}", response.text[:200] or response.reason_phrase, []
    if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN) and "SAFS_API_KEY" not in detail:
        detail = f"{detail} (the key comes from SAFS_API_KEY, or from Client(url, api_key=...))"
    after = response.headers.get("Retry-After", "")
    retry_after_s = float(after) if re.fullmatch(r"\d{1,6}", after) else None
    raise ServiceError(code, detail, errors=errors, status=response.status_code, retry_after_s=retry_after_s)


def _is_loopback(url: str) -> bool:
    host = httpx.URL(url).host
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
