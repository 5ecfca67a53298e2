"""Which scope a request needs, and whether it comes from the service's own machine."""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from store.api_keys import ApiKey, Scope

DOCS = "/docs"
DOCS_FILES = ("/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/favicon.png")
"""Files that the page at ``/docs`` loads."""
PUBLIC_PATHS = frozenset({"/livez", "/readyz", DOCS, *DOCS_FILES, "/openapi.json"})
"""Paths that need no key; they reveal nothing about jobs."""
SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
PAGES = frozenset({"/", "/new", "/compare", "/health", "/keys", SIGN_IN})
"""Addresses of pages. A page holds no data; its scripts request the data from ``/v1``, which needs a key."""
_PAGE_PREFIXES = ("/jobs/", "/static/")
ADMIN_PATHS = frozenset({"/metrics"})
"""Paths that need the scope ``admin``, and work while the database is unavailable."""
_ADMIN_RESOURCES = ("/v1/keys", "/v1/runners", "/v1/status")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that need only the scope ``read`` (RFC 9110, section 9.2.1)."""

_PROXY_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request."""

    key: ApiKey | None
    """None for a program on this machine while no keys exist; it may do everything."""

    @property
    def owner(self) -> str | None:
        """The owner of jobs that this caller submits."""
        return None if self.key is None else self.key.owner

    @property
    def visible_owner(self) -> str | None:
        """The owner whose jobs this caller can see; None for the jobs of all owners."""
        return None if self.allows(Scope.ADMIN) else self.owner

    def allows(self, scope: Scope) -> bool:
        """True if the caller has ``scope``."""
        return self.key is None or self.key.allows(scope)


def is_public(method: str, path: str) -> bool:
    """True if the request needs no key."""
    is_page = method in SAFE_METHODS and (path in PAGES or path.startswith(_PAGE_PREFIXES))
    signs = method == "POST" and path in (SIGN_IN, SIGN_OUT)
    return is_page or signs or path in PUBLIC_PATHS


def needed_scope(method: str, path: str) -> Scope:
    """The scope that a request needs. It depends on the method, so that a new endpoint is guarded by default."""
    if path in ADMIN_PATHS or any(path == one or path.startswith(f"{one}/") for one in _ADMIN_RESOURCES):
        return Scope.ADMIN
    return Scope.READ if method in SAFE_METHODS else Scope.SUBMIT


def is_local_request(request: HTTPConnection) -> bool:
    """True if a program on this machine sent the request on its own behalf.

    A loopback client address is not sufficient. A web page in a browser on this machine can resolve its own name to
    loopback (DNS rebinding), so Host and Origin must name loopback too. A proxy on this machine forwards requests of
    others, so proxy headers must be absent.
    """
    if request.client is None or not is_loopback(request.client.host):
        return False
    if any(name in request.headers for name in _PROXY_HEADERS):
        return False
    hosts = [f"//{host}" for host in request.headers.getlist("host")]
    return len(hosts) == 1 and all(map(_names_loopback, [*hosts, *request.headers.getlist("origin")]))


def is_loopback(host: str) -> bool:
    """True if this address or name is loopback."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _names_loopback(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False
