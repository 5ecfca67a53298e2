"""The fixtures of the API's tests: the app, a client, a real server, and a runner that trains nothing."""

from tests.api.conftest import (
    api_database_url,
    app,
    app_database,
    http,
    make_key,
    no_exports,
    runner,
    serve,
    settings,
    submit,
    url,
)

__all__ = [
    "api_database_url",
    "app",
    "app_database",
    "http",
    "make_key",
    "no_exports",
    "runner",
    "serve",
    "settings",
    "submit",
    "url",
]
