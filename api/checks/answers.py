"""Answers of the process that checks jobs. Imports torch."""

import traceback
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from importlib import import_module
from typing import Any, assert_never

from pydantic import TypeAdapter

from api.checks.requests import (
    Answer,
    CatalogRequest,
    CheckRequest,
    EstimateRequest,
    ImportancesRequest,
    Refusal,
    Request,
)
from api.schemas.checks import CheckedJob, DataPreview, PrunedLayer, Site
from safs.catalog import catalog
from safs.data import uploaded
from safs.data.preview import preview
from safs.errors import SafsError
from safs.estimates import estimate_on_this_machine, estimate_untimed
from safs.preflight import Preflight, check

PREFLIGHT = TypeAdapter(Preflight)
IMPORTS: Mapping[bytes, Sequence[str]] = {
    b"v": ("torchvision.models",),
    b"t": ("timm",),
    b"i": ("search_spaces.importance", "optuna.importance"),
}
"""Kind of a request -> modules to import before the fork, so that the next request finds them imported."""


def prepare(kind: bytes) -> None:
    """Import what requests of this kind need and others do not."""
    for name in IMPORTS.get(kind, ()):
        try:
            import_module(name)
        except ImportError:  # The request reports it.
            return


def answer(body: bytes) -> bytes:
    """The answer to the request in ``body``, both JSON; never raises."""
    try:
        made = Answer(result=_result(Request.model_validate_json(body).root))
    except SafsError as error:
        made = Answer(refusal=Refusal(code=error.code, message=error.message, field=error.field))
    except Exception:
        made = Answer(defect=traceback.format_exc())
    return made.model_dump_json().encode()


def _result(request: CheckRequest | EstimateRequest | CatalogRequest | ImportancesRequest) -> Any:
    match request:
        case CheckRequest():
            return _check(request).model_dump(mode="json")
        case EstimateRequest():
            preflight = PREFLIGHT.validate_python(request.preflight)
            if request.untimed is not None:
                return estimate_untimed(request.spec, preflight, request.untimed).as_json()
            return estimate_on_this_machine(request.spec, preflight, memory_bytes=request.memory_bytes).as_json()
        case CatalogRequest():
            return TypeAdapter(dict[str, list[Any]]).dump_python(catalog(), mode="json")
        case ImportancesRequest():
            from search_spaces.importance import ScoredTrial, importances  # imports ConfigSpace and scipy

            return importances([ScoredTrial(one.config, one.epochs, one.accuracy) for one in request.trials])
        case _:
            assert_never(request)


def _check(request: CheckRequest) -> CheckedJob:
    spec = request.spec
    with nullcontext(request.data_root) if request.upload is None else uploaded.opened(request.upload) as root:
        found = check(spec, data_root=root, weights=request.weights)
        data = preview(spec.data, root) if request.preview else None
    return checked(found, None if data is None else DataPreview.model_validate(data))


def checked(found: Preflight, data: DataPreview | None) -> CheckedJob:
    """The findings as a response has them."""
    return CheckedJob(
        channels=found.blueprint.channels,
        image_size=found.blueprint.image_size,
        classes=found.blueprint.classes,
        train=found.data.train,
        validation=found.data.validation,
        test=found.data.test,
        notes=[*found.data.notes, *found.notes],
        weights=found.weights,
        sparsity=found.sparsity,
        live=found.live,
        layers=[PrunedLayer(name=name, shape=list(shape)) for name, shape in found.layers.items()],
        sites=[Site(path=site.path, own=site.original) for site in found.sites],
        operators=list(found.operators),
        data=data,
        preflight=PREFLIGHT.dump_python(found, mode="json"),
    )
