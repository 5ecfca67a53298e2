"""The catalog: names that a job spec can use."""

from fastapi import APIRouter

from api.deps import ServicesDep
from api.errors import UnknownKindError
from api.problems import problem_responses
from api.schemas.catalog import Catalog, CatalogKind

router = APIRouter(prefix="/v1/catalog", tags=["catalog"])


@router.get("", summary="List the names of all kinds", responses=problem_responses("not_ready"))
def get_catalog(services: ServicesDep) -> Catalog:
    """Returns models, data sets, operators, pruning methods, strategies, presets and all other names, by kind."""
    return Catalog(dict(services.checker.catalog()))


@router.get("/{kind}", summary="List the names of one kind", responses=problem_responses("unknown_kind", "not_ready"))
def get_catalog_kind(services: ServicesDep, kind: str) -> CatalogKind:
    """Returns the names of one kind, each with a one-line summary."""
    known = services.checker.catalog()
    if kind not in known:
        raise UnknownKindError(f"the catalog has no kind {kind!r:.100}. Known: {', '.join(known)}.")
    return CatalogKind(kind=kind, items=known[kind])
