"""The addresses of the pages, and of their scripts and style sheets."""

from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse

from api.conditional import not_modified
from api.gate.access import PAGES, SIGN_IN
from api.pages.static_files import StaticFiles, read_static_files

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the pages. plotly.js adds style elements, which 'unsafe-inline' for styles allows; scripts
come from this service alone, and none is evaluated from text."""
JOB_PAGE = "/jobs/{job_id}"


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its title, and the module that fills it."""

    title: str
    script: str
    nav: str = ""
    """Address of the entry of the navigation that leads here; empty if none does."""


_PAGES = {
    "/": Page("Jobs", "pages/jobs.js", nav="/"),
    JOB_PAGE: Page("Job", "pages/job.js", nav="/"),
    "/new": Page("New job", "pages/new.js", nav="/new"),
    "/compare": Page("Compare", "pages/compare.js", nav="/"),
    "/health": Page("Health", "pages/health.js", nav="/health"),
    "/keys": Page("Keys", "pages/keys.js", nav="/keys"),
    SIGN_IN: Page("Sign in", "pages/sign_in.js"),
}


def add_pages(app: FastAPI, root_path: str = "") -> None:
    """Add the pages and their files to ``app``. They hold no data of the service, so they need no key.

    Args:
        root_path: prefix under which browsers find the service.
    """
    static = read_static_files()
    shared = {"address": static.address, "root": root_path, "version": version("safs-service")}
    router = APIRouter(include_in_schema=False)
    for path, page in _PAGES.items():
        assert path == JOB_PAGE or path in PAGES, f"{path} would need a key"
        html = _template().render(shared, page=page, modules=static.modules(page.script))
        router.add_api_route(path, _serve_page(html), methods=["GET"], name=page.script)
    router.add_api_route("/static/{wanted}/{name:path}", _serve_files(static), methods=["GET"], name="static file")
    app.include_router(router)


@cache
def _template() -> Template:
    """The template of all pages; compiling it takes most of the time of ``add_pages``."""
    loader = PackageLoader("api.pages")
    environment = Environment(loader=loader, autoescape=select_autoescape(default=True), undefined=StrictUndefined)
    return environment.get_template("page.html")


def _serve_page(html: str) -> Any:
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}

    async def serve() -> HTMLResponse:
        return HTMLResponse(html, headers=headers)

    return serve


def _serve_files(static: StaticFiles) -> Any:
    etag = f'"{static.version}"'
    kept = {"Cache-Control": "public, max-age=31536000, immutable", "ETag": etag, "Vary": "Accept-Encoding"}

    async def serve(request: Request, wanted: str, name: str) -> Response:
        file = static.files.get(name)
        if file is None or wanted != static.version:
            raise HTTPException(404)
        if not_modified(request, etag):
            return Response(status_code=304, headers=kept)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers = kept | {"Content-Encoding": "gzip"}
            return Response(file.gzipped, media_type=file.media_type, headers=headers)
        return Response(file.content, media_type=file.media_type, headers=kept)

    return serve
