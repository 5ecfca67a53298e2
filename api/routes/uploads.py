"""Uploads of dense weights and of data sets, which jobs name by their ids."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Request

from api.deps import CallerDep, Services, ServicesDep
from api.gate.access import Caller
from api.problems import problem_responses
from api.schemas.uploads import Upload
from api.uploads.byte_stream import Readable
from api.uploads.network_check import CheckedNetwork
from api.uploads.request_body import FILE_BODY, BodyFromThread, body_errors, check_headers
from api.uploads.upload_stream import UploadStream
from store import records, uploads
from store.crash_points import reach
from store.records import UploadKind

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])


@router.post(
    "",
    status_code=201,
    summary="Upload dense weights or a data set",
    responses=problem_responses(
        "upload_too_large",
        "unsupported_media_type",
        "invalid_upload",
        "invalid_network",
        "unsupported_operation",
        "network_too_large",
        "invalid_request",
        "out_of_space",
        "storage_unavailable",
        "not_ready",
        "busy",
    ),
    openapi_extra=FILE_BODY,
)
async def upload_file(
    services: ServicesDep,
    caller: CallerDep,
    request: Request,
    filename: Annotated[
        str, Query(min_length=1, max_length=200, description="Name of the file, for people.")
    ] = "upload",
) -> Upload:
    """Stores a file that is sent as its raw bytes. The bytes tell what it is:

    - a state dict in a safetensors file, which a job names by its `id` in `model.weights`;
    - arrays `x`, `y` and maybe `x_test`, `y_test` in an `.npz` file, or pictures in a `.zip`, `.tar` or `.tar.gz` file
      with one folder for each class, which a job names in `data.upload`.

    All numbers must be finite. A refused upload leaves nothing behind."""
    check_headers(request, services.settings.upload_limit_bytes)
    async with services.uploads.slot(caller.owner):
        body = BodyFromThread(request.stream())
        created = await to_thread.run_sync(
            store_file, services, caller, body, filename, limiter=services.upload_threads
        )
    return Upload.of(created)


@router.get("/{upload_id}", summary="Get an upload", responses=problem_responses("upload_not_found"))
def get_upload(services: ServicesDep, caller: CallerDep, upload_id: str) -> Upload:
    """Returns the name, size and hash of the file, what it holds, and the number of its tensors or images."""
    return Upload.of(services.database.query(lambda tx: uploads.get(tx, upload_id, caller.visible_owner)))


def store_file(services: Services, caller: Caller, body: Readable, filename: str) -> records.Upload:
    """Parse and store the file; the row of the upload.

    Raises:
        UploadError: the file is refused, or the body breaks off.
    """
    with body_errors(), UploadStream(body, limit_bytes=services.settings.upload_limit_bytes) as incoming:
        max_gflops = services.settings.network_gflops
        stored = services.artifacts.put(
            incoming if incoming.is_archive else CheckedNetwork(incoming, max_gflops=max_gflops)
        )
    with services.database.begin() as tx:
        created = uploads.create(
            tx,
            stored,
            filename,
            incoming.content.tensors,
            caller.owner,
            kind=UploadKind(incoming.content.kind),
            images=incoming.content.images,
        )
        reach("upload.before_commit")
    reach("upload.after_commit")
    return created
