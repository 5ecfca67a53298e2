"""The database and the artifacts, for commands that work without a service."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from store.artifacts.stored_files import ArtifactStore
    from store.session import Database
    from store.settings import StoreSettings


@dataclass(frozen=True, slots=True)
class Opened:
    """An open database, its artifact store, and the settings that name them."""

    settings: "StoreSettings"
    database: "Database"
    store: "ArtifactStore"


@contextmanager
def opened(home: Path | None) -> Iterator[Opened]:
    """Opens the database and the artifact store of the settings. ``home`` overrides SAFS_HOME; None does not."""
    from store.artifacts.stored_files import artifact_store
    from store.session import Database
    from store.settings import StoreSettings

    settings = StoreSettings() if home is None else StoreSettings(home=home)
    database = Database(settings.database_url)
    try:
        yield Opened(settings, database, artifact_store(settings))
    finally:
        database.dispose()
