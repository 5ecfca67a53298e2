"""URLs of SQLite databases.

``%``, ``?`` and ``#`` have a meaning in URLs, so a path is percent-encoded on its way in and decoded on its way out, as
SQLAlchemy does.
"""

from pathlib import Path
from urllib.parse import quote, unquote

PREFIX = "sqlite:///"


def sqlite_url(file: Path) -> str:
    """The URL of a database file.

    >>> sqlite_url(Path("/home/me%20/50% off?/safs.db"))
    'sqlite:////home/me%2520/50%25 off%3F/safs.db'
    """
    return PREFIX + quote(str(file), safe="/ ")


def sqlite_file(url: str) -> Path | None:
    """The database file of a URL; None if the URL is not one of SQLite.

    >>> sqlite_file("sqlite:////home/me%2520/50%25 off%3F/safs.db").as_posix()
    '/home/me%20/50% off?/safs.db'
    """
    if not url.startswith(PREFIX):
        return None
    return Path(unquote(url.removeprefix(PREFIX).partition("?")[0]))
