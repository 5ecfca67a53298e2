"""``/docs``: the page on which the API can be read and tried."""

import re
from base64 import b64encode
from hashlib import sha256

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse

_CDN = "https://cdn.jsdelivr.net"


def add_docs_page(app: FastAPI) -> None:
    """Adds the page, which runs no script but Swagger UI's and its own."""
    page = get_swagger_ui_html(openapi_url="/openapi.json", title=app.title)
    html = bytes(page.body).decode()
    own = " ".join(f"'sha256-{_hash(script)}'" for script in re.findall(r"<script>(.*?)</script>", html, re.DOTALL))
    policy = (
        f"default-src 'none'; script-src {_CDN} {own}; style-src {_CDN} 'unsafe-inline'; "
        "img-src https://fastapi.tiangolo.com data:; connect-src 'self'; frame-ancestors 'none'"
    )

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(html, headers={"Content-Security-Policy": policy})


def _hash(script: str) -> str:
    return b64encode(sha256(script.encode()).digest()).decode()
