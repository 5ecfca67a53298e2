"""Every error that the store raises on purpose.

StoreError
├── DatabaseUnavailable   the database cannot be reached, or stayed locked
├── AccessDenied          the database does not let our role do what was to be done
├── SchemaMissing         the database has not been migrated
├── SchemaNewer           a newer version of the program has migrated the database
├── InvalidValue          a value that the database cannot hold
├── InvalidPageToken      a page token that we did not make
├── NotFound
│   ├── JobNotFound
│   ├── TrialNotFound
│   ├── UploadNotFound
│   ├── ArtifactNotFound
│   └── KeyNotFound
│       └── ArtifactDamaged   content that is no longer what was put
├── IdempotencyConflict   another request has been sent under this key
├── QuotaExceeded         the owner has as much as the limits allow
├── BadBackup             a backup that is damaged, incomplete, or of a version that this one cannot read
├── StorageUnavailable    the object storage cannot be reached, or refuses us
├── StorageFull           no space is left for content, or its limit is reached
├── IncompatibleState     the job's state does not allow what was asked
└── LeaseLost             the runner no longer holds the job; it must stop and write nothing more

Each has a stable ``code`` for programs.
"""


class StoreError(Exception):
    """Root of this package's errors; the message names the value and the way out."""

    code = "store_error"


class DatabaseUnavailable(StoreError):
    """The database cannot be reached, or stayed locked; trying again may help."""

    code = "database_unavailable"


class AccessDenied(StoreError):
    """The database does not let our role do what was to be done; it takes an administrator, or another role."""

    code = "database_access_denied"


class SchemaMissing(StoreError):
    """The database has not been migrated."""

    code = "schema_missing"


class SchemaNewer(StoreError):
    """A newer version of the program has migrated the database; this one would misread it."""

    code = "schema_newer"


class InvalidValue(StoreError):
    """A value that the database cannot hold, such as text with a NUL character."""

    code = "invalid_value"


class InvalidPageToken(StoreError):
    """A page token that we did not make, or made for another list."""

    code = "invalid_page_token"


class NotFound(StoreError):
    """Nothing has this id."""

    code = "not_found"


class JobNotFound(NotFound):
    """No job has this id."""

    code = "job_not_found"


class TrialNotFound(NotFound):
    """The job has no trial of this stage and number."""

    code = "trial_not_found"


class UploadNotFound(NotFound):
    """No upload has this id."""

    code = "upload_not_found"


class ArtifactNotFound(NotFound):
    """No content with this hash is stored."""

    code = "artifact_not_found"


class ArtifactDamaged(ArtifactNotFound):
    """The stored content with this hash is no longer what was put: it has another hash now."""

    code = "artifact_damaged"


class BadBackup(StoreError):
    """A backup that is damaged, incomplete, or of a version that this one cannot read."""

    code = "bad_backup"


class StorageUnavailable(StoreError):
    """The object storage cannot be reached, or refuses us; trying again may help."""

    code = "storage_unavailable"


class StorageFull(StoreError):
    """The disk, or the limit that was set for artifacts, has no room for this content."""

    code = "out_of_space"


class KeyNotFound(NotFound):
    """No API key has this prefix."""

    code = "key_not_found"


class IdempotencyConflict(StoreError):
    """Another request has been sent under this Idempotency-Key."""

    code = "idempotency_conflict"


class QuotaExceeded(StoreError):
    """The owner has as many jobs, or has used as many GPU-hours, as the limits allow."""

    code = "quota_exceeded"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class IncompatibleState(StoreError):
    """The job's state does not allow what was asked."""

    code = "incompatible_state"


class LeaseLost(StoreError):
    """The runner no longer holds the job: its lease expired and was taken over, or the job ended."""

    code = "lease_lost"
