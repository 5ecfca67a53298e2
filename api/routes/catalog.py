"""The names that a job spec may use."""

from fastapi import APIRouter

from api.deps import Use
from api.errors import UnknownKindError
from api.problems import problem_responses
from api.schemas import EntryView, KindView

router = APIRouter(prefix="/v1/catalog", tags=["catalog"])


@router.get("", summary="All names of all kinds", responses=problem_responses())
def get_catalog(use: Use) -> dict[str, list[EntryView]]:
    """Models, data sets, operators, pruning methods, strategies, presets and the rest, by kind."""
    return {kind: [EntryView.model_validate(entry) for entry in entries] for kind, entries in use.catalog().items()}


@router.get("/{kind}", summary="All names of one kind", responses=problem_responses("unknown_kind"))
def get_kind(use: Use, kind: str) -> KindView:
    """The names of one kind, each with a line that says what it is."""
    known = use.catalog()
    if kind not in known:
        raise UnknownKindError(f"the catalog has no {kind!r:.100}. Known: {', '.join(known)}.")
    return KindView(kind=kind, items=[EntryView.model_validate(entry) for entry in known[kind]])
