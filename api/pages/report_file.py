"""report.html: the page of a finished job as one file, for people without access to the service.

The file holds the page's own modules, its style and the answers of the API that the page would request. An import map
gives each module's source under its name, and ``embedded/api.js``, which reads those answers, in place of the module
that sends requests. plotly.js is compressed, and unpacked by the browser when a picture needs it.
"""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from posixpath import normpath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape
from markupsafe import Markup

from api.pages.static_files import PLOTLY, StaticFiles
from api.serializers import dump

PAGE = "pages/job.js"
_REQUESTS, _ANSWERS = "core/api.js", "embedded/api.js"
_STYLES = ("style/base.css", "style/components.css", "style/job.css")


def build_report(static: StaticFiles, answers: Mapping[str, Any], title: str) -> bytes:
    """The file.

    Args:
        answers: what the page requests: ``job``, ``columns``, ``events``, ``report``, and ``curves`` by trial.
    """
    return _template().render(title=title, answers=_json(answers), **_parts(static)).encode()


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("api.pages"), autoescape=select_autoescape(default=True), undefined=StrictUndefined
    )
    return environment.get_template("report.html")


@cache
def _parts(static: StaticFiles) -> dict[str, Any]:
    """The parts that all reports share. All of them come from this package and from plotly."""
    modules = {f"safs/{name}": _module(static, name) for name in static.module_names(PAGE)}
    modules[f"safs/{PAGE}"] = _module(static, PAGE)
    modules[f"safs/{_REQUESTS}"] = _module(static, _ANSWERS)
    return {
        "imports": _json({"imports": modules}),
        "page": f"safs/{PAGE}",
        "style": Markup("\n".join(static.files[name].content.decode() for name in _STYLES)),
        "dark": Markup(static.files["style/dark.css"].content.decode()),
        "icon": f"data:image/svg+xml;base64,{b64encode(static.files['icon.svg'].content).decode()}",
        "plotly": b64encode(static.files[PLOTLY].gzipped).decode(),
    }


def _module(static: StaticFiles, name: str) -> str:
    """The source of a module as an address, with imports by name in place of those by relative address."""

    def by_name(found: re.Match[str]) -> str:
        return f'from "safs/{normpath(f"{name}/../{found[1]}")}"'

    source = re.sub(r'from "(\.[^"]+)"', by_name, static.files[name].content.decode())
    return f"data:text/javascript;base64,{b64encode(source.encode()).decode()}"


def _json(value: Any) -> Markup:
    """JSON inside of a script element: nothing in it can end the element."""
    text = value if isinstance(value, str) else dump(value).decode()
    assert json.loads(text) is not None
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))
