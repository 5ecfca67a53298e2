"""Options of single pruning methods, schedules and strategies, checked as strictly as the rest of a job."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import ValidationError

from safs.errors import SpecError
from safs.spec.strict import Plain


class Options(Plain):
    """Base class of options; every field has a default and a description."""


class NoOptions(Options):
    """Used by methods and strategies without options."""


Kind = TypeVar("Kind", bound=Options)


def parse_options(kind: type[Kind], options: Mapping[str, Any], *, what: str, field: str) -> Kind:
    """Parse ``options`` as ``kind``.

    >>> class Annealing(Options):
    ...     cooling: float = 0.9
    >>> parse_options(Annealing, {"cooling": 0.5}, what="strategy 'annealing'", field="tune.options")
    Annealing(cooling=0.5)

    Args:
        what: owner of the options in error messages, such as ``strategy 'annealing'``.
        field: path of the options in the job spec, such as ``activations.options``.

    Raises:
        SpecError: an option does not exist or has an invalid value; ``field`` names it.
    """
    try:
        return kind.model_validate(dict(options))
    except ValidationError as error:
        wrong = error.errors()[0]
        raise SpecError(_message(what, wrong, kind), field=".".join((field, *map(str, wrong["loc"])))) from error


def described(kind: type[Options]) -> dict[str, str]:
    """Option -> description and default, for the catalog."""
    return {
        name: f"{field.description or ''} (default {field.get_default(call_default_factory=True)})".lstrip()
        for name, field in kind.model_fields.items()
    }


def _message(what: str, wrong: Mapping[str, Any], kind: type[Options]) -> str:
    name = ".".join(map(str, wrong["loc"]))
    if not wrong["loc"]:  # Two options that do not fit each other, or a name that is not text.
        return f"options of {what}: {wrong.get('ctx', {}).get('error', wrong['msg'])}."
    if wrong["type"] == "extra_forbidden":
        has = f"has the options {', '.join(kind.model_fields)}" if kind.model_fields else "has no options"
        close = get_close_matches(name, kind.model_fields, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return f"{what} {has}; remove {name!r}.{hint}"
    return f"option {name!r} of {what} cannot be {wrong['input']!r}: {wrong['msg']}."
