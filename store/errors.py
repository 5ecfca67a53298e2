"""All errors of the store.

StoreError
├── DatabaseUnavailable   the database does not work at the moment: unreachable, read-only, locked, full ...
├── AccessDenied          the database role lacks a privilege
├── SchemaMissing         the database has not been migrated
├── SchemaNewer           a newer version of the program has migrated the database
├── InvalidValue          a value that the database cannot hold
├── InvalidPageToken      a page token that the service did not issue
├── NotFound
│   ├── JobNotFound
│   ├── TrialNotFound
│   ├── UploadNotFound
│   ├── ArtifactNotFound
│   │   └── ArtifactDamaged   stored content whose hash no longer matches
│   └── KeyNotFound
├── IdempotencyConflict   the Idempotency-Key was used with another request
├── QuotaExceeded         the owner has reached a limit
├── BadBackup             a backup that is damaged, incomplete, or of an unsupported version
├── StorageUnavailable    the object storage cannot be reached, or refuses access
├── StorageFull           the disk is full, or the limit for artifacts is reached
├── IncompatibleState     the job's state does not allow the operation
└── LeaseLost             the runner no longer holds the job; it must stop and write nothing more

Each class has a stable ``code`` for programs.
"""

from enum import StrEnum


class StoreError(Exception):
    """Base class of the store's errors; the message names the value and what to do."""

    code = "store_error"


class OutageReason(StrEnum):
    """Reason for which a database is unavailable."""

    UNREACHABLE = "unreachable"
    READ_ONLY = "read_only"
    SHUTTING_DOWN = "shutting_down"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    DISK_FULL = "disk_full"
    OVERLOADED = "overloaded"
    CONFLICT = "conflict"
    TIMEOUT = "timeout"
    SESSION_LOST = "session_lost"
    BROKEN = "broken"


class DatabaseUnavailable(StoreError):
    """The database does not work at the moment, for ``reason``; a retry may succeed.

    The same operation succeeds later without a change of the program: once the server is back, writable, or no longer
    overloaded.
    """

    code = "database_unavailable"

    def __init__(self, message: str, *, reason: OutageReason = OutageReason.UNREACHABLE) -> None:
        super().__init__(message)
        self.reason = reason


class AccessDenied(StoreError):
    """The database role lacks a privilege; an administrator must grant it, or another role must be used."""

    code = "database_access_denied"


class SchemaMissing(StoreError):
    """The database has not been migrated."""

    code = "schema_missing"


class SchemaNewer(StoreError):
    """A newer version of the program has migrated the database; this version would misread it."""

    code = "schema_newer"


class InvalidValue(StoreError):
    """A value that the database cannot hold, such as text with a NUL character."""

    code = "invalid_value"


class InvalidPageToken(StoreError):
    """A page token that the service did not issue, or issued for another list."""

    code = "invalid_page_token"


class NotFound(StoreError):
    """No row has this id."""

    code = "not_found"


class JobNotFound(NotFound):
    """No job has this id."""

    code = "job_not_found"


class TrialNotFound(NotFound):
    """The job has no trial with this stage and number."""

    code = "trial_not_found"


class UploadNotFound(NotFound):
    """No upload has this id."""

    code = "upload_not_found"


class ArtifactNotFound(NotFound):
    """No content with this hash is stored."""

    code = "artifact_not_found"


class ArtifactDamaged(ArtifactNotFound):
    """The stored content no longer has the hash that is its name."""

    code = "artifact_damaged"


class BadBackup(StoreError):
    """A backup that is damaged, incomplete, or of a version that this one does not support."""

    code = "bad_backup"


class StorageUnavailable(StoreError):
    """The object storage cannot be reached, or refuses access; a retry may succeed."""

    code = "storage_unavailable"


class StorageFull(StoreError):
    """The disk is full, or the limit for artifacts is reached."""

    code = "out_of_space"


class KeyNotFound(NotFound):
    """No API key has this prefix."""

    code = "key_not_found"


class IdempotencyConflict(StoreError):
    """The Idempotency-Key was used with another request."""

    code = "idempotency_conflict"


class QuotaExceeded(StoreError):
    """The owner has reached the limit of queued jobs or of GPU-hours.

    ``retry_after_s`` is the number of seconds after which a retry may succeed.
    """

    code = "quota_exceeded"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class IncompatibleState(StoreError):
    """The job's state does not allow the operation."""

    code = "incompatible_state"


class LeaseLost(StoreError):
    """The runner no longer holds the job: its lease expired and another runner claimed the job, or the job ended."""

    code = "lease_lost"
