"""What ``safs restore`` does, in the order that leaves nothing half done."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from cli.database import Opened
from cli.errors import CommandError
from migrations import current, downgrade, head_revision, known_revisions, require_head, upgrade
from store.upkeep.archive import Reader
from store.upkeep.backup import Manifest
from store.upkeep.restore import (
    active_workers,
    clear,
    is_empty,
    load,
    read_manifest,
    requeue_active,
    store_artifacts,
    verify,
)

Tell = Callable[[str, int, int], None]
"""Called with what is done, and how many bytes of how many it has come to."""


@dataclass(frozen=True, slots=True)
class Restored:
    manifest: Manifest
    handed_back: int
    """Jobs that ran when the backup was made."""


def restore_into(at: Opened, archive: Reader, *, replace: bool, tell: Tell) -> Restored:
    """Checks the target and every byte of the backup, stores the files, and writes all rows in one transaction.

    Args:
        replace: what the database holds goes in that transaction; else it must hold nothing.

    Raises:
        BadBackup: the backup is damaged, incomplete, or of a newer version; nothing was written.
        CommandError: the target is not what it must be; nothing was written.
    """
    manifest = read_manifest(archive)
    _check_target(at, manifest, replace)
    verify(archive, manifest, partial(tell, "checking"))
    store_artifacts(archive, manifest, at.store, partial(tell, "storing"))
    url = at.settings.database_url
    if not replace:
        if current(url) is not None:
            downgrade(url, "base")
        upgrade(url, manifest.revision)
    try:
        with at.database.begin() as tx:
            if replace:
                clear(tx)
            load(tx, archive, manifest)
    finally:
        upgrade(url)  # If there are no rows, that much the sooner.
    return Restored(manifest, requeue_active(at.database))


def _check_target(at: Opened, manifest: Manifest, replace: bool) -> None:
    if manifest.revision not in known_revisions():
        raise CommandError(
            f"the backup is of a newer version: its schema is at revision {manifest.revision}, and this version knows "
            f"none above {head_revision()}. Restore it with the version that made it"
        )
    if current(at.settings.database_url) is None:
        return
    require_head(at.database.engine)
    with at.database.read() as tx:
        empty, workers = is_empty(tx), active_workers(tx)
    target = f"the database {at.database.redacted_url}"
    if workers:
        raise CommandError(f"{workers[0]} runs a job of {target}; stop the service first: runners hand jobs back")
    if not empty and not replace:
        raise CommandError(
            f"{target} is not empty. Restore into another (SAFS_HOME, SAFS_DATABASE_URL), or let --replace delete "
            "what is in it"
        )
    if replace and manifest.revision != head_revision():
        raise CommandError(
            f"--replace needs a backup of this version's schema ({head_revision()}), and this one is at "
            f"{manifest.revision}. Restore it into an empty database: it is upgraded there"
        )
