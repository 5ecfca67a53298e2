"""Submission of a job, in the steps of `POST /v1/jobs`: checks, estimate, idempotency, limits, queue."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from api import serializers
from api.deps import Services
from api.errors import UnknownUploadError
from api.gate.access import Caller
from api.schemas.checks import CheckedJob
from api.settings import ApiSettings
from safs.spec.job import JobSpec
from store import idempotency, owner_limits, queue, uploads
from store.crash_points import reach
from store.errors import UploadNotFound
from store.idempotency import Answer
from store.records import UploadKind
from store.session import Transaction
from telemetry import tracing


def check(services: Services, caller: Caller, spec: JobSpec, with_preview: bool) -> CheckedJob:
    """The result of the checks, with a preview of the user's own data if it is wanted."""
    weights = upload = None
    if (upload_id := spec.model.file) is not None:
        weights = _uploaded(services, caller, upload_id, _model_field(spec), UploadKind.WEIGHTS)
    if spec.data.dataset == "upload" and spec.data.upload is not None:
        upload = _uploaded(services, caller, spec.data.upload, "data.upload", UploadKind.ARRAYS, UploadKind.PICTURES)
    root = services.settings.data_folder
    return services.checker.check(spec, data_root=root, weights=weights, upload=upload, preview=with_preview)


def _model_field(spec: JobSpec) -> str:
    return "model.weights" if spec.model.network is None else "model.network"


def _uploaded(services: Services, caller: Caller, upload_id: str, field: str, *kinds: UploadKind) -> Path:
    """The file of an upload that ``field`` of a job names, which must be of one of ``kinds``."""
    with services.database.read() as tx, _upload_errors_named(field):
        upload = uploads.get(tx, upload_id, caller.visible_owner)
    if upload.kind not in kinds:
        raise UnknownUploadError(
            f"upload {upload_id!r} ({upload.filename!r}) holds {upload.kind}, and {field} needs {' or '.join(kinds)}",
            field=field,
        )
    return services.artifacts.intact_path(upload.sha256)


@contextmanager
def _upload_errors_named(field: str) -> Iterator[None]:
    try:
        yield
    except UploadNotFound as error:
        raise UnknownUploadError(str(error), field=field) from error


def idempotent_request(caller: Caller, key: str, spec: JobSpec) -> idempotency.Request:
    """The request to compare under an Idempotency-Key. Two bodies are equal if their complete specs are."""
    content = json.dumps(spec.model_dump(mode="json"), sort_keys=True)
    return idempotency.Request(caller.owner, key, sha256(content.encode()).hexdigest())


def stored_answer(services: Services, request: idempotency.Request) -> Answer | None:
    return services.database.query(lambda tx: idempotency.find(tx, request))


def enqueue(
    services: Services, caller: Caller, spec: JobSpec, request: idempotency.Request | None
) -> tuple[Answer, bool]:
    """Queue the job. Returns the answer, and True if it is the stored answer of an earlier request."""
    with services.database.begin() as tx:
        owner_limits.lock(tx, caller.owner)
        if request is not None and (earlier := idempotency.find(tx, request)) is not None:
            return earlier, True
        _check_quotas(tx, services.settings, caller)
        for field, upload_id in ((_model_field(spec), spec.model.file), ("data.upload", spec.data.upload)):
            if upload_id is not None:
                with _upload_errors_named(field):
                    uploads.lock(tx, upload_id)
        trace = tracing.traceparent()
        job = queue.submit(tx, spec.model_dump(mode="json"), spec.name, owner=caller.owner, traceparent=trace)
        answer = Answer(job.id, serializers.dump(serializers.job(job, services.settings.root_path)).decode())
        if request is not None:
            idempotency.save(tx, request, answer)
        reach("submit.before_commit")
    reach("submit.after_commit")
    return answer, False


def _check_quotas(tx: Transaction, settings: ApiSettings, caller: Caller) -> None:
    if caller.key is None:
        return
    limits = caller.key.limits
    owner_limits.check_queued(
        tx, caller.key.owner, settings.queued_jobs if limits.queued_jobs is None else limits.queued_jobs
    )
    gpu_hours = settings.gpu_hours if limits.gpu_hours is None else limits.gpu_hours
    if gpu_hours is not None:
        owner_limits.check_gpu_hours(tx, caller.key.owner, gpu_hours)
