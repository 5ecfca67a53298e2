"""Variables of the environment that change how the client connects: proxies and certificates."""

import os
from collections.abc import Iterator
from urllib.request import proxy_bypass

import httpx

from safs.client.errors import ServiceError

_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def environment_error(error: Exception) -> ServiceError:
    """The error of a client that cannot be made because of the environment; names the variable and what to do."""
    what = str(error).rstrip(".") or type(error).__name__
    if isinstance(error, OSError):
        names = [name for name in _CERTIFICATES if name in os.environ]
        detail = (
            f"the certificates of {' or '.join(names) or 'this system'} cannot be read ({what}); correct or unset it"
        )
    elif bad := next((name for name in _set(_PROXIES) if not _is_usable(os.environ[name])), None):
        detail = f"the proxy of {bad} cannot be used ({what}); name an http:// proxy, or unset {bad}"
        if isinstance(error, ImportError):
            detail = f"{bad} names a SOCKS proxy, which needs `pip install 'httpx[socks]'`; install it, or unset {bad}"
    else:
        name = next(_set(("NO_PROXY",)), "NO_PROXY")
        detail = f"{name} cannot be read ({what}); it is a list of host names, separated by commas"
    return ServiceError("invalid_environment", detail)


def proxy_variable(url: str) -> str | None:
    """Name of the variable whose proxy requests to ``url`` go through; None if there is none."""
    parsed = httpx.URL(url)
    if proxy_bypass(parsed.host):
        return None
    return next(_set((f"{parsed.scheme.upper()}_PROXY", "ALL_PROXY")), None)


def _set(names: tuple[str, ...]) -> Iterator[str]:
    """The variables that are set, in lower and in upper case."""
    return (name for upper in names for name in (upper.lower(), upper) if os.environ.get(name))


def _is_usable(proxy: str) -> bool:
    try:
        httpx.Client(proxy=proxy if "://" in proxy else f"http://{proxy}", trust_env=False).close()
    except (ImportError, ValueError, httpx.InvalidURL):
        return False
    return True
