"""What a request needs to come in, and whether it comes from this very machine."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from store.api_keys import ApiKey, Scope

DOCS = "/docs"
DOCS_FILES = ("/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/favicon.png")
"""What the page loads."""
OPEN = frozenset({"/livez", "/readyz", DOCS, *DOCS_FILES, "/openapi.json"})
"""Paths that need no key: they tell nothing about anybody's jobs."""
ADMIN_ONLY = frozenset({"/metrics"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})

_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request."""

    key: ApiKey | None
    """None is somebody on this machine, while there are no keys; they may do everything."""

    @property
    def owner(self) -> str | None:
        """Whose the jobs are that this caller submits."""
        return None if self.key is None else self.key.owner

    @property
    def sees(self) -> str | None:
        """The only owner whose jobs are there for this caller; None is all."""
        return None if self.allows(Scope.ADMIN) else self.owner

    def allows(self, scope: Scope) -> bool:
        """Whether the caller may do what needs ``scope``."""
        return self.key is None or self.key.allows(scope)


def needed_scope(method: str, path: str) -> Scope:
    """What a key needs for this request. A new endpoint is guarded by its method without anybody's doing."""
    if path in ADMIN_ONLY:
        return Scope.ADMIN
    return Scope.READ if method in READING else Scope.SUBMIT


def from_this_machine(request: HTTPConnection) -> bool:
    """Whether a program on this machine sent the request, on its own behalf.

    The address it comes from is not enough. A page in this machine's browser can have a name of its own resolve to
    loopback (DNS rebinding): its Host or Origin then is that name. A proxy on this machine asks for others.
    """
    if request.client is None or not is_loopback(request.client.host):
        return False
    if any(name in request.headers for name in _FORWARDED):
        return False
    told = [f"//{host}" for host in request.headers.getlist("host")]
    return len(told) == 1 and all(map(_names_loopback, _and_origin(told, request)))


def is_loopback(host: str) -> bool:
    """Whether this address, or name, is this machine's own."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _and_origin(urls: list[str], request: HTTPConnection) -> Iterable[str]:
    return [*urls, *request.headers.getlist("origin")]


def _names_loopback(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False
