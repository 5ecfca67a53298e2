"""Responses to requests with an Idempotency-Key, so that a repeated request is answered without a second effect."""

from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from store.clock import seconds_from_now
from store.errors import IdempotencyConflict
from store.session import Transaction
from store.tables import idempotency_keys

KEPT_S = 86_400
"""Seconds that a response is kept."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that may be repeated."""

    owner: str | None
    """Owner of the API key; equal idempotency keys of different owners are unrelated. None without a key."""
    key: str
    """Value of the Idempotency-Key header."""
    sha256: str
    """Hash of the request's content."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Response to the first request."""

    job_id: str
    body: str


def find(tx: Transaction, request: Request) -> Answer | None:
    """The response to this request in the last 24 hours; None if the request is new.

    Raises:
        IdempotencyConflict: the key was used with another request.
    """
    of_key = (idempotency_keys.c.owner == (request.owner or ""), idempotency_keys.c.key == request.key)
    fresh = idempotency_keys.c.created_at > seconds_from_now(-KEPT_S)
    columns = idempotency_keys.c.request_sha256, idempotency_keys.c.job_id, idempotency_keys.c.answer
    row = tx.execute(select(*columns).where(*of_key, fresh)).one_or_none()
    if row is None:
        return None
    sha256, job_id, body = row
    if sha256 != request.sha256:
        raise IdempotencyConflict(
            f"the Idempotency-Key {request.key!r:.80} was used for another job, {job_id}; use a new key for a new job"
        )
    return Answer(job_id, body)


def save(tx: Transaction, request: Request, answer: Answer) -> None:
    """Save the response, and delete the owner's expired ones; call ``owner_limits.lock`` and ``find`` first."""
    of_owner = idempotency_keys.c.owner == (request.owner or "")
    tx.execute(delete(idempotency_keys).where(of_owner, idempotency_keys.c.created_at <= seconds_from_now(-KEPT_S)))
    values = {"owner": request.owner or "", "key": request.key, "request_sha256": request.sha256}
    tx.execute(insert(idempotency_keys).values(values | {"job_id": answer.job_id, "answer": answer.body}))
