"""The FastAPI app: services, middleware, routes, error handlers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

from anyio import to_thread
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from api.checks.checker import Checker
from api.deps import REQUEST_THREADS, Services
from api.docs_page import add_docs_page
from api.event_tail import Tail
from api.exports import Exporter, Exports
from api.gate.authentication import Authentication
from api.gate.middleware import BodyLimit, RequestId, UnexpectedErrors
from api.gate.rate_limit import RateLimiter
from api.gate.sessions import Sessions
from api.head_requests import HeadRequests
from api.openapi import DocumentedApp
from api.pages.routes import add_pages
from api.pages.sign_in import sign_in_routes
from api.problems import add_error_handlers
from api.prometheus import Metrics
from api.request_log import RequestLog
from api.root_path import RootPath
from api.routes import catalog as catalog_routes
from api.routes import (
    events,
    health,
    importances,
    jobs,
    keys,
    me,
    report_pages,
    results,
    runners,
    status,
    trials,
    upload_parts,
    uploads,
)
from api.routes import metrics as metrics_routes
from api.security_headers import CORS, SecurityHeaders
from api.settings import ApiSettings
from safs.deploy.in_subprocess import export_in_subprocess
from store.artifacts.stored_files import artifact_store
from store.session import Database

_DESCRIPTION = """
Submit a network and a sparsity, and download the best sparse checkpoint. The service prunes the network to exactly that
sparsity, searches which activation function each layer of the *sparse* network should use, tunes its fine-tuning, and
reports the gain over the default protocol (SAFS: Loni et al., 2023, arXiv:2305.10964).

Every error response is `application/problem+json` (RFC 9457) with a stable `code`.
"""


def create_app(
    settings: ApiSettings,
    *,
    checker: Checker | None = None,
    exporter: Exporter = export_in_subprocess,
) -> FastAPI:
    """Create the app for the database and artifacts in ``settings``. It connects at the first request.

    Args:
        checker: checks jobs before they are queued; None checks them in a child process that imports torch.
        exporter: writes a result in another format.
    """
    database = Database(settings.database_url)
    tail = Tail(
        partial(events.read_head, database),
        partial(events.read_encoded, database),
        interval_s=settings.events_interval_s,
        keep_alive_s=settings.keep_alive_s,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        settings.home.mkdir(parents=True, exist_ok=True)
        to_thread.current_default_thread_limiter().total_tokens = REQUEST_THREADS
        yield
        await exports.drain()
        checks.close()
        tail.close()
        await tail.drain()
        database.dispose()

    app = DocumentedApp(
        title="SAFS Service",
        version=version("safs-service"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        generate_unique_id_function=lambda route: route.name,
        docs_url=None,
        redoc_url=None,
        servers=[{"url": settings.root_path}] if settings.root_path else None,
    )
    artifacts = artifact_store(settings)
    checks = checker or Checker.in_child_process(
        idle_s=settings.check_idle_s, estimate_limit_s=settings.estimate_limit_s
    )
    exports = Exports(database, artifacts, exporter, settings.data_folder)
    metrics = Metrics(database, settings.artifacts_folder, lambda: tail.listeners)
    app.state.services = Services(settings, database, artifacts, tail, checks, metrics, exports)
    add_error_handlers(app)
    app.add_middleware(HeadRequests)
    app.add_middleware(
        BodyLimit,
        limit_bytes=settings.body_limit_bytes,
        exempt=(uploads.router.prefix, f"{upload_parts.router.prefix}/"),
    )
    sessions = Sessions(settings.read_session_secret, idle_s=settings.session_idle_s, lives_s=settings.session_limit_s)
    app.add_middleware(
        Authentication, database=database, sessions=sessions, requests_per_minute=settings.requests_per_minute
    )
    app.add_middleware(UnexpectedErrors)
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins, **CORS)
    app.add_middleware(RootPath, root_path=settings.root_path)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestLog, metrics=metrics)
    app.add_middleware(RequestId)
    add_docs_page(app, settings.root_path)
    add_pages(app, settings.root_path)
    app.include_router(sign_in_routes(database, sessions, RateLimiter))
    about_jobs = (jobs, trials, importances, events, results, report_pages, uploads, upload_parts, catalog_routes)
    for routes in (*about_jobs, me, keys, runners, status, health, metrics_routes):
        app.include_router(routes.router)
    app.include_router(trials.csv_router)
    return app
