"""The scripts and style sheets of the pages, and plotly.js as the package ``plotly`` brings it.

All files are served below an address that holds a hash of their contents. A browser may therefore keep them forever,
and a module that imports its neighbour by a relative address always gets the neighbour of the same version.
"""

import gzip
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from posixpath import normpath

PLOTLY = "plotly.min.js"
"""Name under which plotly.js is served."""

_FOLDER = Path(str(files("api.pages"))) / "static"
_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class StaticFile:
    """A file in memory."""

    content: bytes
    media_type: str

    @cached_property
    def gzipped(self) -> bytes:
        """The content compressed with gzip, computed at the first request for it."""
        return gzip.compress(self.content, compresslevel=6, mtime=0)


@dataclass(frozen=True, eq=False)
class StaticFiles:
    """All files by name, and the version that their addresses hold."""

    files: Mapping[str, StaticFile]
    version: str

    def address(self, name: str) -> str:
        """The address of a file; raises ``KeyError`` if there is none of this name."""
        self.files[name]
        return f"/static/{self.version}/{name}"

    def module_names(self, name: str) -> list[str]:
        """The names of all modules that a module needs, in the order of their names."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            one = waiting.pop()
            source = self.files[one].content.decode()
            imported = {normpath(f"{one}/../{path}") for path in re.findall(r'from "([^"]+\.js)"', source)}
            waiting += imported - found
            found |= imported
        return sorted(found)

    def modules(self, name: str) -> list[str]:
        """The addresses of all modules that a module needs, so that a browser can fetch them at once."""
        return [self.address(one) for one in self.module_names(name)]


@cache
def read_static_files() -> StaticFiles:
    """Read all files. Only these can be served, so no path in a request reaches the disk."""
    paths = {path.relative_to(_FOLDER).as_posix(): path for path in _FOLDER.rglob("*") if path.suffix in _MEDIA_TYPES}
    paths[PLOTLY] = _plotly()
    found = {name: StaticFile(path.read_bytes(), _MEDIA_TYPES[path.suffix]) for name, path in sorted(paths.items())}
    digest = sha256()
    for name, file in found.items():
        digest.update(f"{name}\0{len(file.content)}\0".encode() + file.content)
    return StaticFiles(found, digest.hexdigest()[:16])


def _plotly() -> Path:
    """The file of plotly.js. The package is found and not imported, since importing it takes long."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the package plotly is missing; install safs-service[server]")
    return Path(spec.origin).parent / "package_data" / PLOTLY
