"""The options of pruning methods: checked like any other part of a job."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from safs.errors import SpecError
from safs.spec import PruneSpec


class Options(BaseModel):
    """A method's options: frozen, each with a default and a description, and a misspelt one is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NoOptions(Options):
    """Of methods that have none."""


Kind = TypeVar("Kind", bound=Options)


def parse_options(spec: PruneSpec, kind: type[Kind]) -> Kind:
    """``spec.options`` as ``kind``.

    Raises:
        SpecError: an option that does not exist or has no good value; ``field`` names it.
    """
    try:
        return kind.model_validate(spec.options)
    except ValidationError as error:
        wrong = error.errors()[0]
        field = ".".join(("prune", "options", *map(str, wrong["loc"])))
        raise SpecError(_message(spec.method, wrong, kind), field=field) from error


def described(kind: type[Options]) -> dict[str, str]:
    """Option -> its description and default, for the catalogue."""
    return {
        name: f"{field.description or ''} (default {field.get_default(call_default_factory=True)})".lstrip()
        for name, field in kind.model_fields.items()
    }


def _message(method: str, wrong: Mapping[str, Any], kind: type[Options]) -> str:
    name = ".".join(map(str, wrong["loc"]))
    if not name:  # two options that do not fit each other
        return f"options of pruning method {method!r}: {wrong['ctx']['error']}."
    if wrong["type"] == "extra_forbidden":
        has = f"has the options {', '.join(kind.model_fields)}" if kind.model_fields else "has no options"
        close = get_close_matches(name, kind.model_fields, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return f"pruning method {method!r} {has}; remove {name!r}.{hint}"
    return f"option {name!r} of pruning method {method!r} cannot be {wrong['input']!r}: {wrong['msg']}."
