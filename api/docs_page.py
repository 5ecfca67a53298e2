"""``/docs``: Swagger UI, served from this service alone so that it works without internet."""

import re
from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import FileResponse, HTMLResponse

from api.gate.access import DOCS, DOCS_FILES

_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".png": "image/png"}


def add_docs_page(app: FastAPI, root_path: str = "") -> None:
    """Add the page and the files of Swagger UI; its Content-Security-Policy allows no scripts but these.

    Args:
        root_path: prefix under which browsers find the service.
    """
    script, style, picture = (f"{root_path}{file}" for file in DOCS_FILES)
    page = get_swagger_ui_html(
        openapi_url=f"{root_path}/openapi.json",
        title=app.title,
        swagger_js_url=script,
        swagger_css_url=style,
        swagger_favicon_url=picture,
    )
    html = bytes(page.body).decode()
    inline = " ".join(f"'sha256-{_hash(found)}'" for found in re.findall(r"<script>(.*?)</script>", html, re.DOTALL))
    policy = (
        f"default-src 'none'; script-src 'self' {inline}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
    )

    @app.get(DOCS, include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(html, headers={"Content-Security-Policy": policy})

    for path in DOCS_FILES:
        _add_file(app, path)


def _add_file(app: FastAPI, path: str) -> None:
    """Serve one file of swagger-ui-dist, taken from the package fastapi-offline."""
    file = Path(str(files("fastapi_offline"))) / "static" / Path(path).name
    media_type = _MEDIA_TYPES[file.suffix]

    @app.get(path, include_in_schema=False, name=file.name)
    def docs_file() -> FileResponse:
        return FileResponse(file, media_type=media_type, headers={"Cache-Control": "max-age=3600"})


def _hash(script: str) -> str:
    return b64encode(sha256(script.encode()).digest()).decode()
