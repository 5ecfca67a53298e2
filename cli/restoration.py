"""``safs restore``, in an order that leaves nothing half done."""

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

Progress = Callable[[str, int, int], None]
"""Called with the current step, the bytes that are done, and all bytes of the step."""


@dataclass(frozen=True, slots=True)
class Restored:
    """A backup that was restored."""

    manifest: Manifest
    requeued: int
    """Number of jobs that ran when the backup was made and are queued again."""


def restore_into(at: Opened, archive: Reader, *, replace: bool, progress: Progress) -> Restored:
    """Checks the target and every byte of the backup, stores the files, and writes all rows in one transaction.

    Args:
        replace: delete the contents of the database in that transaction. If false, the database must be empty.

    Raises:
        BadBackup: the backup is damaged, incomplete, or of a newer version; nothing was written.
        CommandError: the target is in use, not empty, or of another version; nothing was written.
    """
    manifest = read_manifest(archive)
    _check_target(at, manifest, replace)
    verify(archive, manifest, partial(progress, "checking"))
    store_artifacts(archive, manifest, at.store, partial(progress, "storing"))
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
        upgrade(url)  # also if loading failed, so that the database is usable
    return Restored(manifest, requeue_active(at.database))


def _check_target(at: Opened, manifest: Manifest, replace: bool) -> None:
    if manifest.revision not in known_revisions():
        raise CommandError(
            f"the backup is of a newer version: its schema is at revision {manifest.revision}, and the latest revision "
            f"of this version is {head_revision()}. Restore it with the version that made it"
        )
    if current(at.settings.database_url) is None:
        return
    require_head(at.database.engine)
    with at.database.read() as tx:
        empty, workers = is_empty(tx), active_workers(tx)
    target = f"the database {at.database.redacted_url}"
    if workers:
        raise CommandError(
            f"{workers[0]} runs a job of {target}. Stop the service first; its runner puts the job back into the queue"
        )
    if not empty and not replace:
        raise CommandError(
            f"{target} is not empty. Restore into another one (SAFS_HOME, SAFS_DATABASE_URL), or delete its contents "
            "with --replace"
        )
    if replace and manifest.revision != head_revision():
        raise CommandError(
            f"--replace needs a backup of this version's schema ({head_revision()}), and this backup is at revision "
            f"{manifest.revision}. Restore it into an empty database, which is then upgraded"
        )
