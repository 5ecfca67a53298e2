"""HTTP requests to the service: problems become ``ServiceError``, lists are read page by page, failures are retried."""

import re
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import count
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar
from uuid import uuid4

import httpx

from safs.client.environment import environment_error, proxy_variable
from safs.client.errors import ServiceError

Json: TypeAlias = dict[str, Any]
Answer = TypeVar("Answer")

_RESET = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError, httpx.CloseError)
"""Errors of a connection that was closed or reset, such as an idle one that the service or a proxy has dropped."""
_CUT_OFF = (*_RESET, httpx.ReadTimeout)
"""Errors after which the request may have reached the service."""
_IDEMPOTENT = frozenset({"GET", "HEAD"})
"""Methods whose requests are repeated once, at once, if the connection was reset."""
SILENCE_S = 60.0
"""Seconds without any data, not even a keep-alive, after which a connection counts as lost."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between retries: they double from ``first_s`` up to ``longest_s``."""

    first_s: float = 0.5
    longest_s: float = 15.0
    attempts: int = 12
    """Retries in a row after which the client gives up."""
    sleep: Callable[[float], None] = time.sleep

    def pause(self, failures: int, *, at_least_s: float | None = None, at_most_s: float | None = None) -> None:
        """Waits after ``failures`` in a row. ``at_least_s``, from Retry-After, may exceed ``longest_s``."""
        pause_s = max(at_least_s or 0.0, min(self.longest_s, self.first_s * 2 ** (failures - 1)))
        self.sleep(pause_s if at_most_s is None else max(0.0, min(pause_s, at_most_s)))

    def retry(
        self, call: Callable[[], Answer], passes: Callable[[ServiceError], bool] = attrgetter("may_pass")
    ) -> Answer:
        """Returns what ``call`` returns. Retries it after a ``ServiceError`` for which ``passes`` is true."""
        for failures in count(1):
            try:
                return call()
            except ServiceError as error:
                if not passes(error) or failures > self.attempts:
                    raise
                asked_s = error.retry_after_s
            self.pause(failures, at_least_s=asked_s)
        raise AssertionError("count() does not end")


class Connection:
    """A connection to one service. Threads may share it.

    Args:
        url: address of the service, without ``/v1``.
        transport: an httpx transport in place of the network.
        api_key: sent to ``url`` only; redirects are not followed.
    """

    def __init__(
        self, url: str, transport: httpx.BaseTransport | None, backoff: Backoff, api_key: str | None = None
    ) -> None:
        if api_key and not re.fullmatch(r"[!-~]+", api_key):  # httpx would show it in its error
            detail = "the API key (SAFS_API_KEY) has invalid characters; use it as `safs keys create` printed it"
            raise ServiceError("invalid_key", detail)
        self.url = url.rstrip("/")
        self.backoff = backoff
        try:
            is_loopback = _is_loopback(self.url)
        except httpx.InvalidURL as error:
            raise _no_address(self.url, error) from error
        self._trusts_environment = not is_loopback  # a proxy of the environment cannot reach this machine's loopback
        try:
            self._http = httpx.Client(
                base_url=self.url,
                transport=transport,
                timeout=SILENCE_S,
                headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
                follow_redirects=False,
                trust_env=self._trusts_environment,
            )
        except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
            if not self._trusts_environment:
                raise _no_address(self.url, error) from error
            raise environment_error(error) from error
        weakref.finalize(self, self._http.close)  # for a client that nobody closes, as in Client(url).submit(...)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The response, read completely. The arguments are those of ``httpx.Client.request``.

        A request that was refused by the rate limit or because the service is busy is retried after its Retry-After. A
        GET whose connection was reset is repeated once.

        Raises:
            ServiceError: the service did not answer, or refused the request.
        """
        return self.backoff.retry(
            lambda: self._request(method, path, **options), lambda error: error.code in ("rate_limited", "busy")
        )

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self._network_errors():
            try:
                response = self._http.request(method, path, **options)
            except _RESET:
                if method not in _IDEMPOTENT:
                    raise
                response = self._http.request(method, path, **options)
        _raise_for_problem(response)
        return response

    def post_once(self, path: str, **options: Any) -> httpx.Response:
        """The response to a POST that takes effect once: its Idempotency-Key allows retries.

        Raises as ``request``.
        """
        headers = {"Idempotency-Key": uuid4().hex}
        try:
            return self.request("POST", path, headers=headers, **options)
        except ServiceError as error:
            if not isinstance(error.__cause__, _CUT_OFF):
                raise
        self.backoff.pause(1)
        return self.backoff.retry(lambda: self.request("POST", path, headers=headers, **options))

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Json:
        """The JSON object at ``path``; raises as ``request``."""
        found: Json = self.request("GET", path, params=params or {}).json()
        return found

    def retry_get(self, path: str, params: Mapping[str, str] | None = None) -> Json:
        """As ``get``, retried while the service cannot be reached."""
        return self.backoff.retry(lambda: self.get(path, params))

    @contextmanager
    def stream(self, path: str, **options: Any) -> Iterator[httpx.Response]:
        """The response to a GET, for reading in pieces. Raises as ``request``, also while the block reads it."""
        with self._network_errors(), self._http.stream("GET", path, **options) as response:
            if response.is_error:
                response.read()
            _raise_for_problem(response)
            yield response

    def items(self, path: str, params: Mapping[str, str]) -> Iterator[Json]:
        """The items of a list, fetched page by page."""
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
            raise ServiceError("invalid_url", f"this id cannot be part of an address: {error}") from error
        except httpx.TransportError as error:
            what = str(error) or type(error).__name__
            detail = f"no answer from {self.url} ({what}); is the service running? `safs up` starts one"
            if self._trusts_environment and (name := proxy_variable(self.url)):
                host = httpx.URL(self.url).host
                detail += f". Requests go through the proxy of {name}; to go past it, set NO_PROXY={host}"
            raise ServiceError("unreachable", detail) from error


def _no_address(url: str, error: Exception) -> ServiceError:
    what = str(error).rstrip(".")
    detail = f"{url!r} is not the address of a service ({what}); give one such as http://127.0.0.1:8000"
    return ServiceError("invalid_url", detail)


def _raise_for_problem(response: httpx.Response) -> None:
    if response.has_redirect_location:
        target = response.headers["Location"]
        detail = f"the service redirects to {target}, where the API key is not sent; give the final address as URL"
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
