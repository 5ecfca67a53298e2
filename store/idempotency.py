"""Answers to requests that carried an Idempotency-Key, so that a request that is sent again does nothing again."""

from dataclasses import dataclass

from sqlalchemy import delete, insert, select

from store.clock import seconds_from_now
from store.errors import IdempotencyConflict
from store.session import Transaction
from store.tables import idempotency_keys

KEPT_S = 86_400


@dataclass(frozen=True, slots=True)
class Request:
    """A request that may come again."""

    owner: str | None
    """Keys of different owners have nothing to do with each other."""
    key: str
    sha256: str
    """Of what it asks for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request was answered the first time."""

    job_id: str
    body: str


def find(tx: Transaction, request: Request) -> Answer | None:
    """The answer of the last 24 hours to this request; None if it is new.

    Raises:
        IdempotencyConflict: the key came with another request.
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
            f"the Idempotency-Key {request.key!r:.80} was sent with another job, {job_id}; a new job needs a new key"
        )
    return Answer(job_id, body)


def keep(tx: Transaction, request: Request, answer: Answer) -> None:
    """Notes the answer, and forgets the owner's old ones; call ``quotas.hold`` and ``find`` first."""
    of_owner = idempotency_keys.c.owner == (request.owner or "")
    tx.execute(delete(idempotency_keys).where(of_owner, idempotency_keys.c.created_at <= seconds_from_now(-KEPT_S)))
    values = {"owner": request.owner or "", "key": request.key, "request_sha256": request.sha256}
    tx.execute(insert(idempotency_keys).values(values | {"job_id": answer.job_id, "answer": answer.body}))
